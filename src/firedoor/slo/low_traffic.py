"""The last few units, where there are too few for rates: one request a minute, one job a night."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from firedoor.slo.policy import AlertPolicy

CHANCE_MOST = 1e-5
"""By which a zone that keeps its promise exactly would have so many bad ones among the last."""


class Unit(NamedTuple):
    """One unit."""

    at_s: float
    bad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LowTraffic:
    """The last units, the oldest first."""

    last: tuple[Unit, ...] = ()
    firing: bool = False


def count(
    seen: LowTraffic, bad: int, good: int, *, at_s: float, budget: float, policy: AlertPolicy
) -> LowTraffic:
    """Return the state after so many units.

    It fires where enough of the last units are bad and they span a minute: who has more than a few
    a minute is judged by rates. It is over when none of the last is bad.
    """
    if not bad and not good:
        return seen
    kept = policy.last_units
    if not bad and good >= kept:
        return LowTraffic(last=(Unit(at_s, bad=False),) * kept)
    fresh = [Unit(at_s, bad=False)] * min(good, kept) + [Unit(at_s, bad=True)] * min(bad, kept)
    last = (*seen.last, *fresh)[-kept:]
    failed = sum(unit.bad for unit in last)
    if seen.firing:
        return LowTraffic(last=last, firing=failed > 0)
    spans = last[-1].at_s - last[0].at_s >= policy.last_span_s
    firing = len(last) == kept and spans and failed >= bad_needed(budget, policy)
    return LowTraffic(last=last, firing=firing)


def bad_needed(budget: float, policy: AlertPolicy) -> int:
    """Return how many of the last units have to be bad.

    >>> [bad_needed(budget, AlertPolicy()) for budget in (0.001, 0.01, 0.05)]
    [3, 4, 6]
    """
    n = policy.last_units
    for needed in range(policy.last_bad, n):
        beyond = sum(
            math.comb(n, k) * budget**k * (1 - budget) ** (n - k) for k in range(needed, n + 1)
        )
        if beyond <= CHANCE_MOST:
            return needed
    return n
