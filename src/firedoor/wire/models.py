"""What is kept of a model: its state, a generation, and who changed it.

A state is a line with a checksum and a line of JSON. Its latest entry is in it, so that a change
and its entry are kept in one step.
"""

from __future__ import annotations

import hashlib

import msgspec

from firedoor.errors import ChangedMeanwhile, shorten
from firedoor.registry.model import ModelState

KEPT_VERSION = 1
KEPT_BYTES_MAX = 128 * 2**20


class Standing(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a model stood at one moment."""

    champion: int | None = None
    challenger: int | None = None
    previous: int | None = None
    state: str = ""
    """Of the version that an entry is about; empty: it is not there."""


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change: who made it, why, when, and what it changed."""

    model: str
    generation: int
    """That it made."""
    what: str
    """``registered``, ``qualified``, ``promoted``, ``rolled back`` and so on."""
    at_s: float
    by: str
    because: str = ""
    number: int | None = None
    """The version that it is about; None: several, or none."""
    pruned: tuple[int, ...] = ()
    before: Standing = Standing()
    after: Standing = Standing()


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A model at one generation."""

    generation: int = 0
    """How often it was changed; 0: never."""
    state: ModelState = ModelState()
    latest: Entry | None = None
    """The change that made this generation."""


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    version: int
    sha256: str


class Garbled(ValueError):
    """Bytes are no state of a model."""


_kept = msgspec.json.Decoder(Kept)
_head = msgspec.json.Decoder(_Head)
_entry = msgspec.json.Decoder(Entry)


def encode_kept(kept: Kept) -> bytes:
    """Return a state as bytes."""
    body = msgspec.json.encode(kept)
    head = _Head(version=KEPT_VERSION, sha256=hashlib.sha256(body).hexdigest())
    return msgspec.json.encode(head) + b"\n" + body + b"\n"


def decode_kept(data: bytes) -> Kept:
    """Return the state that the bytes are.

    Raises:
        Garbled: if they are none, or not all of what was written.
    """
    first, _, body = data.partition(b"\n")
    try:
        head = _head.decode(first)
        if head.version != KEPT_VERSION:
            message = f"version {head.version}, and this firedoor reads {KEPT_VERSION}"
            raise Garbled(message)
        if hashlib.sha256(body.removesuffix(b"\n")).hexdigest() != head.sha256:
            message = "the checksum does not fit"
            raise Garbled(message)
        return _kept.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Garbled(shorten(str(error))) from error


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as a line."""
    return msgspec.json.encode(entry) + b"\n"


def decode_entry(line: bytes) -> Entry:
    """Return the entry that a line is.

    Raises:
        Garbled: if it is none.
    """
    try:
        return _entry.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Garbled(shorten(str(error))) from error


def check_next(model: str, kept: Kept, found: Kept) -> None:
    """Refuse a generation that is not the one after what is there.

    Raises:
        ChangedMeanwhile: if somebody was faster.
    """
    if kept.generation == found.generation + 1:
        return
    latest = found.latest
    what = "nobody has changed it" if latest is None else f"{latest.by} {told(latest)}"
    message = (
        f"{model} was changed meanwhile: {what} (generation {found.generation}). Nothing was "
        f"changed by this; look at `firedoor models show {model}`, and decide anew"
    )
    raise ChangedMeanwhile(message, expected=kept.generation - 1, found=found.generation)


def told(entry: Entry) -> str:
    """Return what was done in a few words: ``promoted version 3 (faster)``."""
    about = "" if entry.number is None else f" version {entry.number}"
    return f"{entry.what}{about}" + (f" ({entry.because})" if entry.because else "")
