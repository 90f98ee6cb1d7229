"""Retries: when, how long after, and from which bucket they are paid."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firedoor.guards import budget
from firedoor.guards.budget import BudgetPolicy, Succeeded, Wanted, Worked
from firedoor.guards.classify import ErrorClass
from firedoor.guards.retry import Again, RetryPolicy, Stop, judge

POLICY = RetryPolicy()
KINDS: tuple[ErrorClass, ...] = ("transient", "overload", "timeout", "permanent", "data")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.integers(1, 5), st.sampled_from(KINDS), st.none() | st.floats(0, 20),
    st.none() | st.floats(0, 20), st.booleans(), st.floats(0, 1),
)  # fmt: skip
def test_a_retry_is_made_only_if_nothing_speaks_against_it(
    attempt: int,
    kind: ErrorClass,
    asked_s: float | None,
    left_s: float | None,
    outer: bool,  # noqa: FBT001
    chance: float,
) -> None:
    verdict = judge(
        attempt, kind, POLICY, retry_after_s=asked_s, remaining_s=left_s, outer_retries=outer,
        chance=chance,
    )  # fmt: skip
    drawn_s = chance * min(5.0, 0.1 * 2 ** (attempt - 1))
    wait_s = drawn_s if asked_s is None else max(drawn_s, asked_s)
    hopeless = (
        kind in {"permanent", "data"}
        or outer
        or attempt >= 3
        or (asked_s is not None and asked_s > 5)
        or (left_s is not None and wait_s >= left_s)
    )
    if hopeless:
        assert isinstance(verdict, Stop)
        assert verdict.told is (kind not in {"permanent", "data"})
    else:
        assert isinstance(verdict, Again)
        assert verdict.wait_s == pytest.approx(wait_s)


def test_waits_double_to_their_cap_however_many_attempts_there_are() -> None:
    many = RetryPolicy(attempts=100)
    waits = [judge(n, "transient", many, chance=1.0) for n in (1, 2, 3, 7, 99)]
    assert waits == [Again(0.1), Again(0.2), Again(0.4), Again(5.0), Again(5.0)]


@pytest.mark.parametrize(
    ("attempt", "kind", "more", "verdict"),
    [
        (1, "data", {}, Stop("a data failure does not pass")),
        (1, "permanent", {}, Stop("a permanent failure does not pass")),
        (1, "timeout", {"outer_retries": True},
         Stop("a layer further out tries again", told=True)),
        (3, "timeout", {}, Stop("3 of 3 attempts were made", told=True)),
        (2, "timeout", {}, Again(0.1)),
        (1, "overload", {"retry_after_s": 5.25},
         Stop("it asks for 5.2 s without calls", told=True)),
        (1, "overload", {"retry_after_s": 5.0}, Again(5.0)),
        (1, "overload", {"retry_after_s": 0.01}, Again(0.05)),
        (1, "transient", {"remaining_s": 0.05},
         Stop("the deadline comes before the next attempt", told=True)),
        (1, "transient", {"remaining_s": 0.06}, Again(0.05)),
    ],
)  # fmt: skip
def test_a_verdict_tells_its_reason_or_its_wait(
    attempt: int, kind: ErrorClass, more: dict[str, Any], verdict: Again | Stop
) -> None:
    assert judge(attempt, kind, POLICY, chance=0.5, **more) == verdict
    assert Stop("why") == ("why", False)


class BudgetMachine(RuleBasedStateMachine):
    """The model: a multiset of retries that are out, and the net of what was earned and spent."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = BudgetPolicy()
        self.tokens = self.policy.tokens
        self.model = 50
        self.out: list[int] = []

    @rule(kind=st.sampled_from(KINDS))
    def want(self, kind: ErrorClass) -> None:
        price = 10 if kind == "timeout" else 5
        self.tokens, cost = budget.step(self.tokens, Wanted(kind), self.policy)
        if self.model >= price:
            assert cost == price
            self.model -= price
            self.out.append(price)
        else:
            assert cost is None

    @rule()
    def work(self) -> None:
        if self.out:
            cost = self.out.pop()
            self.tokens, _ = budget.step(self.tokens, Worked(cost), self.policy)
            self.model = min(50, self.model + cost)

    @rule(calls=st.integers(1, 100))
    def succeed(self, calls: int) -> None:
        self.tokens, _ = budget.step(self.tokens, Succeeded(calls), self.policy)
        for _ in range(calls):
            self.model = min(50, self.model + 1)

    @invariant()
    def the_bucket_is_never_negative_and_never_over_full(self) -> None:
        assert 0 <= self.tokens <= 50
        assert self.tokens == self.model


BudgetMachine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, derandomize=True
)
TestBudget = BudgetMachine.TestCase


def test_calls_that_succeed_bring_their_gain_each() -> None:
    policy = BudgetPolicy(gain=3)
    assert budget.step(10, Succeeded(), policy) == (13, None)
    assert budget.step(10, Succeeded(4), policy) == (22, None)
    assert budget.step(49, Succeeded(4), policy) == (50, None)


def test_an_outage_allows_ten_retries_and_partial_failure_any_number() -> None:
    policy, tokens, made = BudgetPolicy(), 50, 0
    for _ in range(100):
        tokens, cost = budget.step(tokens, Wanted("transient"), policy)
        made += cost is not None
    assert made == 10
    tokens = 50
    for _ in range(10_000):
        tokens, cost = budget.step(tokens, Wanted("transient"), policy)
        assert cost is not None
        tokens, _ = budget.step(tokens, Worked(cost), policy)
    assert tokens == 50
