"""What a drill does to a source: more rows at once, or rows that come late."""

from __future__ import annotations

from firedoor.drill import chance
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults

OPEN_S = 1.0
"""For so long a source without a rate lets through what it has held back."""


class DrilledPace:
    """The faults ``volume`` and ``late``, where there are any."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        """Take what a drill injects here, and the time."""
        self._faults = faults
        self._clock = clock

    def rate(self, declared: float | None) -> float | None:
        """Return how many rows a second there are to be at most."""
        fault = self._faults.now("source")
        if fault is None or fault.name != "volume" or declared is None:
            return declared
        self._faults.hit()
        return declared * fault.intensity

    def hold_s(self, declared: float | None) -> float:
        """Return how long a source without a rate holds back what it could read now.

        It has nothing more to read, so it lets through in one second what ``intensity`` seconds
        have brought.
        """
        fault = self._faults.now("source")
        if fault is None or fault.name != "volume" or declared is not None:
            return 0.0
        held_s = max(0.0, fault.intensity - OPEN_S)
        wait_s = max(0.0, held_s - self._clock.now_s() % fault.intensity)
        self._faults.hit(int(wait_s > 0))
        return wait_s

    def late_s(self, batch: str) -> float:
        """Return by how much a batch is to be older than it is."""
        fault = self._faults.now("source")
        if fault is None or fault.name != "late" or not chance.hits(fault, batch):
            return 0.0
        self._faults.strike(batch)
        return fault.intensity
