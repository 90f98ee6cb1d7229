"""The books of a pipeline: a fold of records in which every row is accounted for. Pure.

What a publisher's record says was published and what a reader's record says came in cancel each
other out, batch by batch; what is left over is in flight, or lost, or doubled. So memory is bounded
by what is in flight, however many batches there have been.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from firedoor.control.settling import Act, Settled
from firedoor.names import BatchId
from firedoor.spec.plan import Plan
from firedoor.wire.records import BatchRecord, DeadEntry

PROBLEMS_MAX = 20
"""Problems that are told in words; all are counted."""


@dataclass(slots=True)
class ZoneTally:
    """Sums over the records of one zone, in rows."""

    batches: int = 0
    rows_in: int = 0
    passed: int = 0
    rows_out: int = 0
    dead: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    shed: int = 0
    last_s: float = 0.0


@dataclass(slots=True)
class EdgeTally:
    """Sums over the records at both ends of one edge."""

    batches_published: int = 0
    published: int = 0
    batches_received: int = 0
    received: int = 0
    shed: int = 0
    replayed: int = 0
    """Rows put in by replays and backfills; within ``published``."""


@dataclass(slots=True)
class Balance:
    """Both ends of one batch on one edge, where they are not even."""

    published: int | None = None
    """Rows; None: no record says that it was."""
    received: int | None = None
    cut_s: float = 0.0


@dataclass(slots=True)
class DeadCount:
    """Dead rows of one zone and batch: as recorded, and where they are."""

    recorded: int | None = None
    stored: int = 0
    settled: int = 0
    """Replayed or discarded."""
    begun: int = 0
    """Of a replay or discard that broke off."""
    at_s: float = 0.0

    @property
    def even(self) -> bool:
        """Whether every dead row is in the store, or was replayed or discarded."""
        found = self.stored + self.settled
        return self.recorded in {found, found + self.begun}


class Books:
    """Takes records in the order in which they were written, then dead letters and acts."""

    def __init__(self, plan: Plan) -> None:
        """Open the books of a pipeline."""
        self._by_way = {edge.name: edge.publisher for edge in plan.edges if edge.by_way}
        self._last: dict[str, tuple[int, BatchRecord]] = {}
        self.zones: dict[str, ZoneTally] = {zone.name: ZoneTally() for zone in plan.zones}
        self.edges: dict[str, EdgeTally] = {edge.name: EdgeTally() for edge in plan.edges}
        self.open: dict[tuple[str, str], Balance] = {}
        """What is not even, by edge and batch."""
        self.dead: dict[tuple[str, str], DeadCount] = {}
        """By zone and batch, where a row died."""
        self.missed: dict[tuple[str, str], int] = {}
        """Rows that a cut edge did not get, by edge and batch; less what was backfilled."""
        self.discarded: Counter[str] = Counter()
        self.replayed: Counter[str] = Counter()
        self.interrupted: list[str] = []
        self.begun: set[tuple[str, str]] = set()
        """What replays and backfills that broke off may have published: edge and batch."""
        self.problems: list[str] = []
        self.problem_count = 0
        self.lost = 0
        """Rows."""
        self.doubled = 0

    def add(self, record: BatchRecord) -> None:
        """Enter a record."""
        tally = self.zones.setdefault(record.zone, ZoneTally())
        tally.batches += 1
        tally.rows_in += record.rows_in
        tally.passed += record.passed
        tally.rows_out += record.rows_out
        tally.dead += record.dead
        tally.dropped.update(record.dropped)
        tally.shed += sum(record.shed.values())
        tally.last_s = max(tally.last_s, record.ended_s)
        self._check(record)
        if record.dead:
            count = self.dead.setdefault((record.zone, record.batch), DeadCount())
            if count.recorded is not None:
                self.problem(f"{record.zone} recorded the dead rows of {record.batch} twice")
            count.recorded = record.dead
        if record.edge:
            self._receive(record)
        else:
            self._follow(record)
        for edge, rows in record.published.items():
            self.publish(edge, self._named(edge, record.batch), rows, cut_s=record.cut_s)
        for edge, rows in record.shed.items():
            self.edges.setdefault(edge, EdgeTally()).shed += rows
        for edge in record.missed:
            self.missed[edge, record.batch] = record.rows_out

    def add_dead(self, entry: DeadEntry) -> None:
        """Enter an entry of the store of dead letters."""
        count = self.dead.setdefault((entry.zone, entry.batch), DeadCount())
        count.stored = entry.rows
        count.at_s = entry.at_s

    def add_settled(self, settled: Settled) -> None:
        """Enter what was done about a batch afterwards."""
        for act in settled.acts:
            if act.kind != "backfill":
                self._settle(settled, act)
            if act.kind != "discard":
                self._inject(settled, act)
            if act.kind == "backfill" and act.done:
                self.missed.pop((act.zone, act.missed), None)

    def publish(self, edge: str, batch: str, rows: int, *, cut_s: float = 0.0) -> None:
        """Enter a batch that was put into an inbox."""
        tally = self.edges.setdefault(edge, EdgeTally())
        tally.batches_published += 1
        tally.published += rows
        balance = self.open.setdefault((edge, batch), Balance(cut_s=cut_s))
        if balance.published is not None:
            self.problem(f"{batch} was put into {edge} twice by its records")
        balance.published = rows
        self._close(edge, batch, balance)

    def in_flight(self) -> Iterator[tuple[str, str, int]]:
        """Go through what was published and is not recorded by its reader: edge, batch, rows."""
        for (edge, batch), balance in self.open.items():
            if balance.published is not None and balance.received is None:
                yield edge, batch, balance.published

    def unexplained(self) -> Iterator[tuple[str, str, Balance]]:
        """Go through what came in and was published by nobody, as far as records tell."""
        for (edge, batch), balance in self.open.items():
            if balance.published is None:
                yield edge, batch, balance

    def problem(self, words: str, *, lost: int = 0, doubled: int = 0) -> None:
        """Note that something does not add up, and how many rows that costs or makes."""
        self.problem_count += 1
        self.lost += lost
        self.doubled += doubled
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(words)

    def _check(self, record: BatchRecord) -> None:
        """Check a record in itself."""
        accounted = record.passed + record.dead + sum(record.dropped.values())
        if record.rows_in != accounted:
            self.problem(
                f"{record.zone} took in {record.rows_in} rows of {record.batch} and accounts for "
                f"{accounted}: {record.passed} passed, {record.dead} dead, "
                f"{sum(record.dropped.values())} dropped"
            )
        for edge, rows in record.published.items():
            shed = record.shed.get(edge, 0)
            if rows + shed != record.rows_out:
                self.problem(
                    f"{record.zone} made {record.rows_out} rows of {record.batch} and put {rows} "
                    f"into {edge}, {shed} shed"
                )

    def _receive(self, record: BatchRecord) -> None:
        """Enter a batch that a reader recorded."""
        tally = self.edges.setdefault(record.edge, EdgeTally())
        tally.batches_received += 1
        tally.received += record.rows_in
        key = (record.edge, record.batch)
        balance = self.open.setdefault(key, Balance(cut_s=record.cut_s))
        if balance.received is not None:
            self.problem(
                f"{record.batch} came in by {record.edge} twice by the records",
                doubled=record.rows_in,
            )
        balance.received = record.rows_in
        self._close(*key, balance)

    def _close(self, edge: str, batch: str, balance: Balance) -> None:
        """Forget what is even."""
        if balance.published is None or balance.received is None:
            return
        if balance.published != balance.received:
            self.problem(
                f"{balance.published} rows of {batch} were put into {edge}, and "
                f"{balance.received} came out",
                lost=max(0, balance.published - balance.received),
                doubled=max(0, balance.received - balance.published),
            )
        del self.open[edge, batch]

    def _follow(self, record: BatchRecord) -> None:
        """Check that a source's batches are without gaps."""
        batch = BatchId.parse(record.batch)
        number, last = self._last.get(record.zone, (batch.number - 1, record))
        if batch.number != number + 1:
            self.problem(
                f"{record.zone} recorded {record.batch} after {last.batch}: what is between them "
                "is missing, or recorded twice"
            )
        self._last[record.zone] = (batch.number, record)

    def _settle(self, settled: Settled, act: Act) -> None:
        """Enter dead rows that were replayed or discarded."""
        count = self.dead.setdefault((act.zone, settled.batch), DeadCount(at_s=act.at_s))
        if not act.done:
            count.begun += act.rows
            self.interrupted.append(
                f"the {act.kind} of {act.rows} rows of {settled.batch} in {act.zone} broke off: "
                f"`firedoor dlq {act.kind} --zone {act.zone} --batch {settled.batch}` finishes it"
            )
            return
        count.settled += act.rows
        (self.replayed if act.kind == "replay" else self.discarded)[act.zone] += act.rows

    def _inject(self, settled: Settled, act: Act) -> None:
        """Enter what a replay or backfill put into inboxes."""
        made = settled.made(act)
        for edge, rows in act.published.items():
            batch = self._named(edge, made) if act.kind == "backfill" else made
            if not act.done:
                self.begun.add((edge, batch))
            if act.done or (edge, batch) in self.open:
                self.edges.setdefault(edge, EdgeTally()).replayed += rows
                self.publish(edge, batch, rows)

    def _named(self, edge: str, batch: str) -> str:
        """Return the id under which a batch goes by an edge."""
        way = self._by_way.get(edge)
        return str(BatchId.parse(batch).by_way_of(way)) if way else batch
