"""Between look-ups and the worker that asks a store: where a drill has the store be away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from firedoor.ports.fetching import Fetcher, FetcherFacts
from firedoor.wire.fetching import Fetch, Fetched

Away = Callable[[Fetch], str]
"""Returns why a call brings nothing; empty: it goes through."""


class StoreLink:
    """The way to one store. See ``ports.fetching.Fetcher``."""

    def __init__(self, fetcher: Fetcher) -> None:
        """Pass every call on."""
        self._fetcher = fetcher
        self.away: Away | None = None
        """Set while a drill has the store be away."""

    @property
    def facts(self) -> FetcherFacts:
        """How the worker is."""
        return self._fetcher.facts

    def fetch(self, ask: Fetch, told: Callable[[Fetched], None]) -> None:
        """Look keys up, unless the store is away."""
        if self.away is not None and (why := self.away(ask)):
            asyncio.get_running_loop().call_soon(told, Fetched(error=why))
        else:
            self._fetcher.fetch(ask, told)

    async def close(self) -> None:
        """End the worker."""
        await self._fetcher.close()
