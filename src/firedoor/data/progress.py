"""How far a source has come, as the store knows it.

Its records say where to go on. Beside them, under ``source.<zone>``, stands whether it has ended,
and, in pieces, the files that it read in their order: a file is noted before the first batch of it
is published, so that a batch that was published and not recorded is cut from the same file again,
whatever files have come since.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

import msgspec

from firedoor.data.insist import Insist
from firedoor.names import BatchId
from firedoor.ports.streams import Streams
from firedoor.wire.records import BatchRecord, Position

FILES_A_KEY = 500


class SourceNote(msgspec.Struct, frozen=True, kw_only=True):
    """Kept under ``source.<zone>``."""

    ended: bool
    batches: int


class Progress:
    """Where a source goes on."""

    def __init__(self, streams: Streams, insist: Insist, *, zone: str) -> None:
        """Know nothing yet."""
        self._streams = streams
        self._insist = insist
        self._zone = zone
        self._key = f"source.{zone}"
        self.number = 0
        """Of the next batch."""
        self.position: Position | None = None
        self.files: list[str] = []
        self._noted = False

    @property
    def batch(self) -> BatchId:
        """The next batch."""
        return BatchId(self._zone, self.number)

    async def load(self) -> None:
        """Read what is kept.

        Raises:
            StreamsUnavailable: if the broker is away and the zone drains.
        """
        last = await self._insist(self._last)
        self.number = BatchId.parse(last.batch).number + 1 if last is not None else 0
        self.position = last.position if last is not None else None
        self.files = await self._insist(self._read_files)

    async def reopen(self) -> None:
        """Take back that the source has ended, if it is kept."""
        value = await self._insist(lambda: self._streams.get(self._key))
        if value and msgspec.json.decode(value, type=SourceNote).ended:
            await self._put(ended=False)

    async def note_file(self, file: str) -> None:
        """Keep that a file is read next; durable when it returns."""
        if file in self.files[-1:] or not file:
            return
        if file in self.files:
            return  # it was begun before a restart
        self.files.append(file)
        piece = (len(self.files) - 1) // FILES_A_KEY
        names = self.files[piece * FILES_A_KEY :]
        value = msgspec.json.encode(names)
        await self._insist(lambda: self._streams.put(f"{self._key}.files.{piece}", value))

    def advance(self, position: Position) -> None:
        """Go on after a batch that is recorded."""
        self.number += 1
        self.position = position

    async def end(self) -> None:
        """Keep that there is nothing more."""
        await self._put(ended=True)

    async def _put(self, *, ended: bool) -> None:
        """Keep how far it is."""
        value = msgspec.json.encode(SourceNote(ended=ended, batches=self.number))
        await self._insist(lambda: self._streams.put(self._key, value))

    async def _last(self) -> BatchRecord | None:
        """Return the record of the batch that was cut last."""
        last = await self._streams.last_record(self._zone)
        if last is None or last.position is not None:
            return last
        found = None
        records = cast("AsyncGenerator[BatchRecord]", self._streams.records(zone=self._zone))
        async with aclosing(records):
            async for record in records:
                found = record if record.position is not None else found
        return found

    async def _read_files(self) -> list[str]:
        """Return the files that were read, in their order."""
        files: list[str] = []
        piece = 0
        while value := await self._streams.get(f"{self._key}.files.{piece}"):
            files += msgspec.json.decode(value, type=list[str])
            piece += 1
        return files
