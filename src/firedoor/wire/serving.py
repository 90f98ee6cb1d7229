"""Requests and answers between a gateway and the workers that hold models.

A frame is a fixed head and raw sections, so that a body is copied by the kernel and by nobody else:
what breaks a parser breaks it in the worker. Deadlines are on ``CLOCK_MONOTONIC``, which processes
of one machine share.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple

FRAME_BYTES_MAX = 64 * 2**20
ROWS_MAX = 100_000

ASK = struct.Struct("<IQBBdII")
TELL = struct.Struct("<IQBfIII")


class Form(enum.IntEnum):
    """How the rows of a request are written."""

    ROWS = 1
    """JSON: an object a row, or a list of them."""
    V2 = 2
    """The Open Inference Protocol, tensors in JSON."""
    V2_BINARY = 3
    """The same, ``json_bytes`` of JSON and then tensors as they are."""


class Outcome(enum.IntEnum):
    """What became of an ask. From ``RAISED`` on it is the variant's failure."""

    OK = 0
    REFUSED = 1
    """The request is not what the model takes: the client's fault, ``message`` says what to do."""
    EXPIRED = 2
    """Its deadline passed before it was begun."""
    BUSY = 3
    """The variant has no room, or is not ready: nothing was tried."""
    RAISED = 10
    NON_FINITE = 11
    """A prediction is NaN or infinite."""
    MISSHAPED = 12
    """Not one prediction a row, or not of the declared type."""
    DIED = 13
    """The worker died with it in its hands."""
    LATE = 14
    """No answer within the time of one attempt."""


_FORMS = {form.value: form for form in Form}
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
FAILURES = frozenset(outcome for outcome in Outcome if outcome >= Outcome.RAISED)


class Ask(NamedTuple):
    """One request to one variant."""

    form: Form
    body: bytes
    json_bytes: int = 0
    """Of the body, that are JSON: of ``V2_BINARY``."""
    deadline_s: float = 0.0
    """On ``CLOCK_MONOTONIC``; not begun after it."""
    extra: bytes = b""
    """Further columns, msgpack ``{column: [value a row]}``: features that were looked up."""
    suspect: bool = False
    """It was in a worker's hands when that died: run alone, in a worker that serves nobody else."""


class Told(NamedTuple):
    """What a variant says to one ask."""

    outcome: Outcome
    rows: int = 0
    scores: bytes = b""
    """The first output of each row as little-endian float64, for comparing and logging."""
    fragment: bytes = b""
    """``ROWS``: JSON of the answer's rows, a list. ``V2``: JSON of ``outputs``, a list."""
    tail: bytes = b""
    """``V2_BINARY`` and whoever asks for binary outputs: tensors as they are."""
    message: str = ""
    """Of anything but ``OK``; masked, at most 500 characters."""
    signature: str = ""
    """Of a failure: what it is counted by, ``ValueError model.py:31`` or ``SIGSEGV``."""
    seconds: float = 0.0
    """In the model, for the whole batch that it was in."""


def encode_ask(number: int, ask: Ask) -> tuple[bytes, bytes, bytes]:
    """Return the pieces of a frame: head, extra columns, body."""
    size = ASK.size - 4 + len(ask.extra) + len(ask.body)
    flags = ask.suspect
    head = ASK.pack(size, number, ask.form, flags, ask.deadline_s, len(ask.extra), ask.json_bytes)
    return head, ask.extra, ask.body


def decode_ask(frame: memoryview) -> tuple[int, Ask]:
    """Return number and ask of a whole frame, its length included."""
    _, number, form, flags, deadline_s, extra, json_bytes = ASK.unpack_from(frame)
    at = ASK.size + extra
    beside = bytes(frame[ASK.size : at]) if extra else b""
    return number, Ask(
        _FORMS[form], bytes(frame[at:]), json_bytes, deadline_s, beside, bool(flags & 1)
    )


def encode_told(number: int, told: Told) -> bytes:
    """Return a frame. Failures carry ``signature NUL message`` where answers carry a fragment."""
    fragment = told.fragment
    if told.outcome is not Outcome.OK:
        fragment = f"{told.signature}\0{told.message}".encode()
    size = TELL.size - 4 + len(told.scores) + len(fragment) + len(told.tail)
    head = TELL.pack(
        size, number, told.outcome, told.seconds, told.rows, len(told.scores), len(fragment)
    )
    return b"".join((head, told.scores, fragment, told.tail))


def decode_told(frame: memoryview) -> tuple[int, Told]:
    """Return number and answer of a whole frame, its length included.

    Raises:
        ValueError: if it is none; the sender is broken and must be replaced.
    """
    _, number, outcome, seconds, rows, scores, fragment = TELL.unpack_from(frame)
    first, last = TELL.size + scores, TELL.size + scores + fragment
    if last > len(frame):
        message = f"sections of {scores} and {fragment} bytes in a frame of {len(frame)}"
        raise ValueError(message)
    kind, said = _OUTCOMES.get(outcome), bytes(frame[first:last])
    if kind is None:
        message = f"an outcome {outcome}, which is none"
        raise ValueError(message)
    if kind is Outcome.OK:
        scored = bytes(frame[TELL.size : first])
        tail = bytes(frame[last:]) if last < len(frame) else b""
        return number, Told(kind, rows, scored, said, tail, "", "", seconds)
    signature, _, message = said.decode(errors="replace").partition("\0")
    return number, Told(kind, rows, message=message, signature=signature, seconds=seconds)
