"""What was done about a batch afterwards: replays, discards and backfills, kept for good.

One value a batch, ``settled.<batch>``, written *before* rows move: what was begun and broke off is
found there and finished under the same ids, so that nothing is done twice. Numbers count over all
zones, because a replay flows on to zones that may replay rows of the same batch themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Literal

import msgspec

from firedoor.errors import LedgerFull, StoreRefused
from firedoor.events.happened import Happened
from firedoor.names import BatchId
from firedoor.ports.streams import Streams

PREFIX = "settled."
Span = tuple[int, int]
"""Rows from, and how many."""


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that somebody did with rows of a batch."""

    kind: Literal["replay", "discard", "backfill"]
    number: int
    """Of its kind, from 1: of replays and backfills the mark of the batch that was made."""
    zone: str = ""
    """Whose dead letters they were; of a backfill the edge, ``publisher:reader``."""
    missed: str = ""
    """Of a backfill: the batch that the edge had missed, with the ways by which it came."""
    rows: int
    spans: tuple[Span, ...] = ()
    """Which: numbers at the source."""
    published: dict[str, int] = {}
    """Rows put into inboxes, by edge."""
    lookups: dict[str, str] = {}
    """Versions that it is pinned to."""
    at_s: float
    by: str = ""
    because: str = ""
    done: bool = False


class Settled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that was done about one batch."""

    batch: str
    acts: tuple[Act, ...] = ()

    def of(self, kind: str, zone: str) -> tuple[Act, ...]:
        """Return what was done in one way about one zone (or edge)."""
        return tuple(act for act in self.acts if act.kind == kind and act.zone == zone)

    def next_number(self, kind: str) -> int:
        """Return the number of the next act of a kind."""
        return 1 + max((act.number for act in self.acts if act.kind == kind), default=0)

    def made(self, act: Act) -> str:
        """Return the id of the batch that a replay or backfill made."""
        batch = BatchId.parse(self.batch)
        mark = batch.replayed if act.kind == "replay" else batch.backfilled
        return str(mark(act.number))

    def put(self, act: Act) -> Settled:
        """Return this with an act added, or put in the place of the one of its number."""
        same = (act.kind, act.number)
        kept = tuple(other for other in self.acts if (other.kind, other.number) != same)
        return Settled(batch=self.batch, acts=(*kept, act))


def key_of(batch: str) -> str:
    """Return the key of a batch: marks in letters that keys may have.

    >>> key_of("flights-000123~r1@clean")
    'settled.flights-000123--r1---clean'
    """
    return PREFIX + batch.replace("~", "--").replace("@", "---")


async def load(streams: Streams, batch: str) -> Settled:
    """Return what was done about a batch, nothing if nothing was."""
    return _decode(await streams.get(key_of(batch)), batch)


async def save(streams: Streams, settled: Settled) -> None:
    """Keep it; durable when it returns."""
    await streams.put(key_of(settled.batch), msgspec.json.encode(settled))


async def finished(streams: Streams, settled: Settled, act: Act) -> Settled:
    """Keep that an act is done, and who did it: first in the ledger; return what was done so far.

    The ledger takes it once, however often this is called.
    """
    with contextlib.suppress(LedgerFull):  # what was begun is finished all the same
        await streams.enter(_told(settled, act))
    settled = settled.put(msgspec.structs.replace(act, done=True))
    await save(streams, settled)
    return settled


async def everything(streams: Streams) -> AsyncIterator[Settled]:
    """Go through all batches about which something was done."""
    for key in await streams.keys(PREFIX):
        value = await streams.get(key)
        if value:
            yield _decode(value, key)


def without_ways(batch: str) -> str:
    """Return the id of a batch without the ways by which it came.

    >>> without_ways("flights-000123~r1@clean")
    'flights-000123~r1'
    """
    parsed = BatchId.parse(batch)
    marks = tuple(mark for mark in parsed.marks if mark.startswith("~"))
    return str(BatchId(parsed.source, parsed.number, marks))


def ways_of(batch: str) -> tuple[str, ...]:
    """Return the zones that a batch's id says it came by, in order.

    >>> ways_of("flights-000123@clean~r1")
    ('clean',)
    """
    return tuple(mark[1:] for mark in BatchId.parse(batch).marks if mark.startswith("@"))


def spans_of(numbers: Iterable[int]) -> tuple[Span, ...]:
    """Return row numbers as spans.

    >>> spans_of([4, 1, 2, 9])
    ((1, 2), (4, 1), (9, 1))
    """
    spans: list[Span] = []
    for number in sorted(set(numbers)):
        if spans and sum(spans[-1]) == number:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((number, 1))
    return tuple(spans)


def rows_of(spans: Iterable[Span]) -> set[int]:
    """Return spans as row numbers."""
    return {row for first, count in spans for row in range(first, first + count)}


def holds_row(spans: Iterable[Span], row: int) -> bool:
    """Return whether a row is in one of the spans."""
    return any(first <= row < first + count for first, count in spans)


def _told(settled: Settled, act: Act) -> Happened:
    """Return an act as an entry of the ledger."""
    words = {"replay": "replayed", "discard": "discarded", "backfill": "backfilled"}
    zone, _, reader = act.zone.partition(":")
    rows = f"{act.rows} rows" if reader else f"{act.rows} dead rows"
    return Happened(
        at_s=act.at_s, kind="order", zone=zone, code=words[act.kind], by=act.by,
        because=act.because, about=settled.batch, facts={"rows": act.rows},
        text=f"{rows} of {settled.batch} were {words[act.kind]}",
        process=f"{key_of(settled.batch)}-{act.kind}-{act.number}", sequence=1,
    )  # fmt: skip


def _decode(value: bytes | None, name: str) -> Settled:
    """Return what was kept."""
    if not value:
        return Settled(batch=name)
    try:
        return msgspec.json.decode(value, type=Settled)
    except msgspec.DecodeError as error:
        message = (
            f"what was done about {name} cannot be read: {error}; `firedoor doctor` tells more"
        )
        raise StoreRefused(message) from error
