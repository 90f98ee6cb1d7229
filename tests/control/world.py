"""A pipeline in memory whose zones are told which rows die, so that its books can be examined.

``flights -> clean -> (store, audit)``. A zone here does with a batch what the runner does, in the
same order, without a step: rows die or are dropped by their number at the source.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import polars as pl

from firedoor.control.payloads import decode_frame, encode_batch, encode_dead
from firedoor.names import BatchId
from firedoor.ports.stage import Parcel
from firedoor.ports.streams import Delivery, Streams
from firedoor.spec.plan import EdgePlan, Plan, SinkPlan, SourcePlan, ZonePlan
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import BatchRecord, DeadEntry, DeadGroup, Position, Segment

EPOCH_S = 1_767_225_600.0
BATCH_ROWS = 10
FILE = "/data/flights-01.jsonl"


def make_zone(name: str, kind: str, **more: object) -> ZonePlan:
    """Return a zone of a plan."""
    values = {"name": name, "kind": kind, "owner": f"{name}@example.com", "version": f"{name}-v1"}
    return msgspec.convert({**values, **more}, ZonePlan)


def make_plan(
    edges: Iterable[str] = ("flights:clean", "clean:store", "clean:audit"),
    *,
    by_way: Collection[str] = (),
    sensitive: Collection[str] = (),
) -> Plan:
    """Return a plan of these edges; zones that nothing reads are sinks."""
    pairs = [edge.split(":") for edge in edges]
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    reading = {reader for _, reader in pairs}
    read = {publisher for publisher, _ in pairs}
    zones = []
    for name in names:
        kind = "transform" if name in reading & read else "sink" if name in reading else "source"
        more: dict[str, object] = {"sensitive": tuple(sensitive)} if kind != "sink" else {}
        if kind == "source":
            more["source"] = SourcePlan(form="jsonl", patterns=(FILE,), batch_rows=BATCH_ROWS)
        if kind == "sink":
            more["sink"] = SinkPlan(form="parquet", path=f"/out/{name}")
        zones.append(make_zone(name, kind, **more))
    return Plan(
        pipeline="year",
        owner="ops@example.com",
        file="/code/year.py",
        sys_path=(),
        zones=tuple(zones),
        edges=tuple(
            EdgePlan(publisher=one, reader=two, by_way=f"{one}:{two}" in by_way)
            for one, two in pairs
        ),
    )


def rows_of_batch(number: int, count: int = BATCH_ROWS) -> pl.DataFrame:
    """Return what a source cuts."""
    first = number * 100
    return pl.DataFrame(
        {"id": range(first, first + count), "tailnum": [f"N{first + row}" for row in range(count)]}
    )


@dataclass(slots=True)
class World:
    """A pipeline, and the hand that moves it."""

    streams: Streams
    plan: Plan
    now_s: float = EPOCH_S
    written: dict[str, list[int]] = field(default_factory=dict)
    """Ids of the rows that each sink has."""
    _last: int = 0

    @property
    def last_batch(self) -> str:
        """The one that the source cut last."""
        return str(BatchId("flights", self._last))

    async def cut(
        self,
        count: int = 1,
        *,
        detached: Collection[str] = (),
        unread: Collection[int] = (),
        file: str = FILE,
    ) -> None:
        """Have the source cut batches; ``unread`` are numbers of lines that it cannot read."""
        for _ in range(count):
            number = self._last + 1
            line = (number - 1) * BATCH_ROWS + 1
            await self.enter(
                self.recut(number, unread),
                Segment(file=file, line=line, rows=BATCH_ROWS),
                Position(file=file, line=line + BATCH_ROWS - 1),
                detached=detached,
                unread=unread,
            )

    async def enter(
        self,
        parcel: Parcel,
        segment: Segment,
        position: Position,
        *,
        detached: Collection[str] = (),
        unread: Collection[int] = (),
    ) -> None:
        """Have the source publish, bury and record the next batch."""
        (source,) = [zone for zone in self.plan.zones if zone.kind == "source"]
        self._last += 1
        self.now_s += 1
        batch = BatchId(source.name, self._last)
        envelope = Envelope(
            batch=str(batch),
            rows=parcel.rows,
            frame_bytes=parcel.frame_bytes,
            crc32=checksum(parcel.payload),
            zone=source.name,
            zone_version=source.version,
            cut_s=self.now_s,
            lookups={"weather": "w1"},
        )
        sent, missed = await self._send(source.name, envelope, parcel.payload, detached)
        if unread:
            await bury(
                self.streams,
                zone=source.name,
                batch=str(batch),
                edge="",
                rows=pl.DataFrame({"line": [f"{{line {number}" for number in unread]}),
                numbers=list(unread),
                signatures=["parse" for _ in unread],
                at_s=self.now_s,
            )
        await self.streams.record(
            BatchRecord(
                zone=source.name,
                batch=str(batch),
                zone_version=source.version,
                rows_in=segment.rows,
                rows_out=parcel.rows,
                passed=parcel.rows,
                dead=len(unread),
                published=sent,
                missed=missed,
                began_s=self.now_s,
                ended_s=self.now_s + 0.5,
                cut_s=self.now_s,
                segments=(segment,),
                position=position,
                lookups={"weather": "w1"},
            )
        )

    def recut(self, number: int, unread: Collection[int] = ()) -> Parcel:
        """Return what a source reads for a batch, each time the same."""
        frame = rows_of_batch(number)
        kept = [row for row in range(frame.height) if row not in unread]
        return encode_batch(frame[kept], pl.Series(kept) if unread else None)

    async def run(
        self,
        edge: str,
        *,
        dead: Mapping[int, str] | None = None,
        dropped: Collection[int] = (),
        detached: Collection[str] = (),
        count: int = 1_000,
    ) -> int:
        """Have a reader do batches that wait on an edge; return how many.

        Args:
            edge: by which they come.
            dead: rows that die, by id, each with its signature.
            dropped: rows that are dropped, by id.
            detached: edges that are cut.
            count: batches at most.
        """
        done = 0
        inbox = self.streams.inbox(edge)
        while done < count:
            deliveries = await inbox.fetch(1, 0.0)
            for delivery in deliveries:
                await self._handle(delivery, dict(dead or {}), set(dropped), detached)
                done += 1
            if not deliveries:
                break
        return done

    async def run_all(
        self, *, dead: Mapping[int, str] | None = None, detached: Collection[str] = ()
    ) -> None:
        """Have every zone do everything; rows die in the zones that the source's readers are."""
        firsts = {zone.name for zone in self.plan.zones if zone.kind == "source"}
        for zone in self.plan.zones:
            for edge in self.plan.inboxes(zone.name):
                dying = dead if edge.publisher in firsts else None
                await self.run(edge.name, dead=dying, detached=detached)

    async def _handle(
        self,
        delivery: Delivery,
        dead: Mapping[int, str],
        dropped: Collection[int],
        detached: Collection[str],
    ) -> None:
        """Do one batch as the runner does: publish, bury, record, acknowledge."""
        self.now_s += 1
        zone = self.plan.zone(delivery.edge.partition(":")[2])
        came = delivery.envelope
        if await self.streams.recorded(zone.name, came.batch) is not None:
            await delivery.ack()
            return
        frame, numbers = _decoded(delivery)
        dies = frame.get_column("id").is_in(list(dead))
        drops = frame.get_column("id").is_in(list(dropped))
        stays = ~(dies | drops)
        parcel = encode_batch(frame.filter(stays), numbers.filter(stays))
        sent, missed = await self._send(
            zone.name, _onwards(came, zone, parcel), parcel.payload, detached
        )
        if dies.any():
            await bury(
                self.streams,
                zone=zone.name,
                batch=came.batch,
                edge=delivery.edge,
                rows=frame.filter(dies),
                numbers=numbers.filter(dies).to_list(),
                signatures=[dead[row] for row in frame.filter(dies).get_column("id")],
                at_s=self.now_s,
                cut_s=came.cut_s,
            )
        sink = ""
        if zone.kind == "sink":
            sink = f"/out/{zone.name}/{came.batch}.parquet"
            self.written.setdefault(zone.name, []).extend(frame.filter(stays)["id"].to_list())
        await self.streams.record(
            BatchRecord(
                zone=zone.name,
                batch=came.batch,
                zone_version=zone.version,
                edge=delivery.edge,
                rows_in=frame.height,
                rows_out=parcel.rows,
                passed=parcel.rows,
                dead=int(dies.sum()),
                dropped={"unwanted": int(drops.sum())} if drops.any() else {},
                published=sent,
                missed=missed,
                began_s=self.now_s,
                ended_s=self.now_s + 0.25,
                cut_s=came.cut_s,
                parent=came.parent,
                only=came.only,
                sink=sink,
            )
        )
        await delivery.ack()

    async def _send(
        self, zone: str, envelope: Envelope, payload: bytes, detached: Collection[str]
    ) -> tuple[dict[str, int], tuple[str, ...]]:
        """Publish to every outlet that the batch may go to."""
        sent: dict[str, int] = {}
        missed: list[str] = []
        for edge in self.plan.outlets(zone):
            if envelope.only and edge.reader not in envelope.only:
                continue
            if edge.name in detached:
                missed.append(edge.name)
                continue
            going = envelope
            if edge.by_way:
                batch = str(BatchId.parse(envelope.batch).by_way_of(zone))
                going = msgspec.structs.replace(envelope, batch=batch)
            await self.streams.publish(edge.name, going, payload)
            sent[edge.name] = envelope.rows
        return sent, tuple(missed)


def _onwards(came: Envelope, zone: ZonePlan, parcel: Parcel) -> Envelope:
    """Return the envelope of what a zone made of a batch."""
    return msgspec.structs.replace(
        came,
        rows=parcel.rows,
        frame_bytes=parcel.frame_bytes,
        crc32=checksum(parcel.payload),
        zone=zone.name,
        zone_version=zone.version,
    )


def _decoded(delivery: Delivery) -> tuple[pl.DataFrame, pl.Series]:
    """Return the rows of a batch, and their numbers at the source."""
    size = delivery.envelope.frame_bytes
    frame, section = decode_frame(delivery.payload[:size]), delivery.payload[size:]
    if section:
        return frame, decode_frame(section).get_column("row")
    return frame, pl.int_range(frame.height, dtype=pl.UInt32, eager=True).alias("row")


async def bury(
    streams: Streams,
    *,
    zone: str,
    batch: str,
    edge: str,
    rows: pl.DataFrame,
    numbers: list[int],
    signatures: list[str],
    at_s: float = EPOCH_S,
    cut_s: float = EPOCH_S,
) -> DeadEntry:
    """Put dead rows into the store."""
    reasons = pl.DataFrame(
        {
            "row": pl.Series(numbers, dtype=pl.UInt32),
            "code": ["exception"] * len(numbers),
            "signature": signatures,
            "message": [f"{signature}: row {row}" for row, signature in
                        zip(numbers, signatures, strict=True)],
            "attempts": [{"exception": 1} for _ in numbers],
        }
    )  # fmt: skip
    blank = DeadEntry(
        zone=zone,
        batch=batch,
        edge=edge,
        zone_version=f"{zone}-v1",
        rows=0,
        frame_bytes=0,
        crc32=0,
        groups=tuple(
            DeadGroup(
                code="exception",
                signature=signature,
                rows=0,
                first_row=0,
                message="",
                line=signature.partition(" at ")[2] or None,
            )
            for signature in dict.fromkeys(signatures)
        ),
        at_s=at_s,
        cut_s=cut_s,
    )
    entry, payload = encode_dead(blank, rows, reasons)
    await streams.bury(entry, payload)
    return entry
