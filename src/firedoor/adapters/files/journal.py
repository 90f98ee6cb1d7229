"""A process's journal: what it noted and the ledger does not have yet, in memory and on the disk.

Whoever notes something waits for nothing: a thread of the journal's own writes to the disk, and
another task forwards to the ledger. Both may be away for as long as they like. What has no room is
counted, and told as a gap as soon as there is some.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from firedoor.adapters.files.spool import SUFFIX, Spool
from firedoor.errors import shorten
from firedoor.events.bounded import bounded
from firedoor.events.happened import Happened
from firedoor.events.kinds import book_of
from firedoor.events.pace import Pace
from firedoor.ports.clock import Clock

BYTES_MAX = 512 * 2**10
"""Of entries that the ledger does not have: a thousand or more."""
UNWRITTEN_MAX = 10_000
"""Entries that wait for the disk; beyond that it gets what is not forwarded, and no more."""
GAP_BYTES = 2_048
"""That are kept free for telling how many were lost."""
CLOSE_S = 1.0
"""For which the disk is waited for at the end."""


@dataclass(slots=True)
class _Lost:
    """Entries that had no room."""

    count: int = 0
    first: int = 0
    last: int = 0
    """Their sequences, in a row or not."""


class FileJournal:
    """See ``ports.telemetry.Journal``. ``waiting`` and ``forwarded`` are for who forwards it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        process: str,
        clock: Clock,
        zone: str | None = None,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """Begin a journal ``NAME.PROCESS.jsonl``; where none can be kept it is in memory only.

        Args:
            folder: where journals are: ``.firedoor/journal``.
            name: of the zone or command; ``process`` tells its processes apart.
            process: which process this is; letters, digits, _ and -.
            clock: the time.
            zone: whose entries all of them are; None: as each says. A zone notes no acts.
            bytes_max: of entries that the ledger does not have.
        """
        self.process = process
        self.fault = ""
        """Why nothing is kept on the disk; empty: it is."""
        self.ring: Callable[[], None] = lambda: None
        """Called when something waits to be forwarded; by any thread."""
        self._name, self._zone, self._clock = name, zone, clock
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._pace = Pace()
        self._sequence = 0
        self._unsent: deque[tuple[Happened, bytes]] = deque()
        self._bytes = 0
        self._lost = _Lost()
        self._unwritten: list[bytes] = []
        self._anew = False
        """Whether the file is to be written anew, with what is not sent and nothing else."""
        self._ending = False
        self._work = threading.Event()
        self._path = folder / f"{name}.{process}{SUFFIX}"
        self._thread = threading.Thread(target=self._write_all, name="journal", daemon=True)
        self._thread.start()

    def note(self, happened: Happened) -> None:
        """Take an entry, stamp it and keep it; what has no room is counted, and told as a gap."""
        with self._lock:
            for told in self._pace.take(happened, self._clock.now_s()):
                self._keep(told)
        self._rung()

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        with self._lock:
            return self._pace.holds

    def tell_held(self, *, all_of_it: bool = False) -> None:
        """Note what was held back long enough; or all of it, since little more will come."""
        with self._lock:
            due = self._pace.due(self._clock.now_s(), all_of_it=all_of_it)
            for told in due:
                self._keep(told)
        if due:
            self._rung()

    def waiting(self, count: int) -> list[Happened]:
        """Return the oldest entries that the ledger does not have, at most so many."""
        with self._lock:
            return [happened for happened, _ in list(self._unsent)[:count]]

    def forwarded(self, sequence: int) -> None:
        """Forget entries up to this one: the ledger has them."""
        with self._lock:
            while self._unsent and self._unsent[0][0].sequence <= sequence:
                self._bytes -= len(self._unsent.popleft()[1])
            if self._lost.count and self._bytes <= self._bytes_max // 2:
                self._tell_lost()
            if not self._unsent:
                self._anew = True
        self._work.set()

    def close(self, within_s: float = CLOSE_S) -> None:
        """End it; what is not forwarded stays on the disk for others. Waits for the disk, a while.

        What was held back is noted before.
        """
        with self._lock:
            if not self._ending:
                for told in self._pace.due(self._clock.now_s(), all_of_it=True):
                    self._keep(told)
                if self._lost.count:
                    self._tell_lost()
            self._ending = True
        self._work.set()
        self._thread.join(within_s)

    # ---- in memory; the lock is held

    def _keep(self, happened: Happened) -> None:
        """Stamp an entry and keep it, if there is room."""
        self._sequence += 1
        happened = replace(
            bounded(happened),
            zone=happened.zone if self._zone is None else self._zone,
            process=self.process,
            sequence=self._sequence,
        )
        line = msgspec.json.encode(happened) + b"\n"
        not_its_own = self._zone is not None and book_of(happened.kind) == "acts"
        if not_its_own or self._bytes + len(line) > self._bytes_max - GAP_BYTES:
            lost = self._lost
            self._lost = _Lost(lost.count + 1, lost.first or self._sequence, self._sequence)
            return
        self._append(happened, line)

    def _append(self, happened: Happened, line: bytes) -> None:
        """Have an entry written and forwarded."""
        self._unsent.append((happened, line))
        self._bytes += len(line)
        self._unwritten.append(line)
        if len(self._unwritten) > UNWRITTEN_MAX:  # the disk hangs
            self._unwritten.clear()
            self._anew = True

    def _tell_lost(self) -> None:
        """Note how many entries were lost."""
        lost, self._lost = self._lost, _Lost()
        self._sequence += 1
        gap = Happened(
            at_s=self._clock.utc_s(), kind="gap", zone=self._zone or "",
            text=f"{lost.count} entries of {shorten(self._name)} were lost: its journal was full",
            code="journal_full", about=self.process, process=self.process,
            sequence=self._sequence,
            facts={"lost": lost.count, "first": lost.first, "last": lost.last},
        )  # fmt: skip
        self._append(gap, msgspec.json.encode(gap) + b"\n")

    def _rung(self) -> None:
        """Wake who writes and who forwards."""
        self._work.set()
        with contextlib.suppress(RuntimeError):  # the loop of who forwards has been closed
            self.ring()

    # ---- on the disk; in a thread of its own

    def _write_all(self) -> None:
        """Write what is noted, until the end."""
        spool: Spool | None = None
        while True:
            self._work.wait()
            self._work.clear()
            with self._lock:
                anew, ending, left = self._anew, self._ending, bool(self._unsent)
                lines = [line for _, line in self._unsent] if anew else self._unwritten
                self._unwritten, self._anew = [], False
            try:
                spool = self._written(spool, b"".join(lines), anew=anew)
                if ending and spool is not None:
                    spool.close(keep=left)
                self.fault = ""
            except OSError as error:
                self.fault = f"the journal {self._path} is not kept: {error}"
                with self._lock:
                    self._anew = True
            if ending:
                return

    def _written(self, spool: Spool | None, lines: bytes, *, anew: bool) -> Spool | None:
        """Write lines; return the file, which is made with the first.

        Raises:
            OSError: if they cannot be written.
        """
        if spool is None:
            if not lines:
                return None
            spool = Spool(self._path)
        if anew or spool.bytes + len(lines) > 2 * self._bytes_max:
            with self._lock:
                lines = b"".join(line for _, line in self._unsent) if not anew else lines
            spool.rewrite(lines)
        else:
            spool.add(lines)
        return spool
