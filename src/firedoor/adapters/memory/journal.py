"""A journal in memory, for tests."""

from __future__ import annotations

from firedoor.events.happened import Happened, Kind


class MemoryJournal:
    """See ``ports.telemetry.Journal``. Keeps everything, as it came."""

    def __init__(self) -> None:
        """Begin with nothing noted."""
        self.noted: list[Happened] = []

    def note(self, happened: Happened) -> None:
        """Take an entry."""
        self.noted.append(happened)

    def of(self, kind: Kind) -> list[Happened]:
        """Return what was noted of one kind."""
        return [happened for happened in self.noted if happened.kind == kind]
