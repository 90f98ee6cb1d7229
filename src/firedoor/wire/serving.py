"""Requests and answers between a gateway and the workers that hold models.

A frame is a fixed head and raw sections, so that a body is copied by the kernel and by nobody else:
what breaks a parser breaks it in the worker. Deadlines are on ``CLOCK_MONOTONIC``, which processes
of one machine share.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
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


_OK = Outcome.OK
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
    traced: bool = False
    """Whether somebody wants to see which process runs it; not told to that one."""


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
    pid: int = 0
    """Of the process that ran it, where the ask was traced; else, and where nobody did, 0."""


def encode_ask(number: int, ask: Ask) -> tuple[bytes, bytes, bytes]:
    """Return the pieces of a frame: head, extra columns, body."""
    size = ASK.size - 4 + len(ask.extra) + len(ask.body)
    flags = ask.suspect
    head = ASK.pack(size, number, ask.form, flags, ask.deadline_s, len(ask.extra), ask.json_bytes)
    return head, ask.extra, ask.body


def decode_asks(frames: bytes) -> list[tuple[int, Ask]]:
    """Return numbers and asks of whole frames, one after the other."""
    found, at = [], 0
    while at < len(frames):
        size, number, form, flags, deadline_s, extra, json_bytes = ASK.unpack_from(frames, at)
        body = at + ASK.size + extra
        beside = frames[body - extra : body] if extra else b""
        at += 4 + size
        ask = Ask(_FORMS[form], frames[body:at], json_bytes, deadline_s, beside, bool(flags & 1))
        found.append((number, ask))
    return found


def encode_told(number: int, told: Told) -> bytes:
    """Return a frame. Failures carry ``signature NUL message`` where answers carry a fragment."""
    if told.outcome is Outcome.OK:
        return encode_good(
            number, told.rows, told.scores, told.fragment, told.tail, seconds=told.seconds
        )
    said = f"{told.signature}\0{told.message}".encode()
    size = TELL.size - 4 + len(said)
    return TELL.pack(size, number, told.outcome, told.seconds, told.rows, 0, len(said)) + said


def encode_good(
    number: int, rows: int, scores: bytes, fragment: bytes, tail: bytes = b"", *, seconds: float
) -> bytes:
    """Return the frame of an answer, see ``Told``."""
    size = TELL.size - 4 + len(scores) + len(fragment) + len(tail)
    head = TELL.pack(size, number, 0, seconds, rows, len(scores), len(fragment))
    return b"".join((head, scores, fragment, tail))


def decode_tolds(frames: bytes) -> Iterator[tuple[int, Told]]:
    """Yield numbers and answers of whole frames, one after the other.

    Raises:
        ValueError: at what is none; the sender is broken and must be replaced.
    """
    at = 0
    while at < len(frames):
        size, number, outcome, seconds, rows, scores, fragment = TELL.unpack_from(frames, at)
        first = at + TELL.size
        at += 4 + size
        middle = first + scores
        last = middle + fragment
        if last > at:
            message = f"sections of {scores} and {fragment} bytes in a frame of {4 + size}"
            raise ValueError(message)
        said = frames[middle:last]
        if not outcome:
            tail = frames[last:at] if last < at else b""
            yield number, Told(_OK, rows, frames[first:middle], said, tail, "", "", seconds)
            continue
        kind = _OUTCOMES.get(outcome)
        if kind is None:
            message = f"an outcome {outcome}, which is none"
            raise ValueError(message)
        signature, _, message = said.decode(errors="replace").partition("\0")
        yield number, Told(kind, rows, message=message, signature=signature, seconds=seconds)
