"""How many at once, and how many a second."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firedoor.guards import bulkhead, limit, rate
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.limit import LimitPolicy, Result
from firedoor.guards.rate import RatePolicy


class LimitMachine(RuleBasedStateMachine):
    """The model: a number, and when it was cut last."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = LimitPolicy()
        self.state = limit.begin(self.policy)
        self.model, self.cut_s, self.now_s = 20.0, -1e9, 0.0

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.25, 2.0, -5.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(result=st.sampled_from(["good", "slow", "other"]), inflight=st.integers(1, 60),
          times=st.integers(1, 20))  # fmt: skip
    def finish(self, result: Result, inflight: int, times: int) -> None:
        for _ in range(times):
            self.state = limit.step(self.state, result, self.policy, self.now_s, inflight=inflight)
            since_s = self.now_s - self.cut_s
            if result == "slow" and (since_s >= 0.25 or since_s < 0):
                self.model, self.cut_s = max(1.0, 0.7 * self.model), self.now_s
            elif result == "good" and inflight >= self.model / 2:
                self.model = min(50.0, self.model + 1 / self.model)

    @invariant()
    def the_limit_is_the_models_and_within_its_bounds(self) -> None:
        assert self.state.limit == pytest.approx(self.model)
        assert 1 <= self.state.calls <= 50


LimitMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, derandomize=True
)
TestLimit = LimitMachine.TestCase


def test_a_full_round_of_good_calls_adds_one() -> None:
    policy = LimitPolicy()
    state = limit.begin(policy)
    for _ in range(20):
        state = limit.step(state, "good", policy, 0.0, inflight=20)
    assert state.limit == pytest.approx(21.0, abs=0.03)


def test_a_burst_of_slow_calls_is_one_signal() -> None:
    policy = LimitPolicy()
    state = limit.begin(policy)
    for _ in range(100):
        state = limit.step(state, "slow", policy, 7.0, inflight=20)
    assert state.limit == pytest.approx(14.0)


@pytest.mark.parametrize(
    ("now_s", "limit_then"),
    [(100.0, 20.0), (100.2499, 20.0), (100.25, 14.0), (99.9, 14.0)],
)
def test_a_cut_is_followed_by_a_pause_on_a_clock_that_goes_forward(
    now_s: float, limit_then: float
) -> None:
    state = limit.Limit(limit=20.0, cut_s=100.0)
    after = limit.step(state, "slow", LimitPolicy(), now_s, inflight=20)
    assert after.limit == pytest.approx(limit_then)
    assert after.cut_s == (100.0 if limit_then == 20.0 else now_s)


@pytest.mark.parametrize(("inflight", "grows"), [(9, False), (10, True), (20, True)])
def test_the_limit_grows_when_half_of_it_is_used(
    inflight: int,
    grows: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    state = limit.Limit(limit=20.0, cut_s=3.0)
    after = limit.step(state, "good", LimitPolicy(), 100.0, inflight=inflight)
    assert after == (limit.Limit(limit=20.05, cut_s=3.0) if grows else state)


def test_the_limit_stays_within_its_bounds() -> None:
    policy = LimitPolicy(limit_min=4, initial=5, limit_max=6)
    assert limit.begin(policy) == limit.Limit(limit=5.0, cut_s=None)
    assert limit.step(limit.begin(policy), "slow", policy, 0.0, inflight=5).limit == 4
    assert limit.step(limit.Limit(5.9), "good", policy, 0.0, inflight=5).limit == 6
    assert limit.step(limit.Limit(5.9), "other", policy, 0.0, inflight=5) == limit.Limit(5.9)


@pytest.mark.parametrize(("value", "calls"), [(0.5, 1), (1.0, 1), (1.99, 1), (2.0, 2), (7.9, 7)])
def test_a_limit_is_a_whole_number_of_calls_and_at_least_one(value: float, calls: int) -> None:
    assert limit.Limit(value).calls == calls


class RateMachine(RuleBasedStateMachine):
    """The model: when calls went through, and the rule that no stretch of time holds too many."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = RatePolicy(per_s=4.0, burst=3)
        self.now_s = self.highest_s = 0.0
        self.state = rate.begin(self.policy, 0.0)
        self.passed: list[float] = []

    @rule(seconds=st.sampled_from([0.0, 0.125, 0.25, 0.5, 2.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def ask(self) -> None:
        self.state, wait_s = rate.step(self.state, self.policy, self.now_s)
        if wait_s == 0:
            self.passed.append(self.now_s)
        else:
            assert 0 < wait_s <= 0.25
            _, again_s = rate.step(self.state, self.policy, self.now_s + wait_s)
            assert again_s == pytest.approx(0, abs=1e-9)

    @invariant()
    def no_stretch_of_time_holds_more_than_rate_and_burst(self) -> None:
        for i, begin_s in enumerate(self.passed):
            allowed = 3 + 4.0 * (self.now_s - begin_s) + 1e-6
            assert len(self.passed) - i <= allowed


RateMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestRate = RateMachine.TestCase


def test_a_bucket_is_emptied_by_calls_and_filled_by_time() -> None:
    policy = RatePolicy(per_s=2.0, burst=3)
    bucket = rate.begin(policy, 100.0)
    assert bucket == rate.Bucket(tokens=3.0, at_s=100.0)
    for left in (2.0, 1.0, 0.0):
        bucket, wait_s = rate.step(bucket, policy, 100.0)
        assert (bucket, wait_s) == (rate.Bucket(left, 100.0), 0.0)
    bucket, wait_s = rate.step(bucket, policy, 100.25)
    assert (bucket, wait_s) == (rate.Bucket(0.5, 100.25), 0.25)
    bucket, wait_s = rate.step(bucket, policy, 100.5)
    assert (bucket, wait_s) == (rate.Bucket(0.0, 100.5), 0.0)
    bucket, wait_s = rate.step(bucket, policy, 900.0)
    assert (bucket, wait_s) == (rate.Bucket(2.0, 900.0), 0.0)


def test_a_clock_that_goes_back_fills_nothing_and_stops_nothing() -> None:
    policy = RatePolicy(per_s=1.0)
    state, wait_s = rate.step(rate.begin(policy, 100.0), policy, 100.0)
    assert wait_s == 0
    state, wait_s = rate.step(state, policy, 50.0)
    assert wait_s == pytest.approx(1.0)
    _, wait_s = rate.step(state, policy, 51.0)
    assert wait_s == 0


def test_a_bulkhead_lets_in_as_many_as_it_says() -> None:
    policy = BulkheadPolicy(calls_max=2)
    assert [bulkhead.judge(inflight, policy) for inflight in range(4)] == [True, True, False, False]
