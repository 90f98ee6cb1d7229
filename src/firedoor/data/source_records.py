"""What a source keeps of a batch that it has cut: its record, and the entry of its dead rows."""

from __future__ import annotations

from collections import Counter

from firedoor.data.outlets import Sent
from firedoor.data.reader import Fresh
from firedoor.ports.stage import DeadRows
from firedoor.spec.plan import ZonePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import BatchRecord, DeadEntry


def entry_of(zone: ZonePlan, envelope: Envelope, dead: DeadRows, at_s: float) -> DeadEntry:
    """Return the entry of dead rows and lines."""
    return DeadEntry(
        zone=zone.name,
        batch=envelope.batch,
        zone_version=zone.version,
        rows=dead.rows,
        frame_bytes=dead.frame_bytes,
        crc32=checksum(dead.payload),
        groups=dead.groups,
        at_s=at_s,
        cut_s=envelope.cut_s,
        sensitive=zone.sensitive,
        lookups=envelope.lookups,
    )


def record_of(
    zone: ZonePlan,
    envelope: Envelope,
    fresh: Fresh,
    sent: Sent,
    *,
    attempts: dict[str, int],
    ended_s: float,
    fault: str,
) -> BatchRecord:
    """Return the record of a batch."""
    return BatchRecord(
        zone=zone.name,
        batch=envelope.batch,
        zone_version=zone.version,
        rows_in=fresh.lines,
        rows_out=fresh.parcel.rows,
        passed=fresh.parcel.rows,
        dead=fresh.dead.rows if fresh.dead else 0,
        dropped=fresh.dropped,
        published=sent.published,
        shed=sent.shed,
        missed=sent.missed,
        signatures=signatures_of(fresh.dead),
        attempts=attempts,
        began_s=envelope.cut_s,
        ended_s=ended_s,
        cut_s=envelope.cut_s,
        segments=(fresh.segment,),
        position=fresh.position,
        lookups=envelope.lookups,
        fault=fault,
    )


def signatures_of(dead: DeadRows | None) -> dict[str, int]:
    """Return dead rows by signature."""
    groups = dead.groups if dead else ()
    return dict(sum((Counter({each.signature: each.rows}) for each in groups), Counter()))
