"""Flags: a table that people set and processes read, and never a call on anybody's path.

Everybody keeps the last one on disk. A flag that is not there has the value that the code gives it,
which has to be the safe one. What decides about a request, the gravest first: a kill switch, the
verdict of a guard, the weight of a rollout, the default.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

Value = bool | int | float | str
Reason = Literal["KILLED", "SPLIT", "STATIC", "DEFAULT", "TYPE_MISMATCH"]
KILL = "kill."
"""What the names of kill switches begin with: ``kill.ZONE.CAPABILITY``; true is killed."""


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


class Offline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change that the broker does not know of yet: of the flag as it is, or that it is unset."""

    at_s: float
    by: str = ""
    because: str = ""


class Flags(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value of ``flags``. ``kill.ZONE.CAPABILITY`` are kill switches: true is killed."""

    generation: int = 0
    flags: dict[str, Flag] = {}
    offline: dict[str, Offline] = {}
    """Which flags were changed on this machine while the broker was away; only in the file, until
    they are merged back."""


class Resolved(NamedTuple):
    """The value of a flag for one subject, and why it has that."""

    value: Value
    reason: Reason


def resolve(flags: Flags, name: str, default: Value, subject: str | None = None) -> Resolved:
    """Return the value of a flag for a subject, or the code's default.

    Args:
        flags: the table.
        name: of the flag.
        default: what the code does without it; a value of another type is not taken. A whole
            number is taken where a float is wanted.
        subject: whose share is looked at; None: nobody's, who gets only what all get.
    """
    flag = flags.flags.get(name)
    if flag is None:
        return Resolved(default, "DEFAULT")
    value: Value = flag.value
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        return Resolved(default, "TYPE_MISMATCH")
    if flag.share < 1:
        inside = subject is not None and share_of(name, subject) < flag.share
        return Resolved(value if inside else default, "SPLIT")
    return Resolved(value, "KILLED" if name.startswith(KILL) and value is True else "STATIC")


def share_of(name: str, subject: str) -> float:
    """Return where a subject stands between 0 and 1 for a flag; always in the same place.

    A share that is raised keeps everybody who was in it.
    """
    digest = hashlib.blake2b(f"{name}\0{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def killed(flags: Flags, zone: str, capability: str) -> Flag | None:
    """Return the kill switch that is thrown, with who and why; None if it is not."""
    flag = flags.flags.get(f"{KILL}{zone}.{capability}")
    return flag if flag is not None and flag.value is True else None


def tell_kill(flag: Flag, capability: str) -> str:
    """Return a kill switch that is thrown as a sentence: who, what, why."""
    because = f": {flag.because}" if flag.because else ""
    return f"{flag.by or 'somebody'} killed {capability}{because}"


def needs_confirmation(flag: Flag, now_s: float) -> bool:
    """Return whether a person is to look at a flag again. It holds all the same."""
    return flag.confirm_s is not None and now_s >= flag.confirm_s


def newer(kept: Flags | None, told: Flags | None) -> Flags:
    """Return the table that holds on a machine, of its file and what the broker said last.

    The higher generation is newer. What was changed on this machine while the broker was away holds
    until it is merged back, but where somebody changed the same flag later.
    """
    if kept is None or told is None:
        return kept or told or Flags()
    if not kept.offline:
        return kept if kept.generation > told.generation else told
    return merge(kept, told)


def merge(kept: Flags, told: Flags) -> Flags:
    """Return the broker's table with what was changed offline laid over it; that stays marked."""
    flags, offline = dict(told.flags), {}
    for name, note in kept.offline.items():
        theirs, mine = flags.get(name), kept.flags.get(name)
        if theirs == mine or (theirs is not None and theirs.at_s > note.at_s):
            continue
        offline[name] = note
        if mine is None:
            flags.pop(name, None)
        else:
            flags[name] = mine
    if not offline:
        return told
    generation = max(kept.generation, told.generation + 1)
    return replace(told, generation=generation, flags=flags, offline=offline)


def encode_flags(flags: Flags) -> bytes:
    """Return a table as JSON."""
    return msgspec.json.encode(flags)


def decode_flags(data: bytes) -> Flags | None:
    """Return the table; None for what is none."""
    try:
        return msgspec.json.decode(data, type=Flags)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
