"""What is noted durably of a batch while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from firedoor.data.insist import Insist
from firedoor.flow import attempts
from firedoor.ports.streams import Streams
from firedoor.quality.grades import Grade
from firedoor.wire.records import Attempts


class Tries:
    """The attempts of one batch in one zone: read if it came before, written before they count."""

    def __init__(self, streams: Streams, insist: Insist, *, zone: str, batch: str) -> None:
        """Begin with none."""
        self._streams = streams
        self._insist = insist
        self._zone = zone
        self._batch = batch
        self._kept = False
        """Whether anything may be noted at the broker."""
        self._loaded = False
        self._writing = asyncio.Lock()
        self.noted = Attempts()

    async def load(self) -> None:
        """Read what is noted."""
        if not self._loaded:
            self.noted = await self._insist(lambda: self._streams.attempts(self._zone, self._batch))
            self._loaded = self._kept = True

    async def count(self, counts: dict[str, int]) -> None:
        """Note new counts by cause; durable when it returns."""
        await self._note(counts=counts)

    async def journal(self, cause: str, part: str) -> None:
        """Note a run that came to nothing. See ``ports.stage.Journal``."""
        counts = attempts.count(self.noted.counts, cause)
        await self._note(counts=counts, last=f"{part}: {cause}")

    async def shed(self, edge: str, how: str) -> None:
        """Note that an edge gets less of the batch, before it gets it."""
        await self._note(shed={**self.noted.shed, edge: how})

    async def keep(self, share: float) -> None:
        """Note which share of the keys the zone takes, before it takes them."""
        if self.noted.keep != share:
            await self._note(keep=share)

    async def graded(self, quality: Mapping[str, Grade]) -> None:
        """Note by which quality it is decided where the batch goes, before it goes there."""
        await self._note(quality=dict(quality))

    async def scored(self, models: Mapping[str, str]) -> None:
        """Note by which versions of models the batch was scored, before it goes anywhere."""
        if self.noted.models != models:
            await self._note(models=dict(models))

    async def returned(self, delivery: int) -> None:
        """Note that a delivery is given back on purpose."""
        await self._note(returned=delivery)

    async def forget(self) -> None:
        """Forget everything: the batch is recorded."""
        if self._kept:
            await self._insist(lambda: self._streams.note_attempts(self._zone, self._batch, None))

    async def clear(self) -> None:
        """Forget what a runner before this one had noted, and could not forget any more."""
        self._kept = True
        await self.forget()

    async def _note(
        self,
        *,
        counts: dict[str, int] | None = None,
        last: str | None = None,
        returned: int | None = None,
        shed: dict[str, str] | None = None,
        keep: float | None = None,
        quality: dict[str, Grade] | None = None,
        models: dict[str, str] | None = None,
    ) -> None:
        """Write what changed with what stays."""
        old = self.noted
        self.noted = Attempts(
            counts=old.counts if counts is None else counts,
            last=old.last if last is None else last,
            returned=old.returned if returned is None else returned,
            shed=old.shed if shed is None else shed,
            keep=old.keep if keep is None else keep,
            quality=old.quality if quality is None else quality,
            models=old.models if models is None else models,
        )
        self._kept = True
        async with self._writing:  # in turn, and always the latest: edges are settled at once
            await self._insist(
                lambda: self._streams.note_attempts(self._zone, self._batch, self.noted)
            )
