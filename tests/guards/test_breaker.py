"""The breaker, held against a model that remembers every call and every rule separately."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firedoor.guards import breaker as b
from firedoor.guards import events
from firedoor.guards.window import Counts

POLICY = b.BreakerPolicy()
TEN_BAD = Counts(calls=10, bad=10, consecutive=10, span_s=10.0)


def opened(now_s: float = 0.0, **more: float) -> b.Breaker:
    bad = b.Bad(generation=0, counts=TEN_BAD, cause="ConnectionError", **more)
    return b.step(b.Breaker(), bad, POLICY, now_s)[0]


def probing(now_s: float = 5.0, lease_s: float = 2.0) -> tuple[b.Breaker, int]:
    state, answer, _ = b.ask(opened(), POLICY, now_s, lease_s=lease_s)
    assert answer == b.Admitted(state.generation, probe=True)
    return state, state.generation


class BreakerMachine(RuleBasedStateMachine):
    """The model: the word, when it may change by itself, and who is out with which permission."""

    def __init__(self) -> None:
        super().__init__()
        self.state = b.Breaker()
        self.now_s = 1_000.0
        self.word = "closed"
        self.due_s = 0.0
        self.length_s = 0.0
        self.grown_s = POLICY.open_s
        self.most_s = POLICY.open_max_s
        self.openings_s: list[float] = []
        self.fresh: list[int] = []
        self.late: list[int] = []
        self.probe: int | None = None

    def turn(self, word: str) -> None:
        """Whatever was let in before is late from now on."""
        self.word, self.probe = word, None
        self.late += self.fresh
        self.fresh = []

    def wait(self, bad: b.Bad) -> None:
        """Note for how long it is open now."""
        assert isinstance(self.state.mode, b.Open)
        self.length_s = self.state.mode.until_s - self.now_s
        self.due_s = self.state.mode.until_s
        if bad.retry_after_s is not None:
            assert self.length_s == pytest.approx(max(POLICY.open_s, bad.retry_after_s))
        else:
            factor = 1 + POLICY.jitter * (2 * bad.chance - 1)
            assert self.length_s == pytest.approx(self.grown_s * factor)

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 2.0, 6.0, 70.0]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(chance=st.floats(0, 1))
    def ask(self, chance: float) -> None:
        before = self.word
        self.state, answer, told = b.ask(self.state, POLICY, self.now_s, lease_s=2.0, chance=chance)
        match before:
            case "closed" | "disabled":
                assert answer == b.Admitted(self.state.generation)
                self.fresh.append(self.state.generation)
            case "forced-open":
                assert answer == b.Turned(None)
            case "open" if self.now_s >= self.due_s:
                assert answer == b.Admitted(self.state.generation, probe=True)
                self.turn("half-open")
                self.probe, self.due_s = self.state.generation, self.now_s + 2.0
                self.fresh.append(self.probe)
            case "half-open" if self.now_s >= self.due_s:
                assert isinstance(answer, b.Turned)
                self.turn("open")
                self.grown_s = min(self.grown_s * POLICY.growth, self.most_s)
                self.wait(b.Bad(generation=0, chance=chance))
                assert [type(event) for event in told] == [events.ProbeFailed]
            case _:
                assert isinstance(answer, b.Turned)
                assert answer.retry_after_s == pytest.approx(self.due_s - self.now_s)

    @precondition(lambda self: self.fresh)
    @rule(
        what=st.sampled_from(["good", "bad", "neutral", "denied"]),
        counts=st.builds(
            lambda good, bad, run, row_s, span_s: Counts(
                calls=good + bad, bad=bad, consecutive=min(run, bad), row_s=row_s, span_s=span_s
            ),
            st.integers(0, 20),
            st.integers(1, 20),
            st.integers(1, 20),
            st.sampled_from([0.0, 0.9, 1.0, 5.0]),
            st.sampled_from([1.0, 4.0, 10.0]),
        ),
        asked_s=st.none() | st.floats(0, 300),
        chance=st.floats(0, 1),
    )
    def end(self, what: str, counts: Counts, asked_s: float | None, chance: float) -> None:
        ticket = self.fresh.pop(0)
        bad = b.Bad(generation=ticket, counts=counts, retry_after_s=asked_s, chance=chance)
        results: dict[str, b.Event] = {
            "good": b.Good(ticket), "bad": bad, "neutral": b.Neutral(ticket),
            "denied": b.Denied(generation=ticket, wait_s=3.0),
        }  # fmt: skip
        event = results[what]
        was_probe = ticket == self.probe
        self.state, _ = b.step(self.state, event, POLICY, self.now_s)
        trips = (
            counts.consecutive >= 10
            or (counts.consecutive >= 5 and counts.row_s >= 1)
            or (counts.calls >= 20 and counts.bad * 2 >= counts.calls)
        )
        if was_probe and what == "good":
            self.turn("closed")
        elif was_probe and what == "bad":
            self.turn("open")
            self.grown_s = min(self.grown_s * POLICY.growth, self.most_s)
            self.wait(bad)
        elif was_probe:
            self.turn("open")
            self.due_s = self.now_s + (3.0 if what == "denied" else 0.0)
        elif self.word == "closed" and what == "bad" and trips:
            self.turn("open")
            self.grown_s = POLICY.open_s
            most_s = min(5.0, max(1.0, 20 * counts.span_s / counts.calls))
            lately = any(0 <= self.now_s - at < POLICY.flap_s for at in self.openings_s)
            self.most_s = min(most_s, self.most_s) if lately else most_s
            self.openings_s.append(self.now_s)
            self.wait(bad)

    @precondition(lambda self: self.late)
    @rule(what=st.sampled_from(["good", "bad", "neutral"]))
    def end_late(self, what: str) -> None:
        ticket, before = self.late.pop(), self.state
        results: dict[str, b.Event] = {
            "good": b.Good(ticket), "neutral": b.Neutral(ticket),
            "bad": b.Bad(generation=ticket, counts=TEN_BAD),
        }  # fmt: skip
        event = results[what]
        self.state, told = b.step(self.state, event, POLICY, self.now_s)
        assert self.state == before
        assert not told

    @rule(order=st.sampled_from(["open", "close", "disable"]))
    def order(self, order: b.Order) -> None:
        self.state, told = b.step(
            self.state, b.Ordered(order, "ada", "a migration"), POLICY, self.now_s
        )
        assert told == (events.BreakerOrdered(order=order, by="ada", because="a migration"),)
        self.turn({"open": "forced-open", "close": "closed", "disable": "disabled"}[order])

    @invariant()
    def the_word_is_the_models(self) -> None:
        assert b.word(self.state) == self.word

    @invariant()
    def what_is_remembered_is_bounded(self) -> None:
        assert len(self.state.openings_s) <= POLICY.flaps


BreakerMachine.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True
)
TestBreaker = BreakerMachine.TestCase


@pytest.mark.parametrize(
    ("counts", "opens"),
    [
        (Counts(calls=9, bad=9, consecutive=9), False),
        (Counts(calls=20, bad=10, consecutive=1), True),
        (Counts(calls=19, bad=18, consecutive=1), False),
        (Counts(calls=21, bad=10, consecutive=1), False),
        (Counts(calls=10, bad=4, consecutive=4, row_s=9.0), False),
        (Counts(calls=10, bad=5, consecutive=5, row_s=1.0), True),
        (Counts(calls=10, bad=9, consecutive=9, row_s=0.9), False),
        (Counts(calls=1_000, bad=10, consecutive=10), True),
        (Counts(calls=1_000, bad=499, consecutive=9), False),
    ],
)
def test_half_of_twenty_calls_or_ten_in_a_row_or_five_over_a_second_open_it(
    counts: Counts,
    opens: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    state, told = b.step(b.Breaker(), b.Bad(generation=0, counts=counts), POLICY, 0.0)
    assert (b.word(state) == "open") is opens
    assert bool(told) is opens


def test_it_is_open_for_longer_after_each_failed_probe_up_to_a_cap() -> None:
    state, now_s, waits = opened(), 0.0, []
    for _ in range(7):
        assert isinstance(state.mode, b.Open)
        waits.append(state.mode.until_s - now_s)
        now_s = state.mode.until_s
        state, _, _ = b.ask(state, POLICY, now_s, lease_s=1.0)
        state, _ = b.step(state, b.Bad(generation=state.generation), POLICY, now_s)
    assert waits == pytest.approx([1.0, 1.5, 2.25, 3.375, 5.0, 5.0, 5.0])


@pytest.mark.parametrize(
    ("calls", "longest_s"), [(5, 5.0), (40, 5.0), (100, 2.0), (200, 1.0), (10_000, 1.0)]
)
def test_who_calls_often_waits_less_long_for_a_probe(calls: int, longest_s: float) -> None:
    counts = Counts(calls=calls, bad=10, consecutive=10, span_s=10.0)
    state, _ = b.step(b.Breaker(), b.Bad(generation=0, counts=counts), POLICY, 0.0)
    now_s = 0.0
    for _ in range(5):
        assert isinstance(state.mode, b.Open)
        now_s = state.mode.until_s
        state, _, _ = b.ask(state, POLICY, now_s, lease_s=1.0)
        state, _ = b.step(state, b.Bad(generation=state.generation), POLICY, now_s)
    assert isinstance(state.mode, b.Open)
    assert state.mode.until_s - now_s == pytest.approx(longest_s)


def test_closing_forgets_how_long_it_had_grown() -> None:
    state, generation = probing()
    state, _ = b.step(state, b.Bad(generation=generation), POLICY, 5.0)
    state, answer, _ = b.ask(state, POLICY, 50.0, lease_s=1.0)
    assert isinstance(answer, b.Admitted)
    state, told = b.step(state, b.Good(answer.generation), POLICY, 50.0)
    assert told == (events.BreakerClosed(probes=2),)
    bad = b.Bad(generation=state.generation, counts=TEN_BAD)
    state, _ = b.step(state, bad, POLICY, 60.0)
    assert isinstance(state.mode, b.Open)
    assert state.mode.until_s == pytest.approx(61.0)


def test_what_the_dependency_asks_for_wins_over_the_policy() -> None:
    state = opened(retry_after_s=42.0)
    assert isinstance(state.mode, b.Open)
    assert state.mode.until_s == 42.0


def test_a_retry_after_of_zero_does_not_make_probes_a_flood() -> None:
    state = opened(retry_after_s=0.0)
    assert isinstance(state.mode, b.Open)
    assert state.mode.until_s == POLICY.open_s


def test_a_lease_is_never_longer_than_ten_seconds() -> None:
    state, _ = probing(lease_s=3_600.0)
    assert isinstance(state.mode, b.HalfOpen)
    assert state.mode.until_s == 15.0


def test_a_clock_that_goes_back_lengthens_a_wait_by_once_its_length_at_most() -> None:
    state = opened(now_s=1_000.0)
    state, answer, _ = b.ask(state, POLICY, 10.0, lease_s=1.0)
    assert isinstance(answer, b.Turned)
    assert answer.retry_after_s == pytest.approx(1.0)
    _, answer, _ = b.ask(state, POLICY, 11.0, lease_s=1.0)
    assert isinstance(answer, b.Admitted)


def test_a_clock_that_goes_back_does_not_lengthen_a_lease() -> None:
    state, _ = probing(now_s=1_000.0, lease_s=2.0)
    state, answer, _ = b.ask(state, POLICY, 10.0, lease_s=2.0)
    assert isinstance(answer, b.Turned)
    assert answer.retry_after_s == pytest.approx(2.0)
    state, _, told = b.ask(state, POLICY, 12.0, lease_s=2.0)
    assert isinstance(told[0], events.ProbeFailed)


def test_three_openings_in_a_minute_are_told_once_and_again_only_after_it_was_calm() -> None:
    state, told = b.Breaker(), []
    for at_s in (0, 20, 40, 55, 70, 500, 510, 520):
        bad = b.Bad(generation=state.generation, counts=TEN_BAD)
        state, said = b.step(state, bad, POLICY, at_s)
        told += [(at_s, event) for event in said if isinstance(event, events.BreakerFlapping)]
        state, _ = b.step(state, b.Ordered("close", "test", "next"), POLICY, at_s)
    assert [at_s for at_s, _ in told] == [40, 520]


def test_a_probe_that_tells_nothing_makes_room_for_the_next_at_once() -> None:
    state, generation = probing()
    state, told = b.step(state, b.Neutral(generation), POLICY, 5.5)
    assert isinstance(told[0], events.ProbeVoid)
    _, answer, _ = b.ask(state, POLICY, 5.5, lease_s=1.0)
    assert isinstance(answer, b.Admitted)
