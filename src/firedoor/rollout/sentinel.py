"""Whether the champion itself is sick, told from a third of its requests that nothing else uses.

While a dependency of both versions fails, both fail, and "as bad as the champion" would look like
evidence for the candidate. Looks at such times are dropped from what speaks for it. They are not
dropped from what speaks against it: requests of one process are sick together, so the sentinel's
bad moments are the compared two thirds' as well, and leaving those out would leave the candidate's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from firedoor.rollout.counts import METRICS, Tally

SICK_FACTOR = 3.0
"""Times its usual rate."""
CHANCE = 1e-3
"""Of a look that is dropped although the champion's rate is only three times what it usually is."""
BUCKETS = 12
REQUESTS_MIN = 100
LOOKS_MIN = 3
"""Requests and looks below which nobody knows what is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What is usual: the sentinel third in the last hour, in buckets of 5 minutes."""

    buckets: tuple[Tally, ...] = ()
    """The oldest first."""
    bucket_from_s: float = 0.0
    looks: int = 0

    @property
    def total(self) -> Tally:
        """Return all buckets together."""
        total = Tally()
        for bucket in self.buckets:
            total = total.plus(bucket)
        return total

    @property
    def known(self) -> bool:
        """Return whether there is enough to say what is usual."""
        return self.looks >= LOOKS_MIN and self.total.n >= REQUESTS_MIN


def noted(reference: Reference, sentinel: Tally, *, now_s: float, window_s: float) -> Reference:
    """Return the reference after a look at which the champion was well."""
    if not sentinel.n:
        return reference
    bucket_s = window_s / BUCKETS
    if not reference.looks:
        return Reference(buckets=(sentinel,), bucket_from_s=now_s, looks=1)
    buckets, since_s = list(reference.buckets), reference.bucket_from_s
    for _ in range(BUCKETS):
        if now_s - since_s < bucket_s:
            break
        buckets.append(Tally())
        since_s += bucket_s
    if now_s - since_s >= bucket_s:
        since_s = now_s
    buckets[-1] = buckets[-1].plus(sentinel)
    return Reference(
        buckets=tuple(buckets[-BUCKETS:]), bucket_from_s=since_s, looks=reference.looks + 1
    )


def is_sick(reference: Reference, sentinel: Tally) -> bool:
    """Return whether the champion was worse in a look than three times its usual rate allows."""
    if not reference.known or not sentinel.n:
        return False
    usual = reference.total
    for metric in METRICS:
        rate = (usual.of(metric) + 0.5) / (usual.n + 1)
        if poisson_tail(sentinel.of(metric), SICK_FACTOR * rate * sentinel.n) < CHANCE:
            return True
    return False


def poisson_tail(x: int, mean: float) -> float:
    """Return the chance of ``x`` or more where ``mean`` are expected."""
    if x <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if x <= mean:
        return 0.5  # at least about a half: nobody asks how much more
    # From x upwards: each term is a smaller share of the one before.
    term = math.exp(x * math.log(mean) - mean - math.lgamma(x + 1))
    tail, k = term, x
    while term > tail * 1e-12:
        k += 1
        term *= mean / k
        tail += term
        if term <= 0:
            break
    return min(tail, 1.0)
