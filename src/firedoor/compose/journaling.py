"""The journal of a process, and the way from there into the ledger.

What a process notes is on the disk within a moment, and in the ledger when the broker is there. A
process that was killed leaves its journal; whoever else is at work in the project forwards it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.adapters.files.journal import FileJournal
from firedoor.adapters.files.spool import Left, journals, read_journal, take_over
from firedoor.compose.chores import repeat
from firedoor.compose.outfit import replica, version
from firedoor.data.happenings import Happenings
from firedoor.errors import FiredoorError
from firedoor.events.happened import Happened
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.ports.telemetry import Journal

FOLDER = "journal"
AGAIN_S = 1.0
"""After which is tried again to reach the ledger."""
AT_ONCE = 64
LAST_S = 1.0
"""For which a process that ends tries to forward what it has noted."""
ADOPT_S = 5.0


def begin_journal(
    folder: Path, name: str, *, clock: Clock, zone: str | None = None
) -> FileJournal:
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
    _streams: Streams | None = None
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def reach(self, streams: Streams | None) -> None:
        """Forward to these streams from now on; None: to nobody."""
        self._streams = streams
        self._bell.set()

    async def run(self) -> None:
        """Forward for ever; nobody has to wait for it, and what fails is tried again."""
        loop = asyncio.get_running_loop()

        def ring() -> None:
            loop.call_soon_threadsafe(self._bell.set)

        self.journal.ring = ring
        try:
            while True:
                await self._bell.wait()
                self._bell.clear()
                if not await self._send_all():
                    await self.clock.wait(AGAIN_S)
                    self._bell.set()
        finally:
            self.journal.ring = lambda: None

    async def finish(self, within_s: float = LAST_S) -> None:
        """Forward what is left, if the broker is there, and end the journal."""
        self.journal.tell_held()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._send_all()
        self.journal.close()

    async def _send_all(self) -> bool:
        """Forward what waits; return whether nothing is left for later."""
        while waiting := self.journal.waiting(AT_ONCE):
            streams = self._streams
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


def adoption(
    folder: Path, streams: Streams, journal: Journal, *, clock: Clock, tell: Callable[[str], None]
) -> Coroutine[object, object, None]:
    """Return what forwards, for ever, what processes have left that are gone."""

    async def work() -> None:
        await adopt(folder, streams, journal, clock=clock)

    undone = "what processes noted that are gone is not in the ledger"
    return repeat(work, every_s=ADOPT_S, clock=clock, tell=tell, undone=undone)


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


class ZoneJournaling:
    """What a zone's process notes, under its own name, and the way of that into the ledger."""

    def __init__(self, folder: Path, zone: str, clock: Clock) -> None:
        """Begin the journal; ``folder`` is ``.firedoor``."""
        self._folder, self._zone, self._clock = folder, zone, clock
        self._journal = begin_journal(folder, zone, clock=clock, zone=zone)
        self._forwarding = Forwarding(journal=self._journal, clock=clock)
        self._streams: Streams | None = None

    def begin(self, streams: Streams, happenings: Happenings) -> None:
        """Note that the process begins, and take what it notes from now on."""
        happenings.journal = self._journal
        self._journal.note(began(f"zone {self._zone}", self._clock.utc_s()))
        self._forwarding.reach(streams)
        self._streams = streams

    async def run(self) -> None:
        """Forward for ever, at first what processes of the zone have left that are gone."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forwarding.run())
            if self._streams is not None:
                await self._adopt(self._streams)

    async def _adopt(self, streams: Streams) -> None:
        """Forward what others have left; whoever supervises does so as well."""
        with contextlib.suppress(FiredoorError):
            await adopt(
                self._folder, streams, self._journal, clock=self._clock, name=self._zone
            )

    async def finish(self) -> None:
        """Forward what is left."""
        await self._forwarding.finish()

    def close(self) -> None:
        """End the journal; what is not forwarded stays for others."""
        self._journal.close()


def began(what: str, at_s: float) -> Happened:
    """Return the entry that says that this process began."""
    return Happened(
        at_s=at_s, kind="process.began", code="began", text=f"{what} began (process {os.getpid()})",
        about=what, facts={"pid": os.getpid(), "firedoor": version()},
    )  # fmt: skip
