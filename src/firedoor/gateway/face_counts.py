"""What is counted of answers, by the faces that give them."""

from __future__ import annotations

import bisect
from typing import NamedTuple

from firedoor.gateway.exchange import Answer

BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0
)  # fmt: skip
"""Upper bounds of the latency histogram, in seconds."""
SERIES_MAX = 200
"""Of one service; what comes after them is counted under ``other``."""


class Series(NamedTuple):
    """What requests are told apart by."""

    arm: str
    status: int
    degraded: str


class ServiceCounts:
    """Counts of one service since the gateway began. Changed in place: each request does."""

    __slots__ = ("buckets", "in_flight", "requests", "rows", "seconds")

    def __init__(self) -> None:
        """Begin at nothing."""
        self.requests: dict[Series, int] = {}
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        """Requests by bucket, not added up; the last one: slower than all."""
        self.seconds = 0.0
        self.rows = 0
        self.in_flight = 0

    def answered(self, answer: Answer, seconds: float) -> None:
        """Count an answer that took so long."""
        series = (answer.arm, answer.status, answer.degraded)
        counts = self.requests
        if series in counts:
            counts[series] += 1
        else:
            named = Series(*series)
            if len(counts) >= SERIES_MAX:
                named = Series("other", answer.status, "other")
            counts[named] = counts.get(named, 0) + 1
        self.rows += answer.rows
        self.seconds += seconds
        self.buckets[bisect.bisect_left(BUCKETS_S, seconds)] += 1
