"""Steps under pressure: one at a time, after a while, and never to and fro at a constant load."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from firedoor.flow.ladder import LadderPolicy, LadderState, step

TWO = LadderPolicy(rungs=2)
DAY_S = 86_400


def after(
    state: LadderState, pressure: float | None, seconds: int, start_s: int = 0
) -> LadderState:
    """Look once a second at a pressure that stays."""
    for now_s in range(start_s, start_s + seconds):
        state = step(state, pressure, TWO, now_s)
    return state


def test_a_step_is_taken_when_the_pressure_has_been_high_for_a_while() -> None:
    assert after(LadderState(), 0.9, 5).rung == 0
    assert after(LadderState(), 0.9, 6).rung == 1
    assert after(LadderState(), 0.9, 11).rung == 2
    assert after(LadderState(), 0.9, 1_000).rung == 2, "there are no more"


def test_a_step_is_taken_back_when_it_has_been_low_for_longer() -> None:
    up = after(LadderState(), 0.9, 11)
    assert after(up, 0.1, 60, 100).rung == 2
    assert after(up, 0.1, 61, 100).rung == 1
    assert after(up, 0.1, 121, 100).rung == 0


def test_between_high_and_low_nothing_is_decided_and_waiting_starts_anew() -> None:
    up = after(LadderState(), 0.9, 6)
    assert after(up, 0.5, 10_000, 6).rung == 1
    nearly = after(up, 0.1, 59, 6)
    assert after(after(nearly, 0.5, 1, 65), 0.1, 60, 66).rung == 1


def test_what_was_seen_before_nobody_could_tell_counts_no_more() -> None:
    nearly = after(LadderState(), 0.9, 5)
    blind = after(nearly, None, 1_000, 5)
    assert after(blind, 0.9, 5, 1_005).rung == 0
    assert after(after(LadderState(), 0.9, 6), None, DAY_S, 6).rung == 1, "a step stays"


class Ladder(RuleBasedStateMachine):
    """Any course of pressure."""

    @initialize(rungs=st.integers(0, 2))
    def begin(self, rungs: int) -> None:
        self.policy = LadderPolicy(rungs=rungs)
        self.state = LadderState()
        self.now_s = 0.0
        self.high_from_s: float | None = None
        self.low_from_s: float | None = None
        """Since when the pressure has been so without a break, or since the last step."""

    @rule(
        pressure=st.none() | st.floats(0, 2),
        times=st.integers(1, 90),
        every_s=st.sampled_from([0.5, 1.0, 30.0]),
    )
    def look(self, pressure: float | None, times: int, every_s: float) -> None:
        for _ in range(times):
            self.now_s += every_s
            before, self.state = self.state, step(self.state, pressure, self.policy, self.now_s)
            high = pressure is not None and pressure >= self.policy.high
            low = pressure is not None and pressure <= self.policy.low
            self.high_from_s = self.since(self.high_from_s) if high else None
            self.low_from_s = self.since(self.low_from_s) if low else None
            self.judge(before)

    def since(self, from_s: float | None) -> float:
        return self.now_s if from_s is None else from_s

    def judge(self, before: LadderState) -> None:
        moved = self.state.rung - before.rung
        assert moved in {-1, 0, 1}, "one step at a time"
        if moved == 1:
            assert self.high_from_s is not None
            assert self.now_s - self.high_from_s >= self.policy.climb_s
            self.high_from_s = self.now_s
        if moved == -1:
            assert self.low_from_s is not None
            patience_s = before.patience_s or self.policy.patience_s
            assert self.now_s - self.low_from_s >= patience_s
            self.low_from_s = self.now_s

    @invariant()
    def stays_within_bounds(self) -> None:
        if not hasattr(self, "state"):
            return
        assert 0 <= self.state.rung <= self.policy.rungs
        patience_s = self.state.patience_s or self.policy.patience_s
        assert self.policy.patience_s <= patience_s <= self.policy.patience_max_s


TestLadder = Ladder.TestCase
TestLadder.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


@dataclass
class Queue:
    """An inbox before a zone whose steps make it carry more, second by second."""

    load: float
    """Rows a second that come, in shares of what the zone carries without a step."""
    keep: float = 0.1
    room: float = 60.0
    waits: float = 0.0

    def pass_second(self, rung: int) -> float:
        """Return the pressure after a second."""
        cost = self.keep if rung else 1.0
        self.waits = min(self.room, max(0.0, self.waits + self.load - 1 / cost))
        return self.waits / self.room


def changes(load: float, days: int) -> list[int]:
    """Return when steps were taken or taken back at a constant load."""
    queue, state, found = Queue(load), LadderState(), []
    policy = LadderPolicy(rungs=1)
    for now_s in range(days * DAY_S):
        before = state.rung
        state = step(state, queue.pass_second(before), policy, now_s)
        if state.rung != before:
            found.append(now_s)
    return found


@pytest.mark.parametrize("load", [0.5, 0.99, 12.0])
def test_a_load_that_is_carried_or_never_is_takes_no_step_or_one(load: float) -> None:
    assert len(changes(load, 1)) == (load > 1)


@pytest.mark.parametrize("load", [1.05, 1.5, 5.0])
def test_at_a_constant_load_that_only_a_step_carries_steps_become_rare(load: float) -> None:
    found = changes(load, 4)
    by_day = [sum(day * DAY_S <= at_s < (day + 1) * DAY_S for at_s in found) for day in range(4)]
    assert by_day[0] <= 1 + 2 * 11, "the patience doubles from a minute to six hours"
    assert max(by_day[1:]) <= 2 * 4, "then it is tried every six hours"


def test_when_the_load_goes_away_so_does_the_step() -> None:
    queue, state = Queue(3.0), LadderState()
    for now_s in range(600):
        queue.load = 3.0 if now_s < 300 else 0.5
        state = step(state, queue.pass_second(state.rung), LadderPolicy(rungs=1), now_s)
    assert state.rung == 0


def test_who_is_left_alone_for_long_starts_with_the_first_patience() -> None:
    tried = LadderState(rung=0, patience_s=960.0, eased_s=0.0)
    again = after(tried, 0.9, 6, 3_000)
    assert again.patience_s == 1_920
    later = after(tried, 0.9, 6, 30_000)
    assert later.patience_s is None
