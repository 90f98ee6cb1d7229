"""The rate limit: a bucket of tokens that time fills, one token a call.

Time that goes backwards fills nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firedoor.bounds import within


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePolicy:
    """How many calls a second, and how many at once after a quiet time."""

    per_s: float
    """Calls a second in the long run. 0.0001 to 1,000,000."""
    burst: int = 1
    """Calls that may come at once. 1 to 1,000,000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("per_s", self.per_s, 0.0001, 10**6, "calls a second")
        within("burst", self.burst, 1, 10**6, "calls", whole=True)


class Bucket(NamedTuple):
    """Tokens, and when they were counted."""

    tokens: float
    at_s: float


def begin(policy: RatePolicy, now_s: float) -> Bucket:
    """Return a full bucket."""
    return Bucket(tokens=float(policy.burst), at_s=now_s)


def step(bucket: Bucket, policy: RatePolicy, now_s: float) -> tuple[Bucket, float]:
    """Return the bucket after a call, and for how long it is refused; 0: it got its token.

    >>> step(Bucket(tokens=0.0, at_s=5.0), RatePolicy(per_s=2), now_s=5.0)[1]
    0.5
    """
    passed_s = max(0.0, now_s - bucket.at_s)
    tokens = min(float(policy.burst), bucket.tokens + passed_s * policy.per_s)
    if tokens >= 1:
        return Bucket(tokens=tokens - 1, at_s=now_s), 0.0
    return Bucket(tokens=tokens, at_s=now_s), (1 - tokens) / policy.per_s
