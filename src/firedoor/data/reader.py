"""The reader: the child process in which a source's files are parsed and its iterable runs.

It holds no credential and knows no broker. It is told where to begin, and sends batches as bytes,
each with where it comes from and where to go on, at most as many as it was given credit for. It
ends when its end of the socket does: a crash, a hang or a hunger for memory costs one process.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from firedoor.data.child import Child, NoMessage, framed
from firedoor.errors import StepAtFault
from firedoor.events.work import Ran
from firedoor.ports.stage import DeadRows, Parcel
from firedoor.wire.records import DeadGroup, Position, Segment

AHEAD = 2
"""Batches that a reader makes before it is asked for them."""
SILENCE_S = 120.0
"""Longest time that a reader of files may be silent. An iterable of a user's own may wait."""


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """First message to a reader: what to read."""

    plan: bytes
    zone: str
    position: Position | None
    known: tuple[str, ...]
    """Files that batches were cut from, in that order."""


class Credit(msgspec.Struct, frozen=True, kw_only=True, tag="credit"):
    """One more batch may be sent."""


class Batch(msgspec.Struct, frozen=True, kw_only=True, tag="batch"):
    """A batch. Payload: the parcel's, then that of the dead rows."""

    parcel_bytes: int
    frame_bytes: int
    rows: int
    schema: str
    lines: int
    dropped: dict[str, int]
    segment: Segment
    position: Position
    dead_rows: int = 0
    dead_frame_bytes: int = 0
    groups: tuple[DeadGroup, ...] = ()
    began_s: float = 0.0
    """When the reader began to cut it, UTC, and how long that took."""
    seconds: float = 0.0


class Waiting(msgspec.Struct, frozen=True, kw_only=True, tag="waiting"):
    """There is nothing to read yet; it goes on looking."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """There is nothing more to read."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """It cannot go on; the process ends."""

    code: str
    message: str
    columns: tuple[str, ...] = ()


Told = Begin | Credit
Said = Batch | Waiting | Ended | Failed

_encoder = msgspec.msgpack.Encoder()
_told: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
_said: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)


class ReaderDied(Exception):
    """The reader process is gone, or what it said is no message; a new one may do better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A batch as it was cut."""

    parcel: Parcel
    dead: DeadRows | None
    dropped: dict[str, int]
    lines: int
    segment: Segment
    position: Position
    read: Ran | None = None
    """Who cut it, when, and how long that took."""


class Reader(Protocol):
    """Where a source's batches come from."""

    async def begin(self, position: Position | None, known: Sequence[str]) -> None:
        """Go on at a place, in a new process; what was read ahead is forgotten.

        Raises:
            ReaderDied: if no process can be started.
        """
        ...

    async def next(self) -> Fresh | None:
        """Return the next batch, None if there are no more.

        Raises:
            StepAtFault: if it cannot go on: a file is missing, damaged, changed, not of the schema.
            ReaderDied: if the process is gone.
        """
        ...

    async def close(self) -> None:
        """End the process."""
        ...


def encode(message: Told | Said, *payload: bytes) -> list[bytes]:
    """Return the pieces to write, in order."""
    return framed(_encoder.encode(message), *payload)


def decode_told(header: bytes) -> Told:
    """Return what the reader is told. Raises msgspec.DecodeError if it is nothing."""
    return _told.decode(header)


class ReaderProcess:
    """A reader as a child process. See ``Reader``."""

    def __init__(
        self, command: Sequence[str], *, plan: bytes, zone: str, silence_s: float | None = SILENCE_S
    ) -> None:
        """Start nothing yet.

        Args:
            command: starts a reader; the number of its end of a socket is added as an argument.
            plan: the pipeline's plan as JSON.
            zone: the source.
            silence_s: longest time without a word from it, while it is owed one; None: any.
        """
        self._child = Child(command)
        self._plan = plan
        self._zone = zone
        self._silence_s = silence_s

    @property
    def pid(self) -> int | None:
        """The process, None if there is none."""
        return self._child.pid

    async def begin(self, position: Position | None, known: Sequence[str]) -> None:
        """Start a process. See ``Reader.begin``."""
        try:
            await self._child.start()
        except OSError as error:
            message = f"no reader process can be started: {error}"
            raise ReaderDied(message) from error
        begin = Begin(plan=self._plan, zone=self._zone, position=position, known=tuple(known))
        await self._tell(begin)
        for _ in range(AHEAD):
            await self._tell(Credit())

    async def next(self) -> Fresh | None:
        """Return the next batch. See ``Reader.next``."""
        while True:
            said, payload = await self._hear()
            match said:
                case Batch():
                    await self._tell(Credit())
                    return _fresh(said, payload, self.pid)
                case Ended():
                    return None
                case Failed(code=code, message=message, columns=columns):
                    raise StepAtFault(message, code=code, signature=code, columns=columns)
                case Waiting():
                    continue

    async def close(self) -> None:
        """End the process and whatever it started. See ``Reader.close``."""
        await self._child.close()

    async def _hear(self) -> tuple[Said, memoryview]:
        """Return the next message.

        Raises:
            ReaderDied: if there comes none.
        """
        if not self._child.started:
            raise ReaderDied("no reader was started")
        try:
            async with asyncio.timeout(self._silence_s):
                header, payload = await self._child.read()
                return _said.decode(header), memoryview(payload)
        except TimeoutError:
            raise ReaderDied(f"the reader was silent for {self._silence_s:g} s") from None
        except (asyncio.IncompleteReadError, OSError):
            message = f"the reader {await self._child.how()}"
            raise ReaderDied(message) from None
        except (NoMessage, msgspec.MsgspecError) as error:
            message = f"what the reader said is no message: {error}"
            raise ReaderDied(message) from error

    async def _tell(self, message: Told) -> None:
        """Send a message; whether the reader is gone shows when it is heard next."""
        if self._child.started:
            with contextlib.suppress(OSError):
                await self._child.write(encode(message))


def _fresh(batch: Batch, payload: memoryview, pid: int | None) -> Fresh:
    """Return a batch with its bytes; ``pid`` is of its reader.

    Raises:
        ReaderDied: if they do not fit.
    """
    if batch.parcel_bytes > len(payload) or batch.frame_bytes > batch.parcel_bytes:
        raise ReaderDied("what the reader said does not fit its payload")
    parcel = Parcel(
        bytes(payload[: batch.parcel_bytes]), batch.frame_bytes, batch.rows, batch.schema
    )
    dead = None
    if batch.dead_rows:
        rest = bytes(payload[batch.parcel_bytes :])
        dead = DeadRows(rest, batch.dead_frame_bytes, batch.dead_rows, batch.groups)
    return Fresh(
        parcel=parcel,
        dead=dead,
        dropped=batch.dropped,
        lines=batch.lines,
        segment=batch.segment,
        position=batch.position,
        read=Ran(pid or 0, batch.began_s, batch.seconds, batch.lines),
    )
