"""The journal of a process, and the way from there into the ledger.

What a process notes is on the disk within a moment, and in the ledger when the broker is there. A
process that was killed leaves its journal; whoever else is at work in the project forwards it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.adapters.files.journal import FileJournal
from firedoor.adapters.files.spool import Left, journals, read_journal, take_over
from firedoor.compose.outfit import replica
from firedoor.compose.process_notes import began
from firedoor.errors import FiredoorError
from firedoor.events.happened import Happened
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.ports.telemetry import Journal

FOLDER = "journal"
AGAIN_S = 1.0
"""After which is tried again to reach the ledger; it doubles up to ``AGAIN_MAX_S``."""
AGAIN_MAX_S = 15.0
AT_ONCE = 64
HELD_S = 1.0
LAST_S = 1.0
"""For which a process that ends tries to forward what it has noted."""
ADOPT_S = 5.0
CONNECT_S = 1.0


def begin_journal(folder: Path, name: str, *, clock: Clock, zone: str | None = None) -> FileJournal:
    """Return the journal of this process.

    Args:
        folder: ``.firedoor``.
        name: of the zone or command; other characters than letters, digits and - become -.
        clock: the time.
        zone: whose entries all of them are; None: as each says.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    process = f"{replica()}-{secrets.token_hex(4)}"
    return FileJournal(folder / FOLDER, plain, process=process, clock=clock, zone=zone)


@dataclass(slots=True, kw_only=True)
class Forwarding:
    """Forwards one journal whenever there is a broker to forward to."""

    journal: FileJournal
    clock: Clock
    streams: Streams | None = None
    failing: bool = False
    """Whether the broker does not take what waits."""
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def reach(self, streams: Streams | None) -> None:
        """Forward to these streams from now on; None: to nobody."""
        self.streams, self.failing = streams, False
        self._bell.set()

    async def run(self) -> None:
        """Forward for ever; nobody has to wait for it, and what fails is tried again."""
        loop = asyncio.get_running_loop()

        def ring() -> None:
            loop.call_soon_threadsafe(self._bell.set)

        self.journal.ring, again_s = ring, AGAIN_S
        try:
            while True:
                await self._rung()
                self.failing = not await self._send_all()
                if self.failing:
                    await self.clock.wait(again_s)
                    again_s = min(2 * again_s, AGAIN_MAX_S)
                    self._bell.set()
                else:
                    again_s = AGAIN_S
        finally:
            self.journal.ring = lambda: None

    async def _rung(self) -> None:
        """Return when something waits; look each second, while something is held back."""
        while not self._bell.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HELD_S if self.journal.holds else None):
                    await self._bell.wait()
            self.journal.tell_held()
        self._bell.clear()

    async def finish(self, within_s: float = LAST_S) -> None:
        """Forward what is left, if the broker is there, and end the journal."""
        self.journal.tell_held(all_of_it=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._send_all()
        self.journal.close()

    async def _send_all(self) -> bool:
        """Forward what waits; return whether nothing is left for later."""
        while waiting := self.journal.waiting(AT_ONCE):
            streams = self.streams
            if streams is None:
                return True  # the next one rings
            try:
                for happened in waiting:
                    await streams.enter(happened)
                    self.journal.forwarded(happened.sequence)
            except FiredoorError:
                return False
        return True


async def adopt(
    folder: Path, streams: Streams, journal: Journal, *, clock: Clock, name: str = "*"
) -> int:
    """Forward what processes have left that are gone; return how many entries that is.

    Args:
        folder: ``.firedoor``.
        streams: where to.
        journal: notes what cannot be read.
        clock: the time.
        name: of the processes: a zone may forward what is its own.

    Raises:
        StreamsUnavailable: if the broker is away. What is left stays.
    """
    count = 0
    for path in await asyncio.to_thread(journals, folder / FOLDER, name):
        count += await _adopt_one(path, streams, journal, clock)
    return count


async def _adopt_one(path: Path, streams: Streams, journal: Journal, clock: Clock) -> int:
    """Forward what one process has left."""
    try:
        left = await asyncio.to_thread(take_over, path)
    except OSError:
        return 0  # the next time, perhaps
    if left is None:
        return 0
    sent = False
    try:
        for happened in left.entries:
            await streams.enter(happened)
        if left.unreadable:
            journal.note(_unreadable(left, clock.utc_s()))
        sent = True
    finally:
        with contextlib.suppress(OSError):
            left.let_go(sent=sent)
    return len(left.entries)


def _unreadable(left: Left, at_s: float) -> Happened:
    """Return the entry that says what could not be read."""
    return Happened(
        at_s=at_s, kind="gap", code="unreadable", about=left.path.name,
        text=f"{left.unreadable} entries of {left.path.name} could not be read",
        facts={"lost": left.unreadable},
    )  # fmt: skip


def leave_word(folder: Path, happened: Happened, *, name: str, clock: Clock) -> None:
    """Note one entry for a command that is about to end: others forward it. Blocks for a moment.

    Never raises: what somebody did is not undone because it cannot be told.
    """
    journal = begin_journal(folder, name, clock=clock)
    journal.note(happened)
    journal.close()


def spooled(folder: Path) -> list[Happened]:
    """Return what is in the journals of this machine, of processes that live as well. Blocks."""
    found: list[Happened] = []
    for path in journals(folder / FOLDER):
        with contextlib.suppress(OSError):  # forwarded meanwhile
            found += read_journal(path)
    return found


class Journaling:
    """What a process notes, and the way of that into the ledger."""

    def __init__(self, folder: Path, name: str, clock: Clock, *, zone: str | None = None) -> None:
        """Begin a journal.

        Args:
            folder: ``.firedoor``.
            name: of the zone or command.
            clock: the time.
            zone: whose entries all of them are, and none of others; None: as each says.
        """
        self._folder, self._zone, self._clock = folder, zone, clock
        self.journal = begin_journal(folder, name, clock=clock, zone=zone)
        self._forwarding = Forwarding(journal=self.journal, clock=clock)
        self.journal.note(began(f"zone {name}" if zone else name, clock.utc_s()))

    def reach(self, streams: Streams | None) -> None:
        """Forward to these streams from now on; None: to nobody."""
        self._forwarding.reach(streams)

    async def run(self, streams: Streams | None = None) -> None:
        """Forward for ever, what processes have left as well that are gone.

        A zone's process looks for that once, and only for what is of its zone.
        """
        if streams is not None:
            self.reach(streams)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forwarding.run())
            group.create_task(self._adopt())

    async def by_itself(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Connect, and forward for ever: for who needs the broker for nothing else."""
        while True:
            try:
                streams = await connect()
            except FiredoorError:
                await self._clock.wait(CONNECT_S)
                continue
            try:
                await self._until_away(streams)
            finally:
                await streams.close()

    async def _until_away(self, streams: Streams) -> None:
        """Forward until the broker takes nothing: it may be elsewhere by now."""
        try:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.run(streams))
                while not self._forwarding.failing:
                    await self._clock.wait(CONNECT_S)
                running.cancel()
        except asyncio.CancelledError:
            await self.finish()
            raise

    async def finish(self) -> None:
        """Forward what is left, if the broker is there, and end the journal."""
        await self._forwarding.finish()

    def close(self) -> None:
        """End the journal; what is not forwarded stays for others."""
        self.journal.close()

    async def _adopt(self) -> None:
        """Forward what others have left."""
        while True:
            streams = self._forwarding.streams
            if streams is not None:
                with contextlib.suppress(FiredoorError):  # the next time
                    await adopt(
                        self._folder, streams, self.journal, clock=self._clock,
                        name=self._zone or "*",
                    )  # fmt: skip
                if self._zone is not None:
                    return
            await self._clock.wait(ADOPT_S)
