"""What a mirror notes of a tracking server: what it need not look at again.

It is no more than that. What was sent is found on the server by its tags, so that a note that is
behind, after a kill, or lost, doubles nothing.
"""

from __future__ import annotations

import msgspec

from firedoor.errors import StoreRefused, shorten

NOTE_VERSION = 1
NOTE_BYTES_MAX = 64 * 2**20


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one server has."""

    name: str
    """Under which the project is there."""
    runs: dict[str, str] = {}
    """The server's id by run, of those that are there whole."""
    models: dict[str, int] = {}
    """The generation that is there, by model."""
    version: int = NOTE_VERSION


_notes = msgspec.json.Decoder(Note)


def encode_note(note: Note) -> bytes:
    """Return a note as bytes."""
    return msgspec.json.encode(note) + b"\n"


def decode_note(data: bytes) -> Note:
    """Return the note in bytes.

    Raises:
        StoreRefused: if it is none, or of another version.
    """
    try:
        note = _notes.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"it is no note of a mirror: {shorten(str(error))}; give --again"
        raise StoreRefused(message) from error
    if note.version != NOTE_VERSION:
        message = f"it is of version {note.version}, and this firedoor reads {NOTE_VERSION}"
        raise StoreRefused(message)
    return note
