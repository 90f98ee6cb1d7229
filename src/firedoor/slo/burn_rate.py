"""Burn rates over two windows, with the counts without which a ratio says nothing."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import NamedTuple

from firedoor.slo.policy import BurnRatePolicy

BUCKETS = 60
"""Of the short window: it moves on by a sixtieth of itself."""


class Total(NamedTuple):
    """What was counted up to the end of a bucket."""

    slot: int
    bad: int
    units: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRate:
    """What was counted in the long window, and whether it fires."""

    before: tuple[Total, ...] = ()
    """Up to the end of each bucket that is over; the first one is from before the window."""
    now: Total | None = None
    """Up to now; None: nothing was counted yet."""
    firing: bool = False


def count(rate: BurnRate, bad: int, units: int, *, at_s: float, policy: BurnRatePolicy) -> BurnRate:
    """Return the state after so many units, at this moment."""
    bucket_s = policy.short_s / BUCKETS
    slot, now = int(at_s // bucket_s), rate.now
    if now is None:
        start = Total(slot - 1, 0, 0)
        return BurnRate(before=(start,), now=Total(slot, bad, units))
    here = Total(max(slot, now.slot), now.bad + bad, now.units + units)
    if here.slot == now.slot:
        return BurnRate(before=rate.before, now=here, firing=rate.firing)
    first = _place(rate.before, here.slot - round(policy.long_s / bucket_s))
    before = (*rate.before[max(0, first - 1) :], now)
    return BurnRate(before=before, now=here, firing=rate.firing)


def judge(
    rate: BurnRate,
    *,
    budget: float,
    policy: BurnRatePolicy,
    bad_min: tuple[int, int],
    over_s: float,
    may_begin: bool,
) -> BurnRate:
    """Return the state with whether it fires.

    Where less than the long window was counted, the rest is taken to have been as busy, and good.

    Args:
        rate: after counting.
        budget: share of units that may be bad.
        policy: its windows.
        bad_min: bad units without which nothing begins, in the long and the short window.
        over_s: it begins only while the budget burns over so many seconds as well, and is over once
            no more is spent in them than may be.
        may_begin: whether something bad is going on now.
    """
    limit = policy.times * budget
    short_bad, short_units = window(rate, policy.short_s, policy)
    last_bad, last_units = window(rate, min(over_s, policy.short_s), policy)
    burns = short_bad > limit * short_units
    begins = may_begin and burns and last_bad > limit * last_units and short_bad >= bad_min[1]
    if begins and not rate.firing:
        long_bad, long_units = window(rate, policy.long_s, policy)
        thin = max(1.0, policy.long_s / _counted_s(rate, policy))
        begins = long_bad >= bad_min[0] and long_bad > limit * long_units * thin
    goes_on = rate.firing and burns and last_bad > budget * last_units
    return BurnRate(before=rate.before, now=rate.now, firing=goes_on or begins)


def window(rate: BurnRate, seconds: float, policy: BurnRatePolicy) -> tuple[int, int]:
    """Return bad units and all units of the last so many seconds."""
    if rate.now is None:
        return 0, 0
    place = _place(rate.before, rate.now.slot - round(seconds * BUCKETS / policy.short_s))
    start = rate.before[max(0, place - 1)]
    return rate.now.bad - start.bad, rate.now.units - start.units


def _counted_s(rate: BurnRate, policy: BurnRatePolicy) -> float:
    """Return for how long it has been counted."""
    assert rate.now is not None, "it was counted"
    return (rate.now.slot - rate.before[0].slot) * policy.short_s / BUCKETS


def _place(totals: tuple[Total, ...], slot: int) -> int:
    """Return the place of the first total after a slot."""
    return bisect.bisect_left(totals, Total(slot + 1, -1, -1))
