"""A source that cuts the batches of a simulated world: the contract of sources, and no more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from firedoor.errors import DeadLettersFull, StreamFull, StreamsUnavailable
from firedoor.names import BatchId
from firedoor.ports.streams import Streams
from firedoor.testing.drawing import Drawn
from firedoor.testing.process import Process
from firedoor.testing.stage import bury_rows, encode_rows
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import BatchRecord, DeadEntry, Position

T = TypeVar("T")
RETRY_S = 0.5


class SimulatedSource:
    """Publishes, buries, records; goes on from its last record; says when it has ended."""

    def __init__(self, name: str, drawn: Drawn, streams: Streams, process: Process) -> None:
        """Cut the batches of one source."""
        self._name = name
        self._drawn = drawn
        self._streams = streams
        self._process = process

    async def run(self) -> None:
        """Cut what is left to be cut."""
        count = self._drawn.batches[self._name]
        last = await self._insist(lambda: self._streams.last_record(self._name))
        first = 0 if last is None else BatchId.parse(last.batch).number + 1
        for number in range(first, count):
            await self._process.pause(self._drawn.conditions[self._name].step_s)
            await self._cut(number)
        ended = msgspec.json.encode({"ended": True, "batches": count})
        await self._insist(lambda: self._streams.put(f"source.{self._name}", ended))

    async def _cut(self, number: int) -> None:
        """Take one batch from its rows to its record."""
        began_s = self._process.utc_s()
        batch = BatchId(self._name, number)
        rows: dict[str, list[int]] = {"passes": [], "dead": [], "dropped": []}
        for row in self._drawn.rows_of(self._name, number):
            rows[self._drawn.fate(self._name, row)].append(row)
        published = await self._publish(batch, rows["passes"], began_s)
        if rows["dead"]:
            await self._bury(batch, rows["dead"], began_s)
        count = self._drawn.batches[self._name]
        record = BatchRecord(
            zone=self._name,
            batch=str(batch),
            zone_version="v1",
            rows_in=self._drawn.rows,
            rows_out=len(rows["passes"]),
            passed=len(rows["passes"]),
            dead=len(rows["dead"]),
            dropped={"drawn": len(rows["dropped"])} if rows["dropped"] else {},
            published=published,
            began_s=began_s,
            ended_s=self._process.utc_s(),
            cut_s=began_s,
            position=Position(offset=number + 1, ended=number + 1 == count),
        )
        await self._insist(lambda: self._streams.record(record))

    async def _publish(self, batch: BatchId, rows: list[int], cut_s: float) -> dict[str, int]:
        """Publish to every edge, and wait for room."""
        payload, published = encode_rows(rows), {}
        for edge in self._drawn.plan.outlets(self._name) if rows else ():
            named = batch.by_way_of(self._name) if edge.by_way else batch
            envelope = Envelope(
                batch=str(named),
                rows=len(rows),
                frame_bytes=len(payload),
                crc32=checksum(payload),
                zone=self._name,
                zone_version="v1",
                cut_s=cut_s,
            )
            await self._insist(
                lambda to=edge.name, what=envelope: self._streams.publish(to, what, payload)  # type: ignore[misc]
            )
            published[edge.name] = len(rows)
        return published

    async def _bury(self, batch: BatchId, rows: list[int], cut_s: float) -> None:
        """Keep dead rows."""
        dead = bury_rows(rows)
        entry = DeadEntry(
            zone=self._name,
            batch=str(batch),
            zone_version="v1",
            rows=dead.rows,
            frame_bytes=dead.frame_bytes,
            crc32=checksum(dead.payload),
            groups=dead.groups,
            at_s=cut_s,
            cut_s=cut_s,
        )
        await self._insist(lambda: self._streams.bury(entry, dead.payload))

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call until there is an answer, and room."""
        while True:
            try:
                return await call()
            except (StreamsUnavailable, StreamFull, DeadLettersFull):
                await self._process.wait(RETRY_S)
