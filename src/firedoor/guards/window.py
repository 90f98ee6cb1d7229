"""Calls of the last seconds, counted in buckets.

Successes are not told one by one: whoever counts them hands in the total, and the window takes the
difference to the last time. So a success costs its caller one atomic count and nothing else, as
long as somebody calls ``advance`` when the newest bucket is over (``edge_s``).

Time that goes backwards stands still here: what happens then belongs to the newest bucket.
"""

from __future__ import annotations

from typing import NamedTuple

BUCKETS = 10
"""Steps in which the window forgets."""
GOOD, BAD, SLOW = range(3)


class Counts(NamedTuple):
    """What a window holds."""

    calls: int = 0
    """Calls that were good or bad; neutral ones are not counted."""
    bad: int = 0
    """Failures and slow calls."""
    slow: int = 0
    """Of the bad ones, those that were good but slow."""
    consecutive: int = 0
    """Bad calls since the latest good one."""
    row_s: float = 0.0
    """Seconds from the first of these to the last."""
    span_s: float = 0.0
    """Seconds in which these calls were made: a bucket at least, the window at most."""

    @property
    def share(self) -> float:
        """Bad calls as a share of all; 0 where there are none."""
        return self.bad / self.calls if self.calls else 0.0


NOTHING = Counts()
"""An empty window."""


class Window:
    """Counters kept in place, because they are touched by every failing call. Not thread-safe."""

    __slots__ = ("_bad_s", "_begun_s", "_cells", "_consecutive", "_good_seen", "_good_when_bad",
                 "_newest_s", "_row_from_s", "_width_s")  # fmt: skip

    def __init__(self, window_s: float, now_s: float) -> None:
        """Begin empty."""
        self._width_s = window_s / BUCKETS
        self._newest_s = self._begun_s = now_s
        # Good, bad and slow calls of the oldest bucket, then of the next: one list is the smallest.
        self._cells = [0] * (3 * BUCKETS)
        self._good_seen = self._good_when_bad = self._consecutive = 0
        self._row_from_s = self._bad_s = now_s

    @property
    def edge_s(self) -> float:
        """When the newest bucket is over."""
        return self._newest_s + self._width_s

    def advance(self, now_s: float, good_total: int) -> None:
        """Put the successes since the last time into the newest bucket, then begin new buckets."""
        self._cells[GOOD - 3] += good_total - self._good_seen
        self._good_seen = good_total
        passed = int((now_s - self._newest_s) / self._width_s)
        if passed <= 0:
            return
        self._newest_s += passed * self._width_s
        gone = 3 * min(passed, BUCKETS)
        del self._cells[:gone]
        self._cells.extend([0] * gone)

    def add_bad(self, now_s: float, good_total: int, *, slow: bool = False) -> Counts:
        """Count a failure or a slow call, and return what the window holds now."""
        self.advance(now_s, good_total)
        if good_total != self._good_when_bad:
            self._consecutive = 0
        if not self._consecutive:
            self._row_from_s = now_s
        self._bad_s = now_s
        self._good_when_bad = good_total
        self._consecutive += 1
        self._cells[BAD - 3] += 1
        self._cells[SLOW - 3] += slow
        return self.counts(good_total)

    def counts(self, good_total: int) -> Counts:
        """Return what the window holds, with the successes that it was not told of yet."""
        bad = sum(self._cells[BAD::3])
        in_row = self._consecutive if good_total == self._good_when_bad else 0
        return Counts(
            calls=sum(self._cells[GOOD::3]) + good_total - self._good_seen + bad,
            bad=bad,
            slow=sum(self._cells[SLOW::3]),
            consecutive=in_row,
            row_s=self._bad_s - self._row_from_s if in_row else 0.0,
            span_s=min(max(self._bad_s - self._begun_s, self._width_s), BUCKETS * self._width_s),
        )
