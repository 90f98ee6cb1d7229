"""When what died is started again, against processes that live as long as they are drawn to."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firedoor.compose.restarts import RestartPolicy, Restarts, after_death, forgiven, looping
from flow.drawn import many

POLICY = RestartPolicy()


class Dying(RuleBasedStateMachine):
    """A process that dies and dies, and everything that it lived through."""

    @initialize(
        policy=st.sampled_from(
            [POLICY, RestartPolicy(wait_min_s=3.0, wait_max_s=2.0, proven_s=1.0, loop_deaths=2)]
        )
    )
    def start(self, policy: RestartPolicy) -> None:
        self.policy = policy
        self.state = Restarts()
        self.lives: list[float] = []
        """How long each lived: newest last."""
        self.forgiven = 0
        """Deaths before the cause was last removed."""

    @rule(lived_s=st.sampled_from([0.0, 0.2, 0.9, 1.0, 9.9]) | st.floats(0.0, 100.0))
    def it_dies(self, lived_s: float) -> None:
        before = self.state
        self.state = after_death(before, self.policy, lived_s=lived_s)
        self.lives.append(lived_s)
        if lived_s < self.policy.proven_s and before.in_a_row:
            assert self.state.wait_s == min(2 * before.wait_s, self.policy.wait_max_s)
        else:
            assert self.state.wait_s == min(self.policy.wait_min_s, self.policy.wait_max_s)

    @rule()
    def it_dies_at_its_start(self) -> None:
        self.it_dies(0.0)

    @rule()
    def a_person_says_that_the_cause_is_removed(self) -> None:
        self.state = forgiven(self.state)
        self.forgiven = len(self.lives)
        assert self.state.wait_s == 0.0

    @invariant()
    def deaths_in_a_row_are_those_since_one_lived_long_enough(self) -> None:
        row = 0
        for lived_s in reversed(self.lives[self.forgiven :]):
            row += 1
            if lived_s >= self.policy.proven_s:
                break
        assert (self.state.deaths, self.state.in_a_row) == (len(self.lives), row)
        assert looping(self.state, self.policy) is (row >= self.policy.loop_deaths)

    @invariant()
    def no_wait_is_longer_than_the_longest(self) -> None:
        assert 0.0 <= self.state.wait_s <= self.policy.wait_max_s


TestDying = Dying.TestCase
TestDying.settings = many


def test_waits_double_from_a_tenth_of_a_second_to_five_and_nothing_is_given_up() -> None:
    state, waits, called = Restarts(), [], []
    for _ in range(100):
        state = after_death(state, POLICY, lived_s=0.0)
        waits.append(state.wait_s)
        called.append(looping(state, POLICY))
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, *[5.0] * 94])
    assert called == [False] * 7 + [True] * 93


@pytest.mark.parametrize(("lived_s", "in_a_row"), [(9.99, 8), (10.0, 1)])
def test_a_process_that_has_lived_for_ten_seconds_has_earned_a_new_beginning(
    lived_s: float, in_a_row: int
) -> None:
    state = Restarts(deaths=20, in_a_row=7, wait_s=5.0)
    state = after_death(state, POLICY, lived_s=lived_s)
    assert (state.deaths, state.in_a_row) == (21, in_a_row)
    assert looping(state, POLICY) is (in_a_row == 8)
