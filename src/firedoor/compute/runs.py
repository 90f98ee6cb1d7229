"""Which workers ran a batch, when and for how long, where somebody wants to see that."""

from __future__ import annotations

import time

from firedoor.events.work import Ran

RUNS_MAX = 32
"""Of one batch; a search for bad rows makes many more."""


class Runs:
    """The runs of one batch, told by the thread that takes it through."""

    def __init__(self, utc_s: float) -> None:
        """Begin; ``utc_s`` is the time now, in seconds since 1970."""
        self._ahead_s = utc_s - time.perf_counter()
        self._ran: list[Ran] = []

    def add(self, pid: int, began_s: float, rows: int, died_of: str = "") -> None:
        """Note a run that has just ended.

        Args:
            pid: of the worker.
            began_s: when it began, as ``time.perf_counter`` says.
            rows: how many rows it was.
            died_of: of what the worker died, if it did.
        """
        if len(self._ran) < RUNS_MAX:
            seconds = time.perf_counter() - began_s
            self._ran.append(Ran(pid, began_s + self._ahead_s, seconds, rows, died_of))

    def all(self) -> tuple[Ran, ...]:
        """Return them in the order in which they ended."""
        return tuple(self._ran)
