"""How long answers took, in totals: one histogram that several coarser ones are read from exactly.

A request is counted once, by one search in a list. Whoever tells of durations (metrics in the
buckets that everybody knows, promises by what was promised, the control plane by a fine grid) adds
up the cells between its own bounds, each of which is a bound here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from firedoor.events.metrics import REQUEST_BOUNDS_S
from firedoor.events.objective import BUCKETS, bucket_ends_s

GRID_S = tuple(bucket_ends_s(number) for number in range(BUCKETS - 1))
"""Where the buckets of ``events.objective`` end, all but the last."""


class Durations:
    """Counts of durations. Changed in place: each request does."""

    __slots__ = ("_cells", "_ends")

    def __init__(self, *further: float) -> None:
        """Begin at nothing; ``further`` bounds, in seconds, may be asked for besides."""
        self._ends = sorted({*GRID_S, *REQUEST_BOUNDS_S, *further})
        self._cells = [0] * (len(self._ends) + 1)

    def add(self, seconds: float) -> None:
        """Count one; one that is exactly at a bound is below it."""
        self._cells[bisect_left(self._ends, seconds)] += 1

    def between(self, bounds: Sequence[float]) -> tuple[int, ...]:
        """Return the counts by bucket, not added up; the last one: above all bounds.

        Args:
            bounds: in seconds, rising, each of them one that is kept here.
        """
        found, at = [], 0
        for bound in bounds:
            until = bisect_left(self._ends, bound) + 1
            assert self._ends[until - 1] == bound, f"{bound:g} s is no bound that is kept"
            found.append(sum(self._cells[at:until]))
            at = until
        return (*found, sum(self._cells[at:]))
