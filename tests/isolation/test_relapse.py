"""Crash loops: the more often a worker has died, the longer the next one is waited for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from firedoor.isolation.relapse import RelapsePolicy, Relapses, died, explained, wait_s

POLICY = RelapsePolicy()


def test_the_first_deaths_are_mended_at_once_and_then_the_wait_doubles_to_its_bound() -> None:
    state, waits = Relapses(), []
    for second in range(16):
        state = died(state, POLICY, float(second))
        waits.append(wait_s(state, POLICY))
    assert waits[:7] == [0.0, 0.0, 0.0, 0.0, 0.1, 0.2, 0.4]
    assert waits[-2:] == [1.0, 1.0]
    assert all(after <= 2 * before or before == 0 for before, after in pairwise(waits))


def test_after_a_calm_time_all_is_forgotten() -> None:
    state = Relapses(count=20, last_s=100.0)
    assert died(state, POLICY, 160.0).count == 21
    assert died(state, POLICY, 160.5).count == 1


def test_a_death_that_is_explained_does_not_count() -> None:
    assert explained(Relapses(count=2, last_s=3.0)) == Relapses(count=1, last_s=3.0)
    assert explained(Relapses()) == Relapses()


def test_who_starts_for_long_is_waited_for_longer_up_to_a_bound() -> None:
    many = Relapses(count=100)
    waits = [wait_s(many, POLICY, start_s=start_s) for start_s in (0.1, 1.0, 4.0, 14.0, 300.0)]
    assert waits == [1.0, 2.0, 8.0, 28.0, 30.0]
    assert wait_s(Relapses(count=5), POLICY, start_s=300.0) == 0.1


@given(st.integers(0, 10**9), st.floats(0, 10**6))
def test_the_wait_has_a_bound_however_many_died(count: int, start_s: float) -> None:
    assert 0 <= wait_s(Relapses(count), POLICY, start_s=start_s) <= POLICY.most_s
