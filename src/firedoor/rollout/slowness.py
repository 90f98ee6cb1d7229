"""Slow answers: more than a quantile of the champion, frozen when a rollout began."""

from __future__ import annotations

import math

from firedoor.rollout.counts import Metric

SLOW_RATES: dict[Metric, float] = {"slow95": 0.05, "slow99": 0.01}
"""What the champion's rates are, by the way the cut-offs were found."""
SLOW_MOST = math.log(2)
"""What a look adds to the evidence of slowness at most: a doubling. If either version stands still
as often as the other, a doubling against all that was won is a fair bet."""


def frozen_slow(metric: Metric, before: tuple[int, int], n: int, x: int) -> int:
    """Return how many of the champion's requests count as slow at a look, at least.

    Slow is what lay beyond its quantiles when they were frozen. A champion that has become quicker
    since (that was while a candidate was being loaded, or a busy minute) is no reason to call one
    slow that keeps to them: altogether, it counts as if it were as it was then.
    """
    rate = SLOW_RATES.get(metric, 0.0)
    all_before = max(before[1], int(rate * before[0]))
    return max(before[1] + x, int(rate * (before[0] + n))) - all_before
