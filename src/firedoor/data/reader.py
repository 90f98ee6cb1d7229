"""The reader: the child process in which a source's files are parsed and its iterable runs.

It holds no credential and knows no broker. It is told where to begin, and sends batches as bytes,
each with where it comes from and where to go on, at most as many as it was given credit for. It
ends when its end of the socket does: a crash, a hang or a hunger for memory costs one process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from firedoor.errors import StepAtFault
from firedoor.ports.stage import DeadRows, Parcel
from firedoor.wire.records import DeadGroup, Position, Segment

AHEAD = 2
"""Batches that a reader makes before it is asked for them."""
SILENCE_S = 120.0
"""Longest time that a reader of files may be silent. An iterable of a user's own may wait."""
EXIT_S = 5.0
MESSAGE_BYTES_MAX = 64 * 2**20
PREFIX = struct.Struct("<IQ")


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
    header = _encoder.encode(message)
    return [PREFIX.pack(len(header), sum(map(len, payload))) + header, *payload]


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
        self._command = tuple(command)
        self._plan = plan
        self._zone = zone
        self._silence_s = silence_s
        self._child: asyncio.subprocess.Process | None = None
        self._stream: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        """The process, None if there is none."""
        return self._child.pid if self._child is not None else None

    async def begin(self, position: Position | None, known: Sequence[str]) -> None:
        """Start a process. See ``Reader.begin``."""
        await self.close()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = await asyncio.create_subprocess_exec(
                    *self._command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            self._stream, self._writer = await asyncio.open_connection(
                sock=ours, limit=MESSAGE_BYTES_MAX
            )
        except OSError as error:
            ours.close()
            await self.close()
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
                    return _fresh(said, payload)
                case Ended():
                    return None
                case Failed(code=code, message=message, columns=columns):
                    raise StepAtFault(message, code=code, signature=code, columns=columns)
                case Waiting():
                    continue

    async def close(self) -> None:
        """End the process and whatever it started. See ``Reader.close``."""
        child, writer = self._child, self._writer
        self._child = self._stream = self._writer = None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if child is not None:
            _kill(child)
            await child.wait()

    async def _hear(self) -> tuple[Said, memoryview]:
        """Return the next message.

        Raises:
            ReaderDied: if there comes none.
        """
        if self._stream is None:
            raise ReaderDied("no reader was started")
        try:
            async with asyncio.timeout(self._silence_s):
                sizes = PREFIX.unpack(await self._stream.readexactly(PREFIX.size))
                if sum(sizes) > MESSAGE_BYTES_MAX:
                    raise ReaderDied("what the reader said is no message")
                said = _said.decode(await self._stream.readexactly(sizes[0]))
                payload = await self._stream.readexactly(sizes[1])
        except TimeoutError:
            raise ReaderDied(f"the reader was silent for {self._silence_s:g} s") from None
        except (asyncio.IncompleteReadError, OSError):
            raise ReaderDied(await self._how()) from None
        except msgspec.MsgspecError as error:
            message = f"what the reader said is no message: {error}"
            raise ReaderDied(message) from error
        return said, memoryview(payload)

    async def _tell(self, message: Told) -> None:
        """Send a message; whether the reader is gone shows when it is heard next."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.writelines(encode(message))
                await self._writer.drain()

    async def _how(self) -> str:
        """Return how the reader ended."""
        child = self._child
        if child is None:
            return "the reader is gone"
        try:
            async with asyncio.timeout(EXIT_S):
                code = await child.wait()
        except TimeoutError:
            _kill(child)
            return "the reader closed its socket and went on"
        if code < 0:
            return f"the reader was killed by {signal.Signals(-code).name}"
        return f"the reader ended with exit code {code}"


def _kill(child: asyncio.subprocess.Process) -> None:
    """End a process and its group."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _fresh(batch: Batch, payload: memoryview) -> Fresh:
    """Return a batch with its bytes.

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
    )
