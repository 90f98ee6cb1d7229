"""Deadlines and places while calls go in and out, through processes: held against a plain book."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firedoor.guards import bulkhead, deadline
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.deadline import DeadlinePolicy, Passage
from firedoor.guards.shedding import PRIORITIES, Priority

ROUNDED_S = 0.001
"""What a hop to another process may cost of the time that is left."""


class Hops(RuleBasedStateMachine):
    """A call that goes inwards through timeouts, and on to processes with clocks of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.true_s = 0.0
        """Time as nobody's clock shows it."""
        self.ahead_s = [100.0]
        """How far each process's clock is ahead, the outermost first."""
        self.layers: list[tuple[Passage, float | None, int]] = [(Passage(), None, 0)]
        """Outermost first: the passage, when time is over in true time, hops on the way."""

    def now_s(self) -> float:
        return self.true_s + self.ahead_s[-1]

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.5, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.true_s += seconds

    @rule(timeout_s=st.none() | st.sampled_from([0.001, 0.2, 1.0, 60.0, 100_000.0]))
    def a_call_goes_one_layer_in(self, timeout_s: float | None) -> None:
        passage, until_s, hops = self.layers[-1]
        tight = deadline.tighten(passage, timeout_s, self.now_s())
        own_s = None if timeout_s is None else self.true_s + timeout_s
        told = [at_s for at_s in (until_s, own_s) if at_s is not None]
        self.layers.append((tight, min(told, default=None), hops))

    @precondition(lambda self: len(self.layers) > 1 and len(self.ahead_s) == 1)
    @rule()
    def a_call_comes_back(self) -> None:
        self.layers.pop()

    @rule(attempt=st.integers(1, 5), again=st.booleans(), priority=st.sampled_from(PRIORITIES))
    def it_is_an_attempt_of_a_class(self, attempt: int, again: bool, priority: Priority) -> None:  # noqa: FBT001 - drawn
        passage, until_s, hops = self.layers[-1]
        told = passage._replace(attempt=attempt, outer_retries=again, priority=priority)
        self.layers[-1] = (told, until_s, hops)

    @rule(ahead_s=st.sampled_from([0.0, 5_000.0, 0.25]))
    def it_crosses_to_another_process(self, ahead_s: float) -> None:
        passage, until_s, hops = self.layers[-1]
        headers = deadline.to_headers(passage, self.now_s())
        self.ahead_s.append(ahead_s)
        arrived = deadline.from_headers(headers, self.now_s())
        assert arrived._replace(deadline_s=None) == passage._replace(deadline_s=None)
        if until_s is not None:
            until_s = max(until_s, self.true_s)  # what is over is over: nothing is left, not less
            until_s = min(until_s, self.true_s + deadline.REMAINING_MAX_S)
        self.layers.append((arrived, until_s, hops + 1))

    @invariant()
    def what_is_left_is_what_the_nearest_deadline_on_the_way_leaves(self) -> None:
        passage, until_s, hops = self.layers[-1]
        left_s = deadline.remaining_s(passage, self.now_s())
        if until_s is None:
            assert left_s is None
            return
        assert left_s is not None
        truly_s = max(0.0, until_s - self.true_s)
        assert left_s <= truly_s + 1e-6, "time was promised that there is not"
        assert left_s >= truly_s - hops * ROUNDED_S - 1e-6

    @invariant()
    def a_call_is_begun_only_where_it_can_end_in_time(self) -> None:
        left_s = deadline.remaining_s(self.layers[-1][0], self.now_s())
        if left_s is None:
            return
        for typical_s in (0.0, left_s, left_s + 0.01):
            early = deadline.judge(left_s, typical_s, DeadlinePolicy())
            assert early is (left_s > 0 and typical_s <= left_s)
            assert deadline.judge(left_s, typical_s, DeadlinePolicy(refuse_early=False)) is (
                left_s > 0
            )


Hops.TestCase.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, derandomize=True
)
TestHops = Hops.TestCase


class Places(RuleBasedStateMachine):
    """Calls that come and go through a bulkhead."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = BulkheadPolicy(calls_max=3)
        self.inside: set[int] = set()
        self.came = self.refused = 0

    @rule()
    def a_call_comes(self) -> None:
        self.came += 1
        if bulkhead.judge(len(self.inside), self.policy):
            self.inside.add(self.came)
        else:
            assert len(self.inside) == 3, "refused, and there was room"
            self.refused += 1

    @precondition(lambda self: bool(self.inside))
    @rule(which=st.integers(0, 2))
    def a_call_ends(self, which: int) -> None:
        self.inside.remove(sorted(self.inside)[which % len(self.inside)])

    @invariant()
    def no_more_are_inside_than_there_are_places(self) -> None:
        assert len(self.inside) <= 3


Places.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
TestPlaces = Places.TestCase


def test_the_typical_time_of_calls_comes_near_their_median() -> None:
    typical_s = 0.0
    for number in range(2_000):
        typical_s = deadline.typical(typical_s, 10.0 if number % 10 == 0 else 0.1)
    assert typical_s == pytest.approx(0.1, rel=0.3)
