"""What one guard was told to do, put into policies and checked as a whole."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from firedoor.bounds import one_of, within
from firedoor.errors import DeclarationError
from firedoor.guards import events
from firedoor.guards.breaker import LEASE_MAX_S, BreakerPolicy
from firedoor.guards.budget import BudgetPolicy
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.classify import Classifier
from firedoor.guards.deadline import DeadlinePolicy
from firedoor.guards.fallback import Constant, Function, Previous, Rung, Stale
from firedoor.guards.limit import LimitPolicy
from firedoor.guards.rate import RatePolicy
from firedoor.guards.retry import RetryPolicy
from firedoor.guards.shedding import PRIORITIES, Priority, SheddingPolicy

Listener = Callable[[str, events.Event], None]
"""Called with the guard's name and what happened, outside of all locks."""
ProbeLease = Callable[[str, float], float]
"""Called with the guard's name and the length of the lease before a probe: 0: make it; more: the
probe is somebody else's, ask again after so many seconds. It must not block."""
NAME_MAX = 200
P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """Every mechanism of a guard; None: it is off."""

    deadline: DeadlinePolicy
    breaker: BreakerPolicy | None
    retry: RetryPolicy | None
    budget: BudgetPolicy | None
    limit: LimitPolicy | BulkheadPolicy | None
    shedding: SheddingPolicy | None
    rate: RatePolicy | None
    fallback: tuple[Rung, ...]
    priority: Priority

    @property
    def slow_s(self) -> float:
        """Seconds after which a call is bad although it succeeds; infinite: never."""
        if self.breaker is not None and self.breaker.slow_s is not None:
            return self.breaker.slow_s
        timeout_s = self.deadline.attempt_s
        return math.inf if timeout_s is None else timeout_s / 2

    @property
    def lease_s(self) -> float:
        """Seconds that a probe may take."""
        timeout_s = self.deadline.attempt_s
        return LEASE_MAX_S if timeout_s is None else min(timeout_s, LEASE_MAX_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A guard as its user wrote it."""

    timeout_s: float | None
    breaker: BreakerPolicy | bool
    retry: RetryPolicy | int | bool
    budget: BudgetPolicy | bool
    limit: LimitPolicy | BulkheadPolicy | int | bool
    shedding: SheddingPolicy | bool
    rate: RatePolicy | float | None
    fallback: Rung | Sequence[Rung]
    priority: Priority

    def check(self) -> Policies:
        """Return the policies, or refuse what cannot work together.

        Raises:
            DeclarationError: with field, value, range and remedy.
        """
        one_of("priority", self.priority, PRIORITIES)
        breaker = _either("breaker", self.breaker, BreakerPolicy)
        retry = _retry(self.retry)
        shedding = _either("shedding", self.shedding, SheddingPolicy)
        limit = _limit(self.limit)
        if shedding is not None and limit is None:
            raise DeclarationError(
                "shedding",
                self.shedding,
                "shares a limit, and there is none",
                "write limit=True as well",
            )
        policies = Policies(
            deadline=DeadlinePolicy(attempt_s=self.timeout_s),
            breaker=breaker,
            retry=retry,
            budget=_either("budget", self.budget, BudgetPolicy) if retry else None,
            limit=limit,
            shedding=shedding,
            rate=_rate(self.rate),
            fallback=_ladder(self.fallback),
            priority=self.priority,
        )
        if self.timeout_s is not None and policies.slow_s > self.timeout_s:
            raise DeclarationError(
                "slow_s", policies.slow_s, "is never reached: a call is cut before",
                f"give less than timeout_s={self.timeout_s:g}, or leave it out for half of it",
            )  # fmt: skip
        if isinstance(limit, LimitPolicy) and policies.slow_s == math.inf:
            raise DeclarationError(
                "limit", self.limit, "follows slow calls, and no call is ever slow",
                "give timeout_s=, or breaker=BreakerPolicy(slow_s=...), or a number as the limit",
            )  # fmt: skip
        return policies


def check_previous(fn: Callable[..., object], ladder: tuple[Rung, ...]) -> None:
    """Refuse a function whose requests differ, where any of them may get another's answer."""
    alone = [rung for rung in ladder if isinstance(rung, Previous) and not rung.any_request]
    if not alone:
        return
    try:
        asks = list(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        return  # a builtin: calls with arguments are not answered
    if asks:
        raise DeclarationError(
            "fallback", alone[0],
            f"would answer one request with the answer to another: the function takes {asks[0]!r}",
            "write Stale(), which goes by the request, or Previous(any_request=True)",
        )  # fmt: skip


def check_name(name: object) -> str:
    """Refuse a name that is none."""
    if not isinstance(name, str) or not name.strip() or len(name) > NAME_MAX:
        raise DeclarationError(
            "name", name, "is no name", 'write who calls whom, such as "serve->features"'
        )
    return name


def check_callable(field: str, value: Listener | ProbeLease | Classifier | None) -> None:
    """Refuse what is given to be called and cannot be."""
    if value is not None and not callable(value):
        raise DeclarationError(field, value, "cannot be called", "give a function, or leave it out")


def _either(field: str, value: object, kind: type[P]) -> P | None:
    """Return a policy from a policy, or from yes or no."""
    if isinstance(value, kind):
        return value
    if value is True:
        return kind()
    if value is False or value is None:
        return None
    raise DeclarationError(
        field, value, f"is no {kind.__name__}", f"write True, False or {kind.__name__}(...)"
    )


def _retry(value: RetryPolicy | int | bool) -> RetryPolicy | None:  # noqa: FBT001 - one value
    """Return the policy of retries from a policy, a number of attempts, or yes or no."""
    if isinstance(value, int) and not isinstance(value, bool):
        within("retry", value, 1, 100, "attempts", whole=True)
        value = RetryPolicy(attempts=value)
    policy = _either("retry", value, RetryPolicy)
    return None if policy is not None and policy.attempts == 1 else policy


def _limit(
    value: LimitPolicy | BulkheadPolicy | int | bool,  # noqa: FBT001 - one value of many kinds
) -> LimitPolicy | BulkheadPolicy | None:
    """Return the policy of concurrency; a number is a bulkhead."""
    if isinstance(value, BulkheadPolicy):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        within("limit", value, 1, 100_000, "calls", whole=True)
        return BulkheadPolicy(calls_max=value)
    return _either("limit", value, LimitPolicy)


def _rate(value: RatePolicy | float | None) -> RatePolicy | None:
    """Return the policy of the rate; a number is calls a second, with bursts of one second."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        within("rate", value, 0.0001, 10**6, "calls a second")
        return RatePolicy(per_s=value, burst=max(1, int(value)))
    if value is None or isinstance(value, RatePolicy):
        return value
    raise DeclarationError(
        "rate", value, "is no rate", "write calls a second, or RatePolicy(per_s=...)"
    )


def _ladder(value: Rung | Sequence[Rung]) -> tuple[Rung, ...]:
    """Return the rungs of the fallback ladder."""
    rungs = tuple(value) if isinstance(value, list | tuple) else (value,)
    for rung in rungs:
        if not isinstance(rung, Stale | Previous | Constant | Function):
            raise DeclarationError(
                "fallback", rung, "is no rung of a fallback ladder",
                "write Stale(), Previous(), Constant(value) or Function(function)",
            )  # fmt: skip
    return rungs
