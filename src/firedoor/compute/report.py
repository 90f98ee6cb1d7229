"""What happened behind a wall: counted as it happens, told on request."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass, field

from msgspec.structs import replace

from firedoor.compute.crew import Lost
from firedoor.spec.wall import WallOptions
from firedoor.units import format_bytes, format_seconds
from firedoor.wire.messages import Gated, Loaded, Passed
from firedoor.wire.records import GuardNote

LOST_MAX = 1_000
NOTES_MAX = 100
WORKERS_KNOWN_MAX = 64
PROOF_EVERY = 128
"""After the first few, one batch in so many is run in parts as well."""
PROOF_ROWS_MIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WallReport:
    """What a wall did so far. ``str()`` of it is for people."""

    name: str
    batches: int
    rows: int
    good: int
    dead: int
    dropped: dict[str, int]
    dead_by_code: dict[str, int]
    way: str
    """How workers start: ``fork`` or ``spawn``; empty before the first."""
    seal_level: str
    """``full``, ``partial`` or ``advisory``; empty before the first worker."""
    seal_what: tuple[str, ...]
    seal_missing: tuple[tuple[str, str], ...]
    rowwise: bool | None
    """Whether parts of a batch gave what the whole gave; None before it was tried."""
    rowwise_why: str
    workers_lost: int
    lost: tuple[Lost, ...]
    """The latest thousand deaths."""
    lost_by_cause: dict[str, int]
    replace_median_s: float | None
    peak_bytes: int
    seconds: dict[str, float]
    """Time by item: encode, wait, decode in the caller; decode, gate, step, encode in workers."""
    notes: dict[str, int]
    """Things a person should know, with how often they happened."""

    @property
    def rows_a_second(self) -> float | None:
        """Rows a second of the caller's waiting, or None before the first batch."""
        busy = sum(self.seconds.get(item, 0.0) for item in ("encode", "wait", "decode"))
        return self.rows / busy if busy > 0 else None

    def __str__(self) -> str:
        """Return a few lines of text."""
        speed = self.rows_a_second
        dropped = f", {sum(self.dropped.values()):,} dropped as declared" if self.dropped else ""
        lines = [
            f"wall {self.name}: {self.batches:,} batches, {self.rows:,} rows: {self.good:,} good, "
            f"{self.dead:,} dead{dropped}" + (f"; {speed:,.0f} rows/s" if speed else ""),
            f"  workers   {self._workers()}",
            f"  memory    {format_bytes(self.peak_bytes)} at most in one worker",
            f"  seal      {self._seal()}",
            f"  row-wise  {self._rowwise()}",
        ]
        lines += [f"  note      {note} (x{times})" for note, times in self.notes.items()]
        return "\n".join(lines)

    def _workers(self) -> str:
        """Return what became of the workers."""
        how = {"fork": "forked", "spawn": "spawned"}.get(self.way, "none started")
        if not self.workers_lost:
            return f"{how}, none lost"
        causes = ", ".join(f"{count} {cause}" for cause, count in self.lost_by_cause.items())
        speed = self.replace_median_s
        replaced = f"; replaced in {format_seconds(speed)}" if speed is not None else ""
        return f"{how}, {self.workers_lost} lost ({causes}){replaced}"

    def _seal(self) -> str:
        """Return what the seal holds."""
        if not self.seal_level:
            return "no worker yet"
        missing = "".join(f"; not {what}: {why}" for what, why in self.seal_missing)
        return f"{self.seal_level} ({', '.join(self.seal_what) or 'nothing'}{missing})"

    def _rowwise(self) -> str:
        """Return whether rows may be tried apart."""
        if self.rowwise is None:
            return self.rowwise_why or "not tried yet"
        return "yes" if self.rowwise else f"no, so a bad row costs its batch: {self.rowwise_why}"


@dataclass(slots=True)
class _Counts:
    """What is counted."""

    batches: int = 0
    rows: int = 0
    good: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    notes: Counter[str] = field(default_factory=Counter)
    lost: deque[Lost] = field(default_factory=lambda: deque(maxlen=LOST_MAX))
    peak_bytes: int = 0
    proofs: int = 0
    guards: dict[int, tuple[float, tuple[GuardNote, ...]]] = field(default_factory=dict)
    """What each worker said of its guards and when, by process id; the latest few workers."""


class _Mine(threading.local):
    """What is counted for each thread by itself."""

    step_s: float = 0.0


class Tally:
    """Counts what happens behind one wall. Thread-safe."""

    def __init__(self, name: str) -> None:
        """Start from nothing."""
        self.name = name
        self._lock = threading.Lock()
        self._counts = _Counts()
        self._rowwise: bool | None = None
        self._why = ""
        self._mine = _Mine()

    @property
    def step_s(self) -> float:
        """Seconds in the step of all batches that the calling thread has taken through."""
        return self._mine.step_s

    def finished(
        self, *, rows: int, good: int, codes: Counter[str], dropped: dict[str, int]
    ) -> None:
        """Count one batch that was delivered."""
        with self._lock:
            counts = self._counts
            counts.batches += 1
            counts.rows += rows
            counts.good += good
            counts.codes.update(codes)
            counts.dropped.update(dropped)

    def took(self, item: str, seconds: float) -> None:
        """Count time spent on one item."""
        with self._lock:
            self._counts.seconds[item] += seconds

    def gated(self, reply: Gated) -> None:
        """Count a worker's decoding and gate."""
        with self._lock:
            self._counts.seconds["worker decode"] += reply.decode_s
            self._counts.seconds["worker gate"] += reply.gate_s

    def called(self, notes: tuple[GuardNote, ...]) -> None:
        """Keep what a worker says of its guards."""
        if not notes:
            return
        with self._lock:
            guards = self._counts.guards
            guards.pop(notes[0].worker, None)
            guards[notes[0].worker] = now_s(), notes
            while len(guards) > WORKERS_KNOWN_MAX:
                del guards[next(iter(guards))]

    def guards(self, workers: Collection[int]) -> tuple[GuardNote, ...]:
        """Return what those of the workers that are alive said last of their guards."""
        with self._lock:
            known = [self._counts.guards[pid] for pid in workers if pid in self._counts.guards]
        now = now_s()
        return tuple(replace(note, heard_s=now - at_s) for at_s, notes in known for note in notes)

    def ran(self, reply: Passed) -> None:
        """Count a worker's step and encoding."""
        self.called(reply.guards)
        self._mine.step_s += reply.step_s
        with self._lock:
            self._counts.seconds["worker step"] += reply.step_s
            self._counts.seconds["worker encode"] += reply.encode_s

    def died(self, lost: Lost) -> None:
        """Count a death."""
        with self._lock:
            self._counts.lost.append(lost)
            self._counts.causes[str(lost.failure.cause)] += 1

    def last_death(self) -> str:
        """Return how the latest worker died."""
        with self._lock:
            return self._counts.lost[-1].failure.signature if self._counts.lost else "no death"

    def note(self, text: str) -> None:
        """Remember something that a person should know."""
        with self._lock:
            if text in self._counts.notes or len(self._counts.notes) < NOTES_MAX:
                self._counts.notes[text] += 1

    def batchwise(self, options: WallOptions) -> bool:
        """Return whether a batch must not be cut."""
        return options.batchwise or self._rowwise is False

    def rowwise(self) -> bool:
        """Return whether it was shown that a batch may be cut."""
        return self._rowwise is True

    def proof_is_due(self, options: WallOptions, rows: int) -> bool:
        """Return whether this batch should be run in parts as well: the first, then samples."""
        if self.batchwise(options) or rows < PROOF_ROWS_MIN:
            return False
        with self._lock:
            self._counts.proofs += 1
            count = self._counts.proofs
        return count & (count - 1) == 0 if count < PROOF_EVERY else count % PROOF_EVERY == 0

    def peaked(self, rss_bytes: int) -> None:
        """Take note of a worker's memory."""
        with self._lock:
            self._counts.peak_bytes = max(self._counts.peak_bytes, rss_bytes)

    def proved(self, *, rowwise: bool, why: str) -> None:
        """Keep what running a batch in parts has shown; once found batchwise, always."""
        with self._lock:
            if rowwise and self._rowwise is None:
                self._rowwise = True
            if not rowwise:
                self._rowwise, self._why = False, why

    def found_batchwise(self, why: str) -> None:
        """Say that parts of a batch gave something else: from now on a bad row costs its batch."""
        self.proved(rowwise=False, why=why)

    def report(
        self,
        *,
        way: str,
        loaded: Loaded | None,
        replacements: list[float],
        options: WallOptions,
        seal_notes: tuple[str, ...],
        caged: bool,
    ) -> WallReport:
        """Return what happened so far."""
        with self._lock:
            counts = self._counts
            return WallReport(
                name=self.name,
                batches=counts.batches,
                rows=counts.rows,
                good=counts.good,
                dead=sum(counts.codes.values()),
                dropped=dict(counts.dropped),
                dead_by_code=dict(counts.codes),
                way=way if loaded else "",
                seal_level=loaded.seal_level if loaded else "",
                seal_what=(*loaded.seal_what, *(["cgroup"] if caged else [])) if loaded else (),
                seal_missing=loaded.seal_missing if loaded else (),
                rowwise=False if options.batchwise else self._rowwise,
                rowwise_why="declared batchwise" if options.batchwise else self._why,
                workers_lost=sum(counts.causes.values()),
                lost=tuple(counts.lost),
                lost_by_cause=dict(counts.causes),
                replace_median_s=sorted(replacements)[len(replacements) // 2]
                if replacements
                else None,
                peak_bytes=counts.peak_bytes,
                seconds=dict(counts.seconds),
                notes=dict.fromkeys(seal_notes, 1) | dict(counts.notes),
            )


def now_s() -> float:
    """Return a clock for durations."""
    return time.perf_counter()
