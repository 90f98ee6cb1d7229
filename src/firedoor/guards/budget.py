"""The retry budget: a bucket of tokens that retries empty and successes fill.

A retry takes tokens and gets them back if it succeeds, so partial failure costs nothing, and an
outage empties the bucket after ten retries. A budget that is a share of the calls does not know
the difference: at 30 % errors it refused half of the retries that would have helped.

Source: AWS SDKs, standard retry mode (capacity, cost of a retry and of a timeout, refund).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, assert_never

from firedoor.bounds import within
from firedoor.guards.classify import ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    """Tokens that all retries of one guard share."""

    tokens: int = 50
    """Tokens of a full bucket; it begins full. 1 to 1,000,000."""
    retry_cost: int = 5
    """Tokens of a retry. 1 to ``tokens``."""
    timeout_cost: int = 10
    """Tokens of a retry after a timeout. 1 to ``tokens``."""
    gain: int = 1
    """Tokens that a call brings which succeeds at once. 0 to ``tokens``."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("tokens", self.tokens, 1, 10**6, "tokens", whole=True)
        within("retry_cost", self.retry_cost, 1, self.tokens, "tokens", whole=True)
        within("timeout_cost", self.timeout_cost, 1, self.tokens, "tokens", whole=True)
        within("gain", self.gain, 0, self.tokens, "tokens", whole=True)


class Wanted(NamedTuple):
    """A retry is wanted after a failure of this class."""

    kind: ErrorClass


class Worked(NamedTuple):
    """A retry that took so many tokens succeeded."""

    cost: int


class Succeeded(NamedTuple):
    """So many calls succeeded at once."""

    calls: int = 1


def step(
    tokens: int, event: Wanted | Worked | Succeeded, policy: BudgetPolicy
) -> tuple[int, int | None]:
    """Return the tokens left, and what a wanted retry cost; None: it may not be made.

    >>> step(50, Wanted("timeout"), BudgetPolicy())
    (40, 10)
    """
    match event:
        case Wanted(kind):
            cost = policy.timeout_cost if kind == "timeout" else policy.retry_cost
            return (tokens - cost, cost) if cost <= tokens else (tokens, None)
        case Worked(cost):
            return min(policy.tokens, tokens + cost), None
        case Succeeded(calls):
            return min(policy.tokens, tokens + calls * policy.gain), None
        case _:
            assert_never(event)
