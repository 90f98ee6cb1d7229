"""The adaptive concurrency limit: as many calls at once as the dependency takes well.

| A call | The limit |
|---|---|
| was slow or timed out | x ``backoff``, at most every ``pause_s`` |
| was good, at least half the limit being in use | + 1/limit: one more for each full round |
| was good, the limit hardly used | stays: nothing was learnt |
| failed at once | stays: that is the breaker's business |

Source: Jacobson and Karels 1988 (additive increase, multiplicative decrease), as Netflix's
concurrency-limits uses it; "grow only when used" is its app-limited guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never

from firedoor.bounds import ordered, within

Result = Literal["good", "slow", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """Between which bounds the limit moves, and how fast."""

    initial: int = 20
    """Calls at once to begin with. ``limit_min`` to ``limit_max``."""
    limit_min: int = 1
    """Least calls at once. 1 to ``limit_max``."""
    limit_max: int = 50
    """Most calls at once. 1 to 100,000."""
    backoff: float = 0.7
    """Factor after a slow call. 0.1 to 0.99."""
    pause_s: float = 0.25
    """Least time between two cuts, in seconds: one burst of slow calls is one signal. 0 to 60."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("limit_max", self.limit_max, 1, 100_000, "calls", whole=True)
        within("limit_min", self.limit_min, 1, 100_000, "calls", whole=True)
        ordered("limit_min", self.limit_min, "limit_max", self.limit_max)
        within("initial", self.initial, self.limit_min, self.limit_max, "calls", whole=True)
        within("backoff", self.backoff, 0.1, 0.99, "as a factor")
        within("pause_s", self.pause_s, 0, 60, "seconds")


class Limit(NamedTuple):
    """The limit, and when it was cut last."""

    limit: float
    cut_s: float | None = None

    @property
    def calls(self) -> int:
        """Calls at once: whole, at least 1."""
        return max(1, int(self.limit))


def begin(policy: LimitPolicy) -> Limit:
    """Return the limit to begin with."""
    return Limit(limit=float(policy.initial))


def step(
    limit: Limit, result: Result, policy: LimitPolicy, now_s: float, *, inflight: int
) -> Limit:
    """Return the limit after a call; ``inflight`` calls were under way, this one included."""
    match result:
        case "slow":
            # Negative where the clock went back: then the pause is taken to be over.
            if limit.cut_s is not None and 0 <= now_s - limit.cut_s < policy.pause_s:
                return limit
            return Limit(limit=max(policy.limit_min, limit.limit * policy.backoff), cut_s=now_s)
        case "good":
            if 2 * inflight < limit.limit:
                return limit
            return limit._replace(limit=min(policy.limit_max, limit.limit + 1 / limit.limit))
        case "other":
            return limit
        case _:
            assert_never(result)
