"""How long a version's answers took, lately: a histogram that forgets."""

from __future__ import annotations

from bisect import bisect_left

from firedoor.wire.evidence import LATENCY_BASE_S, LATENCY_BUCKETS, LATENCY_GROWTH

KEPT = 20_000
"""Answers that are looked back at: between half of it and all."""
_ENDS = [LATENCY_BASE_S * LATENCY_GROWTH**number for number in range(LATENCY_BUCKETS - 1)]
"""Of all buckets but the last."""


def bucket(seconds: float) -> int:
    """Return the first bucket that does not end before so many seconds.

    >>> bucket(0.0), bucket(1e-5), bucket(0.01), bucket(1e9)
    (0, 0, 142, 299)
    """
    return bisect_left(_ENDS, seconds)


class Latency:
    """Two histograms: one that fills, and the one before it, which is let go when it is full."""

    __slots__ = ("_before", "_filled", "_now")

    def __init__(self) -> None:
        """Begin empty."""
        self._now, self._before, self._filled = [0] * LATENCY_BUCKETS, [0] * LATENCY_BUCKETS, 0

    def add(self, seconds: float) -> None:
        """Count one answer."""
        self._now[bucket(seconds)] += 1
        self._filled += 1
        if self._filled == KEPT // 2:
            self._before, self._now, self._filled = self._now, [0] * LATENCY_BUCKETS, 0

    def counts(self) -> dict[int, int]:
        """Return the answers by bucket, of the latest 10,000 to 20,000."""
        both = (a + b for a, b in zip(self._now, self._before, strict=True))
        return {number: count for number, count in enumerate(both) if count}
