"""Cut batches of a source again, for a backfill: the same lines under the same numbers."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from firedoor.compose import reading
from firedoor.data.reader import Fresh, Reader, ReaderDied, ReaderProcess
from firedoor.errors import Refused, StepAtFault
from firedoor.ports.stage import Parcel
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan, encode_plan
from firedoor.wire.records import BatchRecord, Position


class Recutter:
    """Readers of sources, each started when it is needed. Use it as an async context."""

    def __init__(self, streams: Streams, plan: Plan) -> None:
        """Start nothing yet."""
        self._streams = streams
        self._plan = plan
        self._readers: dict[str, Reader] = {}
        self._places: dict[str, Position | None] = {}
        """Where each reader goes on."""

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the readers."""
        for reader in self._readers.values():
            await reader.close()

    async def cut(self, zone: ZonePlan, record: BatchRecord, before: BatchRecord | None) -> Parcel:
        """Return the rows of a batch that a source has cut before. See ``control.backfill.Cut``.

        Args:
            zone: the source.
            record: of the batch.
            before: of the batch before it; None for the first.

        Raises:
            Refused: if what it reads is not the same any more, or cannot be read.
        """
        place = _place(zone, record, before)
        try:
            fresh = await self._next(zone, place)
        except (StepAtFault, ReaderDied) as error:
            self._places.pop(zone.name, None)
            message = f"{zone.name} cannot cut it again: {error}"
            raise Refused(message) from error
        if fresh is None or (fresh.segment, fresh.lines) != (record.segments[0], record.rows_in):
            self._places.pop(zone.name, None)
            message = (
                f"{zone.name} does not find the lines of {record.batch} where it had read them: "
                "what it reads was changed since, so the batch cannot be run again"
            )
            raise Refused(message)
        self._places[zone.name] = fresh.position
        return fresh.parcel

    async def _next(self, zone: ZonePlan, place: Position | None) -> Fresh | None:
        """Return the batch at a place, from a reader that is there already or is sent there."""
        if zone.name not in self._readers:
            plan = encode_plan(self._plan)
            self._readers[zone.name] = ReaderProcess(reading.COMMAND, plan=plan, zone=zone.name)
        reader = self._readers[zone.name]
        if zone.name not in self._places or self._places[zone.name] != place:
            await reader.begin(place, await self._files(zone.name))
        return await reader.next()

    async def _files(self, zone: str) -> list[str]:
        """Return the files that batches were cut from, in that order."""
        files: dict[str, None] = {}
        async for record in self._streams.records(zone):
            files.update({segment.file: None for segment in record.segments})
        return list(files)


def _place(zone: ZonePlan, record: BatchRecord, before: BatchRecord | None) -> Position | None:
    """Return where a batch begins.

    That is where the one before it ended; or, at the beginning of a file, there, so that nothing
    needs the file before it any more.
    """
    place = before.position if before is not None else None
    first = record.segments[0]
    in_files = zone.source is not None and zone.source.form != "frames"
    if in_files and place is not None and record.position is not None and place.file != first.file:
        return Position(file=first.file, identity=record.position.identity, rows=place.rows)
    return place
