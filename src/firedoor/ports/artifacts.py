"""Bundles, stored under the hash of what they are.

``firedoor.testing.artifacts_conformance`` is what an implementation has to pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from firedoor.wire.bundle import Manifest


@dataclass(frozen=True, slots=True)
class Listed:
    """A bundle that is there; whether it is sound is for ``verify`` to say."""

    digest: str
    stored_s: float
    """When it was stored last, seconds since 1970 by the store's clock."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep took away."""

    files: int = 0
    bytes: int = 0
    kept: str = ""
    """Why nothing was taken away; empty: it was looked for."""


class Artifacts(Protocol):
    """A store of bundles. Whoever reads needs no lock and no right to write.

    Any of it raises ``ModelsUnavailable`` if the store cannot be reached.
    """

    def put(self, folder: Path, manifest: Manifest) -> str:
        """Store a folder, whole or not at all; return the digest.

        Args:
            folder: the files; they are copied.
            manifest: of it, but for ``files``, which are taken from the folder.

        Raises:
            DeclarationError: if the folder holds what cannot be stored: links, devices, odd names.
            ArtifactsFull: if there is no room; nothing was stored.
        """
        ...

    def manifest(self, digest: str) -> Manifest:
        """Return what a bundle says it is.

        Raises:
            NotKnown: if there is none.
            BundleDamaged: if it is not what was stored.
        """
        ...

    def get(self, digest: str, to: Path) -> Manifest:
        """Copy a bundle into a new folder, verified while it is copied; whole or not there.

        Raises:
            DeclarationError: if ``to`` is there already, or cannot be made.
            NotKnown: if there is no such bundle.
            BundleDamaged: if it is not what was stored.
        """
        ...

    def open(self, digest: str, path: str) -> BinaryIO:
        """Open one file of a bundle to read, once the whole of it is verified.

        Raises:
            NotKnown: if there is no such bundle, or no such file in it.
            BundleDamaged: if the file is not what was stored.
        """
        ...

    def verify(self, digest: str) -> Manifest:
        """Read all of a bundle and compare.

        Raises:
            NotKnown: if there is none.
            BundleDamaged: if it is not what was stored.
        """
        ...

    def listed(self) -> Iterator[Listed]:
        """Go through what is there, in no order."""
        ...

    def delete(self, digest: str, *, stored_before_s: float | None = None) -> bool:
        """Take a bundle away, unless it was stored again since then; False: it is not gone by this.

        Raises:
            ModelsUnavailable: also if others store bundles all the while.
        """
        ...

    def sweep(self) -> Swept:
        """Take away what no bundle needs: what was half-written, and files of deleted bundles."""
        ...
