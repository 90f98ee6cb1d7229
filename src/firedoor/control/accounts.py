"""Whether every row is accounted for: at each zone, on each edge, in the store of dead letters.

``gather`` reads records while zones are at work. What looks uneven only because something moved
while it was read is looked at again, so that a problem that is told is one.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from firedoor.control import settling
from firedoor.control.books import Balance, Books, DeadCount, EdgeTally
from firedoor.names import BatchId
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

DAY_S = 86_400.0
LOOKS_MAX = 10_000
"""Batches that are looked at again. A healthy pipeline has far fewer in flight."""
NAMED_MAX = 20
READS_MAX = 3
"""How often an entry is read again while somebody is replaying it."""


class ZoneAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One zone, in rows. ``rows_in = passed + dead + dropped``."""

    zone: str
    kind: str
    batches: int
    rows_in: int
    passed: int
    rows_out: int
    """Made of those that passed: another number where a step expands or aggregates."""
    dead: int
    dead_now: int
    """In the store. ``dead = dead_now + replayed + discarded``."""
    replayed: int
    discarded: int
    dropped: dict[str, int]
    """By reason."""
    shed: int
    """Not published because an inbox was full."""
    missed: int
    """Not published because an edge was cut, and not backfilled since."""
    in_flight: int
    """Published to it and not recorded by it."""


class EdgeAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One edge, in rows. ``published = received + waiting``."""

    edge: str
    published: int
    """Replays and backfills included."""
    received: int
    waiting: int
    batches_waiting: int
    replayed: int
    shed: int
    missed: int


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """The books of a pipeline."""

    pipeline: str
    at_s: float
    holds: bool
    """Whether every row is accounted for."""
    problems: tuple[str, ...]
    """What does not add up, with batch ids: the first 20."""
    problem_count: int
    lost_rows: int
    """Rows that neither wait in an inbox nor are in a record. Where a part of what was published is
    lost, the largest batches are taken for it."""
    doubled_rows: int
    """Rows that were recorded more than once."""
    notes: tuple[str, ...]
    """What broke off or was cut, and the command that goes on with it."""
    zones: tuple[ZoneAccount, ...]
    edges: tuple[EdgeAccount, ...]

    @property
    def in_flight(self) -> int:
        """Return how many rows are under way."""
        return sum(edge.waiting for edge in self.edges)


async def gather(streams: Streams, plan: Plan, *, at_s: float) -> Accounts:
    """Read the books.

    Args:
        streams: of the pipeline.
        plan: the pipeline.
        at_s: now, in seconds since 1970: records older than the plan's retention may be gone.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    books = Books(plan)
    async for record in streams.records():
        books.add(record)
    async for entry in streams.dead():
        books.add_dead(entry)
    async for settled in settling.everything(streams):
        books.add_settled(settled)
    waiting = {edge.name: (await streams.depth(edge.name)).messages for edge in plan.edges}
    horizon_s = at_s - plan.retention_days * DAY_S
    await _look_at_flight(streams, books, waiting)
    await _look_at_arrivals(streams, books, horizon_s)
    await _look_at_dead(streams, books, horizon_s)
    return _close(books, plan, at_s)


async def _look_at_flight(streams: Streams, books: Books, waiting: dict[str, int]) -> None:
    """Check that what was published and not recorded waits in its inbox.

    A batch leaves its inbox only after it is recorded, and inboxes were counted after the records
    were read: so what is neither recorded by now nor waiting then is lost.
    """
    flying: dict[str, dict[str, int]] = {}
    for looks, (edge, batch, rows) in enumerate(list(books.in_flight())):
        if looks < LOOKS_MAX:
            reader = edge.partition(":")[2]
            record = await streams.recorded(reader, batch)
            if record is not None and record.rows_in == rows:
                continue
        if rows:  # an empty batch need not have been published
            flying.setdefault(edge, {})[batch] = rows
    for edge, batches in flying.items():
        lost = len(batches) - waiting.get(edge, 0)
        if lost > 0:
            books.problem(
                f"{len(batches)} batches were put into {edge} and not recorded by its reader, and "
                f"{waiting.get(edge, 0)} wait there: {lost} lost of {_some(list(batches))}",
                lost=sum(sorted(batches.values(), reverse=True)[:lost]),
            )


async def _look_at_arrivals(streams: Streams, books: Books, horizon_s: float) -> None:
    """Check that what came in without having been published is only ahead of its record."""
    open_now = [*((edge, batch) for edge, batch, _ in books.in_flight()), *books.begun]
    flying = {(edge.partition(":")[2], batch) for edge, batch in open_now}
    for looks, (edge, batch, balance) in enumerate(list(books.unexplained())):
        if balance.cut_s < horizon_s:
            continue  # its publisher's record is no longer kept
        if looks >= LOOKS_MAX:
            break
        times = await _times(streams, edge, batch)
        if times > 1:
            reader = edge.partition(":")[2]
            words = f"{reader} recorded {batch} {times} times: its rows are doubled"
            books.problem(words, doubled=balance.received or 0)
        elif why := await _explain(streams, edge, batch, balance, flying):
            books.problem(why)


async def _times(streams: Streams, edge: str, batch: str) -> int:
    """Return how often a batch was recorded that came by an edge."""
    count = 0
    async for record in streams.records(edge.partition(":")[2], batch):
        count += record.edge == edge
    return count


async def _explain(
    streams: Streams, edge: str, batch: str, balance: Balance, flying: set[tuple[str, str]]
) -> str:
    """Return what is wrong with a batch that came in, or an empty string.

    A publisher publishes first and records then: its batch may be under way while what it made of
    it has arrived already.
    """
    publisher, _, reader = edge.partition(":")
    sent = BatchId.parse(batch)
    if sent.marks[-1:] == (f"@{publisher}",):
        sent = BatchId(sent.source, sent.number, sent.marks[:-1])
    before = await streams.recorded(publisher, str(sent))
    if before is not None:
        rows = before.published.get(edge)
        if rows == balance.received:
            return ""
        return (
            f"{balance.received} rows of {batch} came in by {edge}, where {publisher} published "
            f"{rows or 'none'}"
        )
    if (publisher, str(sent)) in flying or sent.source == publisher:
        last = await streams.last_record(publisher)
        if sent.source != publisher or last is None:
            return ""
        if sent.number > BatchId.parse(last.batch).number and not sent.marks:
            return ""
    return (
        f"{reader} recorded {balance.received} rows of {batch}, and {publisher} has no record of it"
    )


async def _look_at_dead(streams: Streams, books: Books, horizon_s: float) -> None:
    """Check that every dead row is in the store, or was replayed or discarded."""
    for (zone, batch), count in books.dead.items():
        if count.recorded is None:
            # Buried and not recorded yet, or recorded so long ago that the record has gone.
            continue
        if count.even or await _even_now(streams, zone, batch, count):
            continue
        if count.at_s and count.at_s < horizon_s:
            continue
        books.problem(
            f"{count.recorded} rows of {batch} died in {zone}: {count.stored} are in the store, "
            f"{count.settled} were replayed or discarded"
        )


async def _even_now(streams: Streams, zone: str, batch: str, count: DeadCount) -> bool:
    """Return whether the dead rows add up when nobody moves them in the middle of reading."""
    for _ in range(READS_MAX):
        before = await settling.load(streams, batch)
        stored = 0
        async for entry in streams.dead(zone, batch):
            stored += entry.rows
        if await settling.load(streams, batch) != before:
            continue
        own = [act for act in before.acts if act.zone == zone and act.kind != "backfill"]
        settled = sum(act.rows for act in own if act.done)
        begun = sum(act.rows for act in own if not act.done)
        now = DeadCount(recorded=count.recorded, stored=stored, settled=settled, begun=begun)
        return now.even
    return True


def _close(books: Books, plan: Plan, at_s: float) -> Accounts:
    """Return the books as they are."""
    batches_missed = Counter(edge for edge, _ in books.missed)
    edges = _edges(books)
    missed = {edge.edge: edge.missed for edge in edges}
    notes = [
        f"{edge} was cut and missed {count} batches ({missed.get(edge, 0)} rows): "
        f"`firedoor backfill {edge}` runs them"
        for edge, count in batches_missed.items()
    ]
    return Accounts(
        pipeline=plan.pipeline,
        at_s=at_s,
        holds=not books.problem_count,
        problems=tuple(books.problems),
        problem_count=books.problem_count,
        lost_rows=books.lost,
        doubled_rows=books.doubled,
        notes=(*books.interrupted[:NAMED_MAX], *notes[:NAMED_MAX]),
        zones=_zones(books, plan, edges),
        edges=edges,
    )


def _edges(books: Books) -> tuple[EdgeAccount, ...]:
    """Return the accounts of edges."""
    waiting: dict[str, list[int]] = {}
    for edge, _, rows in books.in_flight():
        waiting.setdefault(edge, []).append(rows)
    missed: Counter[str] = Counter()
    for (edge, _), rows in books.missed.items():
        missed[edge] += rows
        books.edges.setdefault(edge, EdgeTally())
    return tuple(
        EdgeAccount(
            edge=name,
            published=tally.published,
            received=tally.received,
            waiting=sum(waiting.get(name, ())),
            batches_waiting=len(waiting.get(name, ())),
            replayed=tally.replayed,
            shed=tally.shed,
            missed=missed[name],
        )
        for name, tally in books.edges.items()
    )


def _zones(books: Books, plan: Plan, edges: tuple[EdgeAccount, ...]) -> tuple[ZoneAccount, ...]:
    """Return the accounts of zones."""
    stored: Counter[str] = Counter()
    for (zone, _), dead in books.dead.items():
        if dead.recorded is not None:  # else it is of a batch that is under way
            stored[zone] += dead.stored
    kinds = {zone.name: zone.kind for zone in plan.zones}
    return tuple(
        ZoneAccount(
            zone=name,
            kind=kinds.get(name, "gone"),
            batches=tally.batches,
            rows_in=tally.rows_in,
            passed=tally.passed,
            rows_out=tally.rows_out,
            dead=tally.dead,
            dead_now=stored[name],
            replayed=books.replayed[name],
            discarded=books.discarded[name],
            dropped=dict(tally.dropped),
            shed=tally.shed,
            missed=sum(edge.missed for edge in edges if edge.edge.startswith(f"{name}:")),
            in_flight=sum(edge.waiting for edge in edges if edge.edge.endswith(f":{name}")),
        )
        for name, tally in books.zones.items()
    )


def _some(batches: list[str]) -> str:
    """Return some ids."""
    rest = len(batches) - NAMED_MAX
    return ", ".join(batches[:NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")
