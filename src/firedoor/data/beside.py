"""The process beside a zone's own in which new code runs on copies of batches.

It has a wall and workers of its own, holds no credential and knows no broker. What the zone says to
it and hears from it is here; ``compose.shadow_process`` is the other end. It ends when its end of
the socket does. Whatever becomes of it, the live zone only hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from firedoor.data.child import Child, NoMessage, framed
from firedoor.flow.code import Compared
from firedoor.ports.stage import DeadRows, Handled, Parcel
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import DeadGroup


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag="begin"):
    """First message: which code to run."""

    plan: bytes
    zone: str
    project: str
    """The project folder, in which lookups and models are."""


class Try(msgspec.Struct, frozen=True, kw_only=True, tag="try", omit_defaults=True):
    """A batch, and what the live code made of it. Payload: the batch's, then that of the parcel."""

    envelope: Envelope
    """With the versions of lookups and models that the live code had for it."""
    batch_bytes: int
    frame_bytes: int
    rows: int
    numbered: bool = True
    dropped: dict[str, int] = {}
    groups: tuple[DeadGroup, ...] = ()
    step_s: float = 0.0


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    """The code is loaded."""


class Tried(msgspec.Struct, frozen=True, kw_only=True, tag="tried"):
    """What both made of a batch."""

    compared: Compared


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """There is nothing to compare."""

    what: Literal["fault", "away"]
    """``fault``: the code is at fault. ``away``: what it needs is not there for this batch."""
    message: str


Told = Begin | Try
Said = Ready | Tried | Failed

_encoder = msgspec.msgpack.Encoder()
_told: msgspec.msgpack.Decoder[Told] = msgspec.msgpack.Decoder(Told)
_said: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A batch that the live zone has just done."""

    envelope: Envelope
    payload: bytes
    handled: Handled
    peak_bytes: int = 0
    """Most memory of one of its workers so far."""
    lost: int = 0
    """Workers that died over it."""


class BesideDied(Exception):
    """The process is gone, or what it said is no message."""


class BesideHangs(Exception):
    """The process said nothing within its limit."""


class Beside(Protocol):
    """Where new code runs."""

    async def begin(self) -> Said:
        """Start, and return whether the code is loaded.

        Raises:
            BesideDied, BesideHangs: as they say.
        """
        ...

    async def take(self, copy: Copy) -> Said:
        """Return what became of a copy, and in what it differs.

        Raises:
            BesideDied, BesideHangs: as they say.
        """
        ...

    async def close(self) -> None:
        """End it."""
        ...


def encode(message: Told | Said, *payload: bytes) -> list[bytes]:
    """Return the pieces to write, in order."""
    return framed(_encoder.encode(message), *payload)


def decode_told(header: bytes) -> Told:
    """Return what the process is told. Raises msgspec.DecodeError if it is nothing."""
    return _told.decode(header)


def handled_of(told: Try, payload: bytes) -> Handled:
    """Return what the live code made of the batch, at the process's end."""
    parcel = Parcel(payload[told.batch_bytes :], told.frame_bytes, told.rows)
    dead = DeadRows(b"", 0, sum(group.rows for group in told.groups), told.groups)
    return Handled(
        parcel=parcel,
        dead=dead,
        dropped=told.dropped,
        numbered=told.numbered,
        step_s=told.step_s,
    )


class BesideProcess:
    """New code in a child process. See ``Beside``."""

    def __init__(
        self, command: Sequence[str], begin: Begin, *, load_s: float, batch_s: float
    ) -> None:
        """Start nothing yet.

        Args:
            command: starts the process; the number of its end of a socket is added as an argument.
            begin: what it is told first.
            load_s: longest time until its code is loaded.
            batch_s: longest time for a batch.
        """
        self._child = Child(command)
        self._begin = begin
        self._load_s = load_s
        self._batch_s = batch_s

    @property
    def pid(self) -> int | None:
        """The process, None if there is none."""
        return self._child.pid

    async def begin(self) -> Said:
        """Start a process. See ``Beside.begin``."""
        try:
            await self._child.start()
        except OSError as error:
            message = f"no process can be started: {error}"
            raise BesideDied(message) from error
        return await self._ask(encode(self._begin), self._load_s)

    async def take(self, copy: Copy) -> Said:
        """Have a batch tried. See ``Beside.take``."""
        handled = copy.handled
        told = Try(
            envelope=msgspec.structs.replace(
                copy.envelope,
                lookups={**copy.envelope.lookups, **handled.lookups},
                models={**copy.envelope.models, **handled.models},
            ),
            batch_bytes=len(copy.payload),
            frame_bytes=handled.parcel.frame_bytes,
            rows=handled.parcel.rows,
            numbered=handled.numbered,
            dropped=handled.dropped,
            groups=handled.dead.groups if handled.dead else (),
            step_s=handled.step_s,
        )
        return await self._ask(encode(told, copy.payload, handled.parcel.payload), self._batch_s)

    async def close(self) -> None:
        """End the process and whatever it started. See ``Beside.close``."""
        await self._child.close()

    async def _ask(self, pieces: list[bytes], limit_s: float) -> Said:
        """Send a message, and return what is said to it.

        Raises:
            BesideDied, BesideHangs: as they say.
        """
        if not self._child.started:
            raise BesideDied("no process was started")
        try:
            async with asyncio.timeout(limit_s):
                await self._child.write(pieces)
                header, _ = await self._child.read()
                return _said.decode(header)
        except TimeoutError:
            message = f"nothing was heard of it for {limit_s:g} s"
            raise BesideHangs(message) from None
        except (asyncio.IncompleteReadError, OSError):
            message = f"it {await self._child.how()}"
            raise BesideDied(message) from None
        except (NoMessage, msgspec.MsgspecError) as error:
            message = f"what it said is no message: {error}"
            raise BesideDied(message) from error
