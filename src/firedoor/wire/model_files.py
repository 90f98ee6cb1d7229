"""A model as files on a disk."""

from __future__ import annotations

import msgspec


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model, on the disk."""

    name: str
    """``delays@3``."""
    digest: str
    """Of its bundle."""
    folder: str
    """Its files; the manifest is beside it, ``FOLDER.json``."""
    allow: tuple[str, ...] = ()
