"""The numbers of a guard as plain values, as a pipeline's plan keeps them."""

from __future__ import annotations

from typing import assert_never

from firedoor.guarding.policies import Policies
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.fallback import Constant, Function, Previous, Rung, Stale
from firedoor.guards.limit import LimitPolicy
from firedoor.spec.plan import BreakerPlan, GuardPlan, RungPlan


def note(name: str, policies: Policies) -> GuardPlan:
    """Return the numbers of a guard of that name."""
    retry, breaker = policies.retry, policies.breaker
    return GuardPlan(
        name=name,
        priority=policies.priority,
        timeout_s=policies.deadline.attempt_s,
        attempts=1 if retry is None else retry.attempts,
        wait_min_s=0.0 if retry is None else float(retry.wait_min_s),
        wait_max_s=0.0 if retry is None else float(retry.wait_max_s),
        breaker=None
        if breaker is None
        else BreakerPlan(
            calls_min=breaker.calls_min,
            window_s=float(breaker.window_s),
            consecutive=breaker.consecutive,
            row_s=float(breaker.row_s),
        ),
        limit=_most(policies.limit),
        rate=None if policies.rate is None else float(policies.rate.per_s),
        fallback=tuple(_rung(rung) for rung in policies.fallback),
    )


def _most(limit: LimitPolicy | BulkheadPolicy | None) -> int | None:
    """Return the most calls that may be under way at once."""
    match limit:
        case None:
            return None
        case LimitPolicy():
            return limit.limit_max
        case BulkheadPolicy():
            return limit.calls_max
        case _:
            assert_never(limit)


def _rung(rung: Rung) -> RungPlan:
    """Return what is known of an answer of the fallback ladder."""
    match rung:
        case Stale(age_max_s):
            return RungPlan(kind="stale", age_max_s=float(age_max_s))
        case Previous(age_max_s):
            return RungPlan(kind="previous", age_max_s=float(age_max_s))
        case Constant():
            return RungPlan(kind="constant")
        case Function(function):
            around = getattr(function, "guard", None)
            name = getattr(around, "name", "")
            return RungPlan(kind="function", guard=name if isinstance(name, str) else "")
        case _:
            assert_never(rung)
