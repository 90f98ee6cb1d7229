"""Dead letters sent again, or given up.

A replay is a batch of its own, ``flights-000123~r1``, put into the inbox that the rows came from.
Three steps, each durable: write down which rows go under which number (``control.settling``),
publish them, take them out of the entry. Whatever breaks off in between is finished by the next
call, with the same rows under the same id; what had arrived already is known there by that id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from firedoor.control import settling
from firedoor.control.letters import Selection, selected
from firedoor.control.payloads import ROW, decode_dead, encode_batch, encode_dead
from firedoor.control.settling import Act, Settled
from firedoor.errors import DeclarationError, NotKnown, StreamFull
from firedoor.names import BatchId
from firedoor.ports.stage import Parcel
from firedoor.ports.streams import Streams
from firedoor.quality.grades import QUALITY
from firedoor.spec.plan import Plan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import BatchRecord, DeadEntry

MARKS_MAX = 12
"""Of a batch that is replayed: an id has room for 16, and the way onwards may add some."""
BECAUSE_MAX = 500
DAY_S = 86_400.0


@dataclass(slots=True, kw_only=True)
class Done:
    """What a replay or discard did."""

    rows: int = 0
    batches: list[str] = field(default_factory=list)
    """Ids of the batches that were made, or of those that lost rows."""
    left: list[str] = field(default_factory=list)
    """What was left as it is: why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, when, and with which lookups."""

    by: str
    at_s: float
    lookups: Mapping[str, str] = field(default_factory=dict)
    """Versions that hold now; a replay is pinned to them, since a lookup may have been repaired."""


async def replay(streams: Streams, plan: Plan, selection: Selection, actor: Actor) -> Done:
    """Send the rows that are meant through their zone again, and on from there.

    Raises:
        NotKnown: if nothing is meant.
    """
    done = Done()
    for zone, batch in await _keys(streams, selection):
        try:
            await _replay_one(streams, plan, (zone, batch), selection, actor, done)
        except StreamFull as full:
            done.left.append(
                f"{batch} in {zone} and what comes after it: {full}; nothing is lost: run the same "
                "command again when the inbox has room"
            )
            break
    return done


async def discard(
    streams: Streams, plan: Plan, selection: Selection, actor: Actor, *, because: str
) -> Done:
    """Give up the rows that are meant, for good. Who, when and why is kept.

    Raises:
        DeclarationError: without a reason.
        NotKnown: if nothing is meant.
    """
    reason = " ".join(because.split())[:BECAUSE_MAX]
    if not reason:
        raise DeclarationError(
            "because",
            because,
            "rows are gone after this, and somebody will ask why",
            'say why: firedoor dlq discard --because "test data of May"',
        )
    done = Done()
    for zone, batch in await _keys(streams, selection):
        settled = await finish(streams, plan, zone, batch)
        found = await streams.dead_rows(zone, batch)
        if found is None:
            continue
        entry, payload = found
        unsettled = await _unrecorded(streams, plan, entry, actor.at_s)
        if unsettled:
            done.left.append(unsettled)
            continue
        _, reasons = decode_dead(entry, payload)
        numbers = reasons.filter(selection.mask_of(reasons)).get_column(ROW)
        if not numbers.len():
            continue
        act = Act(
            kind="discard",
            number=settled.next_number("discard"),
            zone=zone,
            rows=numbers.len(),
            spans=settling.spans_of(numbers.to_list()),
            at_s=actor.at_s,
            by=actor.by,
            because=reason,
        )
        await settling.save(streams, settled.put(act))
        await finish(streams, plan, zone, batch)
        done.rows += act.rows
        done.batches.append(batch)
    return done


async def finish(streams: Streams, plan: Plan, zone: str, batch: str) -> Settled:
    """Finish what was begun with the dead rows of a zone and batch, and return what was done."""
    settled = await settling.load(streams, batch)
    for act in settled.acts:
        if act.done or act.zone != zone or act.kind == "backfill":
            continue
        found = await streams.dead_rows(zone, batch)
        if found is not None:
            await _move(streams, plan, found, settled, act)
        settled = await settling.finished(streams, settled, act)
    return settled


async def _replay_one(
    streams: Streams,
    plan: Plan,
    key: tuple[str, str],
    selection: Selection,
    actor: Actor,
    done: Done,
) -> None:
    """Replay the rows that are meant of one entry."""
    zone, batch = key
    before = {act.number for act in (await settling.load(streams, batch)).of("replay", zone)
              if not act.done}  # fmt: skip
    settled = await finish(streams, plan, zone, batch)
    for act in settled.of("replay", zone):
        if act.number in before:
            done.rows += act.rows
            done.batches.append(settled.made(act))
    found = await streams.dead_rows(zone, batch)
    if found is None:
        return
    entry, payload = found
    hindrance = _hindrance(plan, entry) or await _unrecorded(streams, plan, entry, actor.at_s)
    if hindrance:
        done.left.append(hindrance)
        return
    _, reasons = decode_dead(entry, payload)
    numbers = reasons.filter(selection.mask_of(reasons)).get_column(ROW)
    if not numbers.len():
        return
    act = Act(
        kind="replay",
        number=settled.next_number("replay"),
        zone=zone,
        rows=numbers.len(),
        spans=settling.spans_of(numbers.to_list()),
        published={entry.edge: numbers.len()},
        lookups=dict(actor.lookups),
        at_s=actor.at_s,
        by=actor.by,
    )
    await settling.save(streams, settled.put(act))
    await finish(streams, plan, zone, batch)
    done.rows += act.rows
    done.batches.append(settled.made(act))


async def _move(
    streams: Streams, plan: Plan, found: tuple[DeadEntry, bytes], settled: Settled, act: Act
) -> None:
    """Publish the rows of an act, if they are to be, and take them out of the entry."""
    entry, payload = found
    rows, reasons = decode_dead(entry, payload)
    chosen = reasons.get_column(ROW).is_in(sorted(settling.rows_of(act.spans)))
    if not chosen.any():
        return
    if act.kind == "replay":
        batch = settled.made(act)
        parcel = encode_batch(rows.filter(chosen), reasons.filter(chosen).get_column(ROW))
        if await streams.recorded(entry.zone, batch) is None:
            envelope = await _envelope(streams, plan, entry, batch, parcel)
            lookups = {**entry.lookups, **act.lookups}
            envelope = msgspec.structs.replace(envelope, lookups=lookups)
            await streams.publish(entry.edge, envelope, parcel.payload)
    left, rest = encode_dead(_after(entry, act), rows.filter(~chosen), reasons.filter(~chosen))
    await streams.rebury(left, rest)


async def _envelope(
    streams: Streams, plan: Plan, entry: DeadEntry, batch: str, parcel: Parcel
) -> Envelope:
    """Return the envelope of a replay.

    It may go where the batch that the rows died in could go: a row that died in a backfill must
    not reach zones that had the batch already.
    """
    record = await streams.recorded(entry.zone, entry.batch)
    publisher = entry.edge.partition(":")[0]
    return Envelope(
        batch=batch,
        rows=parcel.rows,
        frame_bytes=parcel.frame_bytes,
        crc32=checksum(parcel.payload),
        zone=publisher,
        zone_version=plan.zone(publisher).version,
        cut_s=entry.cut_s,
        parent=entry.batch,
        only=record.only if record else (),
        weight=entry.weight,
        quality=entry.quality,
        models=entry.models,
        waived=(entry.zone,) if any(group.code == QUALITY for group in entry.groups) else (),
    )


def _after(entry: DeadEntry, act: Act) -> DeadEntry:
    """Return what an entry says after an act."""
    if act.kind == "replay":
        return msgspec.structs.replace(
            entry, replays=entry.replays + 1, replayed_rows=entry.replayed_rows + act.rows
        )
    return msgspec.structs.replace(
        entry,
        discarded_rows=entry.discarded_rows + act.rows,
        because=(*entry.because, f"{act.by}: {act.because}"),
    )


def _hindrance(plan: Plan, entry: DeadEntry) -> str:
    """Return why an entry cannot be replayed, or an empty string."""
    if not entry.edge:
        return (
            f"{entry.batch}: {entry.zone} itself refused {entry.rows} of its lines, and a source "
            "has no inbox to replay into: `firedoor dlq export` them, repair them, and put them "
            f"into a file that {entry.zone} reads; then `firedoor dlq discard` these"
        )
    if entry.edge not in {edge.name for edge in plan.edges}:
        return (
            f"{entry.batch} in {entry.zone}: its inbox {entry.edge} is no longer declared: "
            "`firedoor dlq export` the rows, or declare the edge again"
        )
    if len(BatchId.parse(entry.batch).marks) > MARKS_MAX:
        return (
            f"{entry.batch} in {entry.zone} was replayed {MARKS_MAX} times over: "
            "`firedoor dlq export` the rows and repair them"
        )
    return ""


async def _unrecorded(streams: Streams, plan: Plan, entry: DeadEntry, now_s: float) -> str:
    """Return why an entry must not be touched yet, or an empty string.

    Dead rows are buried before their batch is recorded. Where a zone died in between, it does the
    batch again and counts on finding the entry whole.
    """
    record: BatchRecord | None = await streams.recorded(entry.zone, entry.batch)
    if record is not None or entry.at_s < now_s - plan.retention_days * DAY_S:
        return ""
    return (
        f"{entry.batch} in {entry.zone} is still under way: try again when {entry.zone} has "
        "finished it"
    )


async def _keys(streams: Streams, selection: Selection) -> list[tuple[str, str]]:
    """Return the entries that are meant, before any of them changes.

    Raises:
        NotKnown: if there is none.
    """
    keys = [(entry.zone, entry.batch) async for entry in selected(streams, selection)]
    if not keys:
        message = f"there are no dead letters {selection}: `firedoor dlq` lists what there is"
        raise NotKnown(message)
    return keys
