"""Find batches that are nowhere: published, but neither recorded by their reader nor waiting.

A broker does not say when it lost messages: one flipped byte took 64 of 200 of them, without a line
in its log. Records say what was published and what was done, so that what is missing has a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from firedoor.adapters.nats.keeping import message_of, messages
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import Names
from firedoor.names import BatchId
from firedoor.spec.plan import EdgePlan, Plan
from firedoor.wire.envelope import HEADER, Damaged, decode_envelope
from firedoor.wire.records import BatchRecord

INBOX_PAGE = 4
"""Messages of an inbox that are in memory at once: up to 4 MiB each."""
NAMED_MAX = 1000


@dataclass(slots=True)
class EdgeGaps:
    """What was found on one edge."""

    edge: str
    waiting: int = 0
    damaged: list[str] = field(default_factory=list)
    """Batches that wait and are not what was published."""
    lost: list[str] = field(default_factory=list)
    """Batches that were published, and are neither recorded by the reader nor waiting."""
    unclaimed: list[str] = field(default_factory=list)
    """Batches that the reader recorded, and that no record says were published."""


@dataclass(slots=True)
class _Seen:
    """Batches of one edge of which one side is known so far: few, whatever the length of a run."""

    published: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)

    def note(self, batch: str, mine: set[str], other: set[str]) -> None:
        """Take one side of a batch."""
        if batch in other:
            other.discard(batch)
        else:
            mine.add(batch)


async def find_gaps(link: Link, names: Names, plan: Plan) -> list[EdgeGaps]:
    """Compare records with inboxes, edge by edge, and check what waits against its checksum."""
    edges = {edge.name: edge for edge in plan.edges}
    seen = {name: _Seen() for name in edges}
    async for kept in messages(link, names.records, names.record("*", "*")):
        record = msgspec.json.decode(kept.data, type=BatchRecord)
        for name, batch in _sent(record, edges):
            its = seen[name]
            its.note(batch, its.published, its.done)
        if record.edge in seen and record.parent is None:
            its = seen[record.edge]
            its.note(record.batch, its.done, its.published)
    return [await _compare(link, names, edge, seen[name]) for name, edge in edges.items()]


def _sent(record: BatchRecord, edges: dict[str, EdgePlan]) -> Iterator[tuple[str, str]]:
    """Go through the inboxes that a record's batch went to, and its name there."""
    if record.parent is not None:
        return  # batches of replays and backfills are published by commands, which keep no record
    for name, rows in record.published.items():
        edge = edges.get(name)
        if edge is None or not rows:
            continue
        batch = BatchId.parse(record.batch)
        yield name, str(batch.by_way_of(record.zone) if edge.by_way else batch)


async def _compare(link: Link, names: Names, edge: EdgePlan, its: _Seen) -> EdgeGaps:
    """Look at what waits on an edge, and what is left then of what should."""
    found = EdgeGaps(edge=edge.name)
    stream = names.inbox(edge.name)
    here: set[str] = set()
    every = messages(link, stream, names.batch(edge.name, "*"), page_size=INBOX_PAGE)
    async for kept in every:
        batch = kept.subject.rpartition(".")[2]
        here.add(batch)
        found.waiting += 1
        try:
            decode_envelope(kept.headers.get(HEADER, ""), kept.data)
        except Damaged:
            found.damaged.append(batch)
    for batch in sorted(its.published - here)[:NAMED_MAX]:
        # It may have moved on while this went through: look again before it is called lost.
        record = names.record(edge.reader, batch)
        if await message_of(link, names.records, record) is not None:
            continue
        if await message_of(link, stream, names.batch(edge.name, batch)) is None:
            found.lost.append(batch)
    for batch in sorted(its.done - here)[:NAMED_MAX]:
        root = batch.removesuffix(f"@{edge.publisher}")
        if await message_of(link, names.records, names.record(edge.publisher, root)) is None:
            found.unclaimed.append(batch)
    return found
