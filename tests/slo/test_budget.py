"""A budget is spent by own faults, and comes back with time."""

from __future__ import annotations

import pytest

from firedoor.slo.budget import SLOTS, Budget, expire, left, spend
from firedoor.slo.objective import Tick

DAY_S = 86_400.0


def test_half_of_what_may_be_bad_leaves_half_of_the_budget() -> None:
    budget = spend(Budget(), Tick(at_s=0, good=9_995, own=5), period_days=30)
    assert left(budget, 0.001) == pytest.approx(0.5)


def test_more_than_may_be_bad_overdraws_it() -> None:
    budget = spend(Budget(), Tick(at_s=0, good=9_970, own=30), period_days=30)
    assert left(budget, 0.001) == pytest.approx(-2)


def test_what_is_inherited_costs_nothing() -> None:
    tick = Tick(at_s=0, good=1_000, inherited={"flights": 1_000})
    budget = spend(Budget(), tick, period_days=30)
    assert left(budget, 0.001) == 1
    assert budget.inherited == 1_000


def test_nothing_counted_spends_nothing() -> None:
    assert left(Budget(), 0.001) == 1
    assert spend(Budget(), Tick(at_s=5), period_days=30) == Budget()


def test_what_is_past_the_period_comes_back() -> None:
    budget = spend(Budget(), Tick(at_s=0, own=10), period_days=30)
    budget = spend(budget, Tick(at_s=29 * DAY_S, good=10_000), period_days=30)
    assert budget.own == 10
    budget = spend(budget, Tick(at_s=31 * DAY_S, good=1), period_days=30)
    assert budget.own == 0
    assert expire(budget, at_s=90 * DAY_S, period_days=30) == Budget()


def test_a_period_has_a_bounded_number_of_slots() -> None:
    budget = Budget()
    for hour in range(3 * SLOTS):
        budget = spend(budget, Tick(at_s=hour * 3_600.0, good=1), period_days=30)
    assert len(budget.slots) == SLOTS
