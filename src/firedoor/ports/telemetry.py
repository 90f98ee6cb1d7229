"""Where it is told what was worked on, and what happened. Never awaited, never raises."""

from __future__ import annotations

from typing import Protocol

from firedoor.events.happened import Happened
from firedoor.events.work import BatchWorked, RequestAnswered


class Telemetry(Protocol):
    """Takes events of work, for traces. Nobody has one where nobody listens.

    Metrics are made of totals, which are kept anyway: they need no event.
    """

    def begin(self, parent: str = "") -> str:
        """Return the ``traceparent`` of a new span, below ``parent``; without one a trace begins.

        Whether it is sampled stands in it. What is not need not be told.
        """
        ...

    def batch(self, worked: BatchWorked) -> None:
        """Take a batch that was worked on."""
        ...

    def request(self, answered: RequestAnswered) -> None:
        """Take a request that was answered."""
        ...


class Journal(Protocol):
    """Takes entries for the ledger: bounded, kept on disk until they are in the ledger."""

    def note(self, happened: Happened) -> None:
        """Take an entry, stamp it and keep it; what has no room is counted, and told as a gap."""
        ...


class Unheard:
    """A journal that nobody reads: for whoever has none."""

    def note(self, happened: Happened) -> None:
        """Take an entry, and forget it."""
