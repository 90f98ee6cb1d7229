"""What is written about a batch that went through a zone: its record, envelope and dead letters."""

from __future__ import annotations

import msgspec

from firedoor.data.outlets import Sent
from firedoor.data.source_records import signatures_of
from firedoor.data.tries import Tries
from firedoor.errors import StepAtFault
from firedoor.ports.stage import DeadRows, Handled
from firedoor.quality.grades import merged
from firedoor.spec.plan import ZonePlan
from firedoor.units import format_bytes
from firedoor.wire.envelope import PAYLOAD_MAX, WIRE_VERSION, Envelope, checksum
from firedoor.wire.records import BatchRecord, DeadEntry


def begun_record(
    plan: ZonePlan, envelope: Envelope, handled: Handled, tries: Tries, *, weight: float
) -> BatchRecord:
    """Return the record of a batch as far as it is known when the zone's work is done.

    The quality by which it was decided where the batch goes holds when it comes again.

    Args:
        plan: of the zone.
        envelope: of the batch as it came.
        handled: what was made of it.
        tries: what is noted of it.
        weight: how many rows each row stands for that was worked on.

    Raises:
        StepAtFault: if rows are missing, or the output is too large to be published.
    """
    parcel, dead = handled.parcel, handled.dead
    if len(parcel.payload) > PAYLOAD_MAX:
        raise StepAtFault(
            f"the step made {format_bytes(len(parcel.payload))} of {envelope.rows:,} rows, "
            f"and a batch may have {format_bytes(PAYLOAD_MAX)}: declare smaller batch_rows at "
            "the source, or return fewer columns",
            code="output_too_large",
            signature="output too large",
        )
    dead_rows = dead.rows if dead else 0
    passed = envelope.rows - dead_rows - sum(handled.dropped.values())
    if passed < 0:
        raise StepAtFault(
            f"{dead_rows:,} rows dead and {handled.dropped} dropped are more than the "
            f"{envelope.rows:,} that came in: this is a defect of firedoor, please report it",
            code="miscounted",
            signature="miscounted rows",
        )
    quality = tries.noted.quality
    if quality is None:
        quality = merged(envelope.quality, handled.quality)
    return BatchRecord(
        zone=plan.name,
        batch=envelope.batch,
        zone_version=plan.version,
        rows_in=envelope.rows,
        rows_out=parcel.rows,
        passed=passed,
        dead=dead_rows,
        dropped=handled.dropped,
        signatures=signatures_of(dead),
        began_s=0.0,
        ended_s=0.0,
        cut_s=envelope.cut_s,
        numbered=handled.numbered,
        parent=envelope.parent,
        only=envelope.only,
        lookups={**envelope.lookups, **handled.lookups},
        sink=handled.sink,
        weight=weight,
        quality=quality,
        models={**envelope.models, **handled.models},
    )


def ended_record(
    record: BatchRecord,
    sent: Sent,
    tries: Tries,
    *,
    edge: str,
    deliveries: int,
    began_s: float,
    ended_s: float,
    fault: str,
) -> BatchRecord:
    """Return the record with how it went; ``fault`` is that of a drill that hit it."""
    return msgspec.structs.replace(
        record,
        edge=edge,
        published=sent.published,
        shed=sent.shed,
        missed=sent.missed,
        elsewhere=sent.elsewhere,
        deliveries=deliveries,
        attempts=tries.noted.counts,
        began_s=began_s,
        ended_s=ended_s,
        fault=fault,
    )


def onward_envelope(
    plan: ZonePlan,
    envelope: Envelope,
    record: BatchRecord,
    handled: Handled,
    *,
    traceparent: str | None,
    cause: str,
    sent_s: float,
) -> Envelope:
    """Return the envelope under which the output of a zone travels."""
    parcel = handled.parcel
    return msgspec.structs.replace(
        envelope,
        rows=parcel.rows,
        frame_bytes=parcel.frame_bytes,
        crc32=checksum(parcel.payload),
        zone=plan.name,
        zone_version=plan.version,
        schema=parcel.schema,
        attempt=1,
        lookups=record.lookups,
        weight=record.weight,
        quality=record.quality,
        models=record.models,
        traceparent=traceparent,
        cause=cause,
        sent_s=sent_s,
        wire=WIRE_VERSION,
    )


def dead_entry(
    plan: ZonePlan, envelope: Envelope, dead: DeadRows, *, edge: str, at_s: float
) -> DeadEntry:
    """Return the entry of dead rows."""
    return DeadEntry(
        zone=plan.name,
        batch=envelope.batch,
        edge=edge,
        zone_version=plan.version,
        rows=dead.rows,
        frame_bytes=dead.frame_bytes,
        crc32=checksum(dead.payload),
        groups=dead.groups,
        at_s=at_s,
        cut_s=envelope.cut_s,
        sensitive=plan.sensitive,
        lookups=envelope.lookups,
        weight=envelope.weight,
        quality=envelope.quality,
        models=envelope.models,
    )
