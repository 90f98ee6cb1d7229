"""Time, as an argument."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks and a wait. In a simulated world all three are virtual."""

    def now_s(self) -> float:
        """Return seconds that never jump, for durations and deadlines."""
        ...

    def utc_s(self) -> float:
        """Return seconds since 1970, UTC, for records."""
        ...

    async def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        ...
