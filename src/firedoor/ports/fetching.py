"""What looks up features of keys, behind a wall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from firedoor.wire.fetching import Fetch, Fetched


@dataclass(frozen=True, slots=True, kw_only=True)
class FetcherFacts:
    """How a worker that looks up is."""

    state: Literal["loading", "ready", "backing_off", "closed"]
    because: str = ""
    """Of ``backing_off``: what happened."""
    pid: int = 0
    """0: there is none now."""
    deaths: int = 0


class Fetcher(Protocol):
    """Looks up one group of features, one call at a time. Used from one event loop."""

    @property
    def facts(self) -> FetcherFacts:
        """How it is now."""
        ...

    def fetch(self, ask: Fetch, told: Callable[[Fetched], None]) -> None:
        """Look keys up, and call ``told`` in the event loop, once, later, whatever goes wrong.

        Its end is bounded by the worker's own limits: nobody can cancel it.
        """
        ...

    async def close(self) -> None:
        """End its worker."""
        ...
