"""Flags: a table that people set and processes read, and never a call on anybody's path.

Everybody keeps the last one on disk. A flag that is not there has the value that the code gives it,
which has to be the safe one.
"""

from __future__ import annotations

import msgspec

Value = bool | int | float | str


class Flag(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One flag."""

    value: Value
    share: float = 1.0
    """Of the subjects that get ``value``, by hash of the name and the subject's key; the others get
    the code's default."""
    by: str = ""
    because: str = ""
    at_s: float = 0.0
    confirm_s: float | None = None
    """When a person is to look again (seconds since 1970); it holds until then and after."""


class Flags(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of ``flags``. ``kill.ZONE.CAPABILITY`` are kill switches: true is killed."""

    generation: int = 0
    flags: dict[str, Flag] = {}


def encode_flags(flags: Flags) -> bytes:
    """Return a table as JSON."""
    return msgspec.json.encode(flags)


def decode_flags(data: bytes) -> Flags | None:
    """Return the table; None for what is none."""
    try:
        return msgspec.json.decode(data, type=Flags)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
