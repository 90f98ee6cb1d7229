"""Try dead letters where nothing comes of it: would they pass now?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from firedoor.control.letters import Selection, selected
from firedoor.control.payloads import ROW, decode_dead, encode_batch
from firedoor.errors import DependencyDown, NotKnown, StepAtFault
from firedoor.ports.stage import Handled
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.envelope import Envelope, checksum

ROWS_MAX = 100_000
"""Rows that are tried at most."""

TryRows = Callable[[ZonePlan, Envelope, bytes], Awaitable[Handled]]
"""Takes a batch through a zone's step, and hands nothing on."""


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """What would become of the dead letters of one zone."""

    zone: str
    rows: int = 0
    passed: int = 0
    dropped: int = 0
    failing: Counter[str] = field(default_factory=Counter)
    """Rows that would die again, by signature."""
    faults: Counter[str] = field(default_factory=Counter)
    """Rows of batches at which the zone would halt, by why."""
    untried: Counter[str] = field(default_factory=Counter)
    """Rows that were not tried, by why."""


async def rehearse(
    streams: Streams, plan: Plan, selection: Selection, try_rows: TryRows
) -> list[Rehearsal]:
    """Try the rows that are meant in the code that zones have now.

    Raises:
        NotKnown: if nothing is meant.
    """
    told: dict[str, Rehearsal] = {}
    tried = 0
    async for known in selected(streams, selection):
        found = await streams.dead_rows(known.zone, known.batch)
        if found is None:
            continue
        entry, payload = found
        rows, reasons = decode_dead(entry, payload)
        chosen = selection.mask_of(reasons)
        count = int(chosen.sum())
        if not count:
            continue
        result = told.setdefault(entry.zone, Rehearsal(zone=entry.zone))
        result.rows += count
        why = _untried(plan, entry.zone)
        if not why and tried >= ROWS_MAX:
            why = f"{ROWS_MAX:,} rows were tried, and that is enough at once"
        if why:
            result.untried[why] += count
            continue
        tried += count
        parcel = encode_batch(rows.filter(chosen), reasons.filter(chosen).get_column(ROW))
        envelope = Envelope(
            batch=entry.batch,
            rows=parcel.rows,
            frame_bytes=parcel.frame_bytes,
            crc32=checksum(parcel.payload),
            zone=entry.edge.partition(":")[0],
            zone_version="",
            cut_s=entry.cut_s,
        )
        await _try(plan.zone(entry.zone), envelope, parcel.payload, try_rows, result)
    if not told:
        message = f"there are no dead letters {selection}: `firedoor dlq` lists what there is"
        raise NotKnown(message)
    return list(told.values())


async def _try(
    zone: ZonePlan, envelope: Envelope, payload: bytes, try_rows: TryRows, result: Rehearsal
) -> None:
    """Try one batch."""
    try:
        handled = await try_rows(zone, envelope, payload)
    except (StepAtFault, DependencyDown) as fault:
        result.faults[str(fault).partition("\n")[0]] += envelope.rows
        return
    dead = handled.dead.rows if handled.dead else 0
    dropped = sum(handled.dropped.values())
    result.passed += envelope.rows - dead - dropped
    result.dropped += dropped
    if handled.dead:
        result.failing.update({group.signature: group.rows for group in handled.dead.groups})


def _untried(plan: Plan, name: str) -> str:
    """Return why rows of a zone cannot be tried, an empty string if they can."""
    kinds = {zone.name: zone.kind for zone in plan.zones}
    if name not in kinds:
        return "the zone is no longer declared"
    if kinds[name] == "source":
        return "a source has no step to try them in: export and repair them"
    if kinds[name] == "sink":
        return "a sink is not tried, since what it writes cannot be taken back"
    return ""
