"""Counting that costs one C call: the good calls of one generation of a breaker."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable


class Tally:
    """A count that threads may raise without a lock, and that is read under one.

    ``good`` is ``itertools.count().__next__``: atomic under the interpreter lock. Reading raises
    the count too, so readings are subtracted.
    """

    __slots__ = ("_readings", "good")

    def __init__(self) -> None:
        """Begin at zero."""
        self.good: Callable[[], int] = itertools.count().__next__
        self._readings = 0

    def total(self) -> int:
        """Return how often ``good`` was called."""
        total = self.good() - self._readings
        self._readings += 1
        return total


OTHERS = "others"
ASKED_MAX = 8
"""Callers whose refusals are counted apart."""


class Askers:
    """Whose calls the breaker refused, and how many of each."""

    __slots__ = ("_before", "_lock", "_tallies")

    def __init__(self) -> None:
        """Begin with nobody."""
        self._tallies: dict[str, Tally] = {}
        self._before: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, caller: str) -> Callable[[], int]:
        """Return what counts the refusals of one caller; those beyond a number are one."""
        with self._lock:
            if caller not in self._tallies and len(self._tallies) >= ASKED_MAX:
                caller = OTHERS
            return self._tallies.setdefault(caller, Tally()).good

    def forget(self) -> None:
        """Begin to tell anew: the breaker closed."""
        with self._lock:
            self._before = {name: tally.total() for name, tally in self._tallies.items()}

    def told(self) -> list[tuple[str, int]]:
        """Return who was refused since, the most refused first."""
        with self._lock:
            counted = [
                (name, tally.total() - self._before.get(name, 0))
                for name, tally in self._tallies.items()
            ]
        return sorted((item for item in counted if item[1]), key=lambda item: (-item[1], item[0]))

    def total(self) -> int:
        """Return all refusals since the beginning."""
        with self._lock:
            return sum(tally.total() for tally in self._tallies.values())
