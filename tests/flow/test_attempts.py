"""How often a batch may take its runner along, against runners that die when they are drawn to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firedoor.flow import attempts
from firedoor.flow.attempts import RUNNER, AttemptsPolicy, Judgement
from flow.drawn import many

POLICY = AttemptsPolicy()


class Carrying(RuleBasedStateMachine):
    """One batch, its inbox, and the runners that die of it."""

    @initialize(alone_after=st.integers(1, 4), more=st.integers(1, 5))
    def start(self, alone_after: int, more: int) -> None:
        self.policy = AttemptsPolicy(alone_after=alone_after, deaths_max=alone_after + more)
        self.begin()

    def begin(self) -> None:
        self.deliveries = 0
        self.counts: dict[str, int] = {}
        self.returned = 0
        self.found: Judgement | None = None
        """What was said of the delivery in hand."""
        self.before = ""
        """How the delivery before this one ended."""
        self.deaths = 0
        """That count: since the last halt, which counts for as many as put a batch alone."""
        self.others: Counter[str] = Counter()
        self.said: list[str] = []
        """Since the last halt."""

    @precondition(lambda self: self.found is None)
    @rule()
    def it_is_delivered(self) -> None:
        self.deliveries += 1
        if self.before == "death":
            self.deaths += 1
        counts = dict(self.counts)
        self.found = attempts.judge(self.deliveries, self.counts, self.returned, self.policy)
        assert self.counts == counts, "judging notes nothing by itself"
        self.said.append(self.found.action)
        self.holds_what_was_said(self.found)
        if self.found.counts is not None:
            self.counts = self.found.counts

    def holds_what_was_said(self, found: Judgement) -> None:
        assert found.deaths == self.deaths
        if self.before != "death":
            assert found.counts is None, "a delivery that was given back counts for somebody"
            assert found.action != "halt"
        if self.before == "death" and self.deaths >= self.policy.deaths_max:
            assert found.action == "halt"
        elif self.deaths >= self.policy.alone_after:
            assert found.action == "alone"
        else:
            assert found.action == "process"
        if found.action == "halt":
            assert "alone" in self.said, "a batch is blamed that never was alone"

    def ends(self, how: str) -> None:
        """Let go of the delivery in hand."""
        if self.found is not None and self.found.action == "halt":
            self.deaths = self.policy.alone_after
            self.said = ["alone"]
        self.found, self.before = None, how

    @precondition(lambda self: self.found is not None)
    @rule()
    def its_runner_dies(self) -> None:
        self.ends("death")

    @precondition(lambda self: self.found is None)
    @rule()
    def a_runner_dies_before_it_has_looked(self) -> None:
        """Such a death is noted by the next runner, together with the one before, as one."""
        self.deliveries += 1
        self.before = "death"

    @precondition(lambda self: self.found is not None)
    @rule(noted=st.sampled_from([True, True, False]))
    def it_is_given_back(self, noted: bool) -> None:  # noqa: FBT001 - drawn
        """The broker may be away: then nobody knows that it was on purpose."""
        if noted:
            self.returned = self.deliveries
        self.ends("return" if noted else "death")

    @precondition(lambda self: self.found is not None and self.found.action != "halt")
    @rule(cause=st.sampled_from(["crash", "hang", "memory"]))
    def a_worker_dies_of_it(self, cause: str) -> None:
        self.others[cause] += 1
        self.counts = attempts.count(self.counts, cause)

    @precondition(lambda self: self.found is not None and self.found.action != "halt")
    @rule()
    def it_comes_through_and_another_comes(self) -> None:
        self.begin()

    @invariant()
    def what_is_noted_is_what_happened(self) -> None:
        assert {cause: n for cause, n in self.counts.items() if cause != RUNNER} == self.others
        assert self.counts.get(RUNNER, 0) < self.policy.deaths_max


TestCarrying = Carrying.TestCase
TestCarrying.settings = many


@pytest.mark.parametrize(
    ("deliveries", "noted", "returned", "action", "deaths"),
    [
        (1, {}, 0, "process", 0),
        (1, {RUNNER: 2}, 7, "alone", 2),
        (2, {}, 0, "process", 1),
        (2, {}, 1, "process", 0),
        (5, {}, 4, "process", 0),
        (5, {}, 3, "process", 1),
        (3, {RUNNER: 1}, 0, "alone", 2),
        (3, {RUNNER: 1}, 2, "process", 1),
        (8, {RUNNER: 6}, 0, "alone", 7),
        (9, {RUNNER: 7}, 0, "halt", 8),
        (9, {RUNNER: 7}, 8, "alone", 7),
    ],
)
def test_a_delivery_counts_the_one_before_unless_that_was_given_back(
    deliveries: int, noted: dict[str, int], returned: int, action: str, deaths: int
) -> None:
    found = attempts.judge(deliveries, noted, returned, POLICY)
    assert (found.action, found.deaths) == (action, deaths)
    if action == "halt":
        assert found.counts == {RUNNER: 2}
    else:
        assert found.counts == ({RUNNER: deaths} if deaths > noted.get(RUNNER, 0) else None)


def test_a_batch_that_halted_the_zone_is_alone_when_it_is_tried_again() -> None:
    halt = attempts.judge(9, {RUNNER: 7, "crash": 3}, 0, POLICY)
    assert halt == Judgement("halt", {RUNNER: 2, "crash": 3}, 8)
    assert halt.counts is not None
    assert attempts.judge(10, halt.counts, 9, POLICY) == Judgement("alone", deaths=2)


def test_runs_of_other_causes_put_no_batch_alone() -> None:
    counts = attempts.count(attempts.count({"crash": 9}, "crash"), "hang")
    assert counts == {"crash": 10, "hang": 1}
    assert attempts.judge(2, counts, 1, POLICY) == Judgement("process")
