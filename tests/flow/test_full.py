"""What a publisher does at a full inbox, against readers that make room when they are drawn to."""

from __future__ import annotations

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from firedoor.flow import full
from firedoor.flow.full import Cut, Drop, FullPolicy, Leave, Outlet, Retry, Shed, WhenFull
from flow.drawn import many

policies = st.builds(
    FullPolicy,
    when_full=st.sampled_from(["block", "shed", "detach"]),
    patience_s=st.sampled_from([0.0, 1.0, 5.0]),
    retry_min_s=st.sampled_from([0.05, 0.3]),
    retry_max_s=st.sampled_from([0.3, 1.0]),
)


class Knocking(RuleBasedStateMachine):
    """Batches that come one after another to one edge."""

    @initialize(policy=policies)
    def start(self, policy: FullPolicy) -> None:
        self.policy = policy
        self.outlet = Outlet()
        self.now_s = 500.0
        self.leaving = False
        self.cut = False
        self.refusals: list[float] = []
        """Times, since a batch last went in."""
        self.next_batch()

    def next_batch(self) -> None:
        self.tries = 0
        self.whole = True
        self.waited: list[float] = []

    @property
    def given_up(self) -> bool:
        """Whether the outlet has been full for as long as patience lasts."""
        return self.now_s - self.refusals[0] >= self.policy.patience_s

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 4.0, 5.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(really=st.integers(0, 4))
    def the_zone_begins_to_drain(self, really: int) -> None:
        self.leaving = self.leaving or not really

    @precondition(lambda self: not self.cut)
    @rule()
    def there_is_room(self) -> None:
        self.outlet = full.accepted()
        self.refusals = []
        self.next_batch()

    @precondition(lambda self: self.cut)
    @rule()
    def a_person_attaches_it(self) -> None:
        self.outlet, self.cut, self.refusals = Outlet(), False, []
        self.next_batch()

    @precondition(lambda self: not self.cut)
    @rule()
    def it_is_full(self) -> None:
        self.tries += 1
        self.refusals.append(self.now_s)
        self.outlet, action = full.refused(
            self.outlet,
            self.policy,
            self.now_s,
            tries=self.tries,
            whole=self.whole,
            leaving=self.leaving,
        )
        assert self.outlet.full_since_s == self.refusals[0]
        match action:
            case Retry(wait_s):
                self.it_is_to_try_again(wait_s)
            case Shed():
                assert self.policy.when_full == "shed"
                assert self.whole, "a share of a share"
                self.whole = False
            case Drop():
                assert self.policy.when_full == "shed"
                assert not self.whole, "dropped before a share was offered"
                self.is_given_up()
            case Cut():
                assert self.policy.when_full == "detach"
                self.is_given_up()
                self.cut = True
            case Leave():
                assert self.policy.when_full == "block", "the others need not be left"
                assert self.leaving, "block gives nothing up"
                self.is_given_up()

    def it_is_to_try_again(self, wait_s: float) -> None:
        assert self.policy.when_full == "block" or not self.given_up
        assert not (self.leaving and self.given_up), "it waits for somebody who is not coming"
        assert not (self.policy.when_full == "shed" and self.whole), "shed at once"
        assert min(self.policy.retry_min_s, self.policy.retry_max_s) <= wait_s
        assert wait_s <= self.policy.retry_max_s
        if self.waited:
            assert wait_s == pytest.approx(min(2 * self.waited[-1], self.policy.retry_max_s))
        elif self.tries == 1:
            assert wait_s == min(self.policy.retry_min_s, self.policy.retry_max_s)
        self.waited.append(wait_s)

    def is_given_up(self) -> None:
        assert self.given_up, "a batch was given up too early"
        self.next_batch()


TestKnocking = Knocking.TestCase
TestKnocking.settings = many


@many
@given(policies, st.booleans(), st.none() | st.floats(0.0, 10.0))
def test_where_there_is_never_room_a_batch_is_settled_within_patience_and_one_wait(
    policy: FullPolicy,
    leaving: bool,  # noqa: FBT001 - drawn
    full_for_s: float | None,
) -> None:
    now_s, whole, action = 100.0, True, None
    outlet = Outlet(None if full_for_s is None else now_s - full_for_s)
    for tries in range(1, 200):
        outlet, action = full.refused(
            outlet, policy, now_s, tries=tries, whole=whole, leaving=leaving
        )
        if isinstance(action, Shed):
            whole = False
        elif isinstance(action, Retry):
            now_s += action.wait_s
        else:
            break
    forever = policy.when_full == "block" and not leaving
    assert isinstance(action, Retry) is forever
    left_s = max(0.0, policy.patience_s - (full_for_s or 0.0))
    assert forever or now_s - 100.0 <= left_s + policy.retry_max_s
    assert forever or now_s - 100.0 >= left_s - 1e-9


@pytest.mark.parametrize(
    ("when_full", "full_for_s", "whole", "leaving", "action"),
    [
        ("block", 0.0, True, False, Retry(0.05)),
        ("block", 1e9, True, False, Retry(0.05)),
        ("block", 4.99, True, True, Retry(0.05)),
        ("block", 5.0, True, True, Leave()),
        ("shed", 0.0, True, False, Shed()),
        ("shed", 1e9, True, True, Shed()),
        ("shed", 4.99, False, False, Retry(0.05)),
        ("shed", 5.0, False, False, Drop()),
        ("shed", 5.0, False, True, Drop()),
        ("detach", 4.99, True, False, Retry(0.05)),
        ("detach", 4.99, True, True, Retry(0.05)),
        ("detach", 5.0, True, False, Cut()),
        ("detach", 5.0, True, True, Cut()),
    ],
)
def test_patience_is_five_seconds(
    when_full: str,
    full_for_s: float,
    whole: bool,  # noqa: FBT001 - drawn
    leaving: bool,  # noqa: FBT001 - drawn
    action: full.Action,
) -> None:
    policy = FullPolicy(when_full=cast("WhenFull", when_full))
    known = Outlet(0.0)
    outlet, found = full.refused(known, policy, full_for_s, tries=1, whole=whole, leaving=leaving)
    assert (outlet, found) == (known, action)


def test_waits_double_from_50_ms_to_a_second() -> None:
    waits = []
    for tries in [*range(1, 8), 10_000]:
        _, action = full.refused(Outlet(), FullPolicy(), 0.0, tries=tries)
        assert isinstance(action, Retry)
        waits.append(action.wait_s)
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]


def test_time_counts_over_batches_until_one_goes_in() -> None:
    policy = FullPolicy(when_full="detach")
    outlet, _ = full.refused(Outlet(), policy, 10.0, tries=1)
    outlet, _ = full.refused(outlet, policy, 13.0, tries=2)
    assert full.refused(outlet, policy, 15.0, tries=1)[1] == Cut()
    assert full.refused(full.accepted(), policy, 15.0, tries=1)[1] == Retry(0.05)
