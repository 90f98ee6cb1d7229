"""Counts are weighed exactly."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.drill.counting import at_most, tail, worse


def summed(bad: int, units: int, share: float) -> float:
    """Return the tail by the definition."""
    return sum(
        math.comb(units, k) * share**k * (1 - share) ** (units - k) for k in range(bad, units + 1)
    )


@given(st.integers(1, 60), st.floats(0.001, 0.999), st.data())
def test_the_tail_is_the_sum_by_definition(units: int, share: float, data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, units))
    assert tail(bad, units, share) == pytest.approx(summed(bad, units, share), abs=1e-9)


@given(st.integers(1, 2_000_000), st.floats(0, 1), st.data())
def test_the_tail_is_a_chance_and_falls_with_what_is_bad(
    units: int, share: float, data: st.DataObject
) -> None:
    bad = data.draw(st.integers(0, units - 1))
    few, more = tail(bad, units, share), tail(bad + 1, units, share)
    assert 0 <= more <= few + 1e-9 <= 1 + 1e-9


def test_where_none_may_be_bad_one_is_impossible_and_none_is_certain() -> None:
    assert tail(0, 1_000, 0.0) == 1.0
    assert tail(1, 1_000, 0.0) == 0.0
    assert tail(1_000, 1_000, 1.0) == 1.0


def test_as_many_bad_ones_as_before_are_no_worse_and_many_more_are() -> None:
    assert worse(10, 1_000, 10, 1_000) > 0.4
    assert worse(30, 1_000, 3, 1_000) < 1e-5
    assert worse(3, 1_000, 30, 1_000) > 0.999


@pytest.mark.parametrize(("units", "before"), [(0, 100), (100, 0)])
def test_nothing_on_one_side_says_nothing(units: int, before: int) -> None:
    assert worse(0, units, 0, before) == 1.0


def test_two_hundred_good_ones_leave_a_share_of_two_percent() -> None:
    assert at_most(0, 200) == pytest.approx(1 - 0.01 ** (1 / 200), abs=1e-6)
    assert at_most(0, 0) == 1.0
    assert at_most(5, 5) == 1.0


@given(st.integers(1, 500), st.data())
def test_the_bound_is_above_what_was_seen_and_is_exceeded_with_the_doubt_alone(
    units: int, data: st.DataObject
) -> None:
    bad = data.draw(st.integers(0, units - 1))
    bound = at_most(bad, units)
    assert bound > bad / units
    assert 1 - tail(bad + 1, units, bound) == pytest.approx(0.01, abs=1e-6)
