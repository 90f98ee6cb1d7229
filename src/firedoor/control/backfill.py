"""Run batches again for an edge that was cut (``when_full="detach"``) and so missed them.

The source cuts such a batch again; it goes, as a batch of its own (``flights-000123~f1``), along
the one way to the edge, and nowhere else (``Envelope.only``). Rows that died on that way the first
time are left out: they are dead letters, and reach the edge when those are replayed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import polars as pl

from firedoor.control import settling
from firedoor.control.harm import descendants
from firedoor.control.payloads import ROW, decode_dead, decode_frame, encode_batch
from firedoor.control.settling import Act, Settled, rows_of, spans_of
from firedoor.errors import NotKnown, Refused, StreamFull
from firedoor.names import BatchId
from firedoor.ports.clock import Clock
from firedoor.ports.stage import Parcel
from firedoor.ports.streams import Streams
from firedoor.spec.plan import EdgePlan, Plan, ZonePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import BatchRecord

Cut = Callable[[ZonePlan, BatchRecord, BatchRecord | None], Awaitable[Parcel]]
"""Reads a batch of a source again: the source, the record of the batch, and of the one before."""

FULL_TRIES = 120
FULL_WAIT_S = 0.5
"""An inbox that stays full for a minute ends a backfill; the next call goes on with it."""


@dataclass(slots=True, kw_only=True)
class Backfilled:
    """What a backfill did."""

    edge: str
    batches: list[str] = field(default_factory=list)
    """Ids of those that were made."""
    rows: int = 0
    left: list[str] = field(default_factory=list)
    """What was left as it is: why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A zone on the way, and the id that the batch had there."""

    zone: str
    batch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a batch came from its source to the edge that missed it."""

    first: EdgePlan
    """The source's edge on it."""
    zones: tuple[Stretch, ...]
    """After the source, up to the publisher; those before a replay are not told."""
    only: tuple[str, ...]
    replayed_at: str = ""
    """The zone from whose dead letters the batch came, if it is a replay."""


def edges_meant(plan: Plan, name: str) -> tuple[EdgePlan, ...]:
    """Return the edge ``publisher:reader``, or all that a zone reads.

    Raises:
        NotKnown: if there is none.
    """
    edges = tuple(edge for edge in plan.edges if name in {edge.name, edge.reader})
    if not edges:
        known = ", ".join(edge.name for edge in plan.edges)
        message = f"{plan.pipeline} has no edge and no reading zone {name!r}: its edges are {known}"
        raise NotKnown(message)
    return edges


async def backfill(
    streams: Streams, plan: Plan, edge: EdgePlan, cut: Cut, *, clock: Clock, by: str
) -> Backfilled:
    """Join an edge again, and run what it missed.

    Args:
        streams: of the pipeline.
        plan: the pipeline.
        edge: the one that was cut.
        cut: reads a source's batch again.
        clock: for the time of what is written down, and to wait for room.
        by: who does it.
    """
    result = Backfilled(edge=edge.name)
    await streams.put(f"detached.{edge.publisher}.{edge.reader}", b"")
    missed = [
        record async for record in streams.records(edge.publisher) if edge.name in record.missed
    ]
    for record in missed:
        try:
            await _one(streams, plan, edge, record, cut, clock=clock, by=by, result=result)
        except StreamFull as full:
            result.left.append(
                f"{record.batch} and what comes after it: {full}; run the same command again"
            )
            break
        except Refused as refused:
            result.left.append(f"{record.batch}: {refused}")
    return result


async def way_to(streams: Streams, plan: Plan, edge: EdgePlan, batch: str) -> Way:
    """Return the way by which a batch came to an edge.

    Raises:
        Refused: if a batch could not be sent along it without reaching others as well.
    """
    zone, at = edge.publisher, BatchId.parse(batch)
    zones: list[Stretch] = []
    edges: list[EdgePlan] = [edge]
    replayed_at = ""
    for _ in plan.zones:
        if plan.zone(zone).kind == "source":
            break
        if not replayed_at:
            zones.insert(0, Stretch(zone=zone, batch=str(at)))
        while at.marks and at.marks[-1].startswith("~r"):
            parent = BatchId(at.source, at.number, at.marks[:-1])
            acts = (await settling.load(streams, str(parent))).of("replay", zone)
            if not any(f"~r{act.number}" == at.marks[-1] for act in acts):
                break
            at, replayed_at = parent, replayed_at or zone
        inbox, at = _step_back(plan, zone, at)
        edges.insert(0, inbox)
        zone = inbox.publisher
    beyond = descendants(plan, {edge.reader}) | {edge.reader}
    wanted = {e.name for e in edges} | {e.name for e in plan.edges if e.publisher in beyond}
    only = {e.reader for e in plan.edges if e.name in wanted}
    passed = {e.reader for e in edges} | beyond
    for other in plan.edges:
        if other.name not in wanted and other.publisher in passed and other.reader in only:
            message = (
                f"{other.reader} comes after {edge.reader} and reads {other.publisher} as well, so "
                f"a backfill of {edge.name} would reach it twice; declare the two ways to "
                f"{other.reader} as sinks of their own, or run the pipeline anew into an empty "
                "project folder"
            )
            raise Refused(message)
    return Way(
        first=edges[0], zones=tuple(zones), only=tuple(sorted(only)), replayed_at=replayed_at
    )


def _step_back(plan: Plan, zone: str, at: BatchId) -> tuple[EdgePlan, BatchId]:
    """Return the edge by which a batch came to a zone, and its id before."""
    inboxes = plan.inboxes(zone)
    for inbox in inboxes:
        if inbox.by_way and at.marks[-1:] == (f"@{inbox.publisher}",):
            return inbox, BatchId(at.source, at.number, at.marks[:-1])
    reaching = [
        inbox
        for inbox in inboxes
        if not inbox.by_way
        and (inbox.publisher == at.source or inbox.publisher in descendants(plan, {at.source}))
    ]
    if len(reaching) != 1:
        message = f"it is not known by which way {at} came to {zone}: the edges were others then"
        raise Refused(message)
    return reaching[0], at


async def _one(
    streams: Streams,
    plan: Plan,
    edge: EdgePlan,
    record: BatchRecord,
    cut: Cut,
    *,
    clock: Clock,
    by: str,
    result: Backfilled,
) -> None:
    """Run one missed batch."""
    core = settling.without_ways(record.batch)
    settled = await settling.load(streams, core)
    own = [act for act in settled.of("backfill", edge.name) if act.missed == record.batch]
    if any(act.done for act in own):
        return
    way = await way_to(streams, plan, edge, record.batch)
    source, frame = await _cut_again(streams, plan, record, cut)
    if own:
        act = own[0]
    else:
        rows = await _rows(streams, way, record, frame)
        act = Act(
            kind="backfill",
            number=settled.next_number("backfill"),
            zone=edge.name,
            missed=record.batch,
            rows=len(rows),
            spans=spans_of(rows),
            published={way.first.name: len(rows)} if rows else {},
            lookups=source.lookups,
            at_s=clock.utc_s(),
            by=by,
        )
        settled = settled.put(act)
        await settling.save(streams, settled)
    if act.rows:
        await _publish(streams, plan, way, settled, act, cutting=(source, frame), clock=clock)
    settled = await settling.finished(streams, settled, act)
    result.rows += act.rows
    result.batches.append(settled.made(act))


async def _cut_again(
    streams: Streams, plan: Plan, record: BatchRecord, cut: Cut
) -> tuple[BatchRecord, pl.DataFrame]:
    """Return the source's record of a batch and its rows, with their numbers in ``_ROW``.

    Raises:
        Refused: if the source does not give the same rows again.
    """
    root = BatchId.parse(record.batch).root
    source = await streams.recorded(root.source, str(root))
    if source is None:
        message = f"{root.source} keeps no record of {root} any more: it cannot be cut again"
        raise Refused(message)
    before = await streams.recorded(root.source, str(BatchId(root.source, root.number - 1)))
    parcel = await cut(plan.zone(root.source), source, before)
    if parcel.rows != source.passed:
        message = (
            f"{root.source} cut {source.passed} rows into {root} and now finds {parcel.rows}: what "
            "it reads was changed since, so the batch cannot be run again"
        )
        raise Refused(message)
    frame = decode_frame(parcel.payload[: parcel.frame_bytes])
    section = parcel.payload[parcel.frame_bytes :]
    numbers = decode_frame(section).get_column(ROW) if section else pl.int_range(
        frame.height, dtype=pl.UInt32, eager=True)  # fmt: skip
    return source, frame.with_columns(numbers.alias(_NUMBER))


_NUMBER = "\0row"
"""No column of a user is called so."""


async def _rows(streams: Streams, way: Way, record: BatchRecord, frame: pl.DataFrame) -> list[int]:
    """Return the numbers of the rows that the edge missed, and that did not die on the way.

    Raises:
        Refused: if that cannot be told.
    """
    made_by = await _made_by(streams, BatchId.parse(record.batch))
    rows = set(frame.get_column(_NUMBER).to_list())
    if made_by is not None:
        rows &= rows_of(made_by.spans)
    numbered = True
    for stretch in way.zones:
        done = await streams.recorded(stretch.zone, stretch.batch)
        if done is not None and done.dead:
            if not numbered:
                message = (
                    f"rows of it died in {stretch.zone}, behind a zone that gave rows new numbers: "
                    "which rows of the source they were is not known"
                )
                raise Refused(message)
            rows -= await _died(streams, stretch)
        numbered = numbered and done is not None and done.numbered
    return sorted(rows)


async def _made_by(streams: Streams, batch: BatchId) -> Act | None:
    """Return the replay or backfill that made a batch; None if its source cut it."""
    for place in range(len(batch.marks) - 1, -1, -1):
        mark = batch.marks[place]
        if mark.startswith("@"):
            continue
        parent = str(BatchId(batch.source, batch.number, batch.marks[:place]))
        kind = "replay" if mark.startswith("~r") else "backfill"
        if kind == "backfill":
            parent = settling.without_ways(parent)
        for act in (await settling.load(streams, parent)).acts:
            if act.kind == kind and f"{mark[:2]}{act.number}" == mark:
                return act
        message = f"what made {batch} is not written down"
        raise Refused(message)
    return None


async def _died(streams: Streams, stretch: Stretch) -> set[int]:
    """Return the rows of a batch that died in a zone, whatever became of them since."""
    settled = await settling.load(streams, stretch.batch)
    rows: set[int] = set()
    for act in settled.acts:
        if act.kind != "backfill" and act.zone == stretch.zone:
            rows |= rows_of(act.spans)
    found = await streams.dead_rows(stretch.zone, stretch.batch)
    if found is not None:
        _, reasons = decode_dead(*found)
        rows |= set(reasons.get_column(ROW).to_list())
    return rows


async def _publish(
    streams: Streams,
    plan: Plan,
    way: Way,
    settled: Settled,
    act: Act,
    *,
    cutting: tuple[BatchRecord, pl.DataFrame],
    clock: Clock,
) -> None:
    """Put the batch of a backfill into its source's edge, waiting for room."""
    batch = BatchId.parse(settled.made(act))
    if way.first.by_way:
        batch = batch.by_way_of(way.first.publisher)
    if await streams.recorded(way.first.reader, str(batch)) is not None:
        return
    source, frame = cutting
    chosen = frame.filter(pl.col(_NUMBER).is_in(sorted(rows_of(act.spans))))
    parcel = encode_batch(chosen.drop(_NUMBER), chosen.get_column(_NUMBER))
    envelope = Envelope(
        batch=str(batch),
        rows=parcel.rows,
        frame_bytes=parcel.frame_bytes,
        crc32=checksum(parcel.payload),
        zone=way.first.publisher,
        zone_version=plan.zone(way.first.publisher).version,
        cut_s=source.cut_s,
        parent=settled.batch,
        only=way.only,
        lookups=act.lookups,
    )
    for trial in range(FULL_TRIES):
        try:
            await streams.publish(way.first.name, envelope, parcel.payload)
        except StreamFull:
            if trial == FULL_TRIES - 1:
                raise
            await clock.wait(FULL_WAIT_S)
        else:
            return
