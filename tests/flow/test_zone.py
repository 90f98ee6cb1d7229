"""The state of a zone, while a person, the broker, readers and probes do as they are drawn to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firedoor.flow import zone
from firedoor.flow.probes import Probe, Trouble, ZonePolicy
from firedoor.flow.zone import (
    DEAD_LETTERS,
    BrokerAway,
    BrokerBack,
    Cleared,
    Deferred,
    Drained,
    Emptied,
    Event,
    Filled,
    Ordered,
    Passed,
    ProbeSent,
    ProbeVoid,
    Prompted,
    Relieved,
    Throttled,
    Troubled,
    Want,
    ZoneState,
)
from flow.drawn import many

POLICY = ZonePolicy()
DOWN = Trouble(word="paused", code="dependency_down", why="the database is away", probes=True)
QUICK = replace(DOWN, why="a service is away", quick=True)
ASKS = replace(QUICK, why="a service is full", retry_after_s=9.0)
PAUSED = Trouble(word="paused", code="odd", why="a pause that no probe ends")
HANGS = Trouble(word="halted", code="contrast", why="rows hang", probes=True)
FAULT = Trouble(word="halted", code="error", why="the step is at fault")
GRAVITY = {DOWN: 0, QUICK: 0, ASKS: 0, PAUSED: 1, HANGS: 2, FAULT: 3}
FAILED = [Troubled(trouble, probe=True) for trouble in [DOWN, PAUSED, QUICK, HANGS, ASKS, FAULT]]
troubles = st.sampled_from([*[DOWN, QUICK, HANGS] * 3, ASKS, PAUSED, FAULT])
outlets = st.sampled_from(["a:b", "a:c", DEAD_LETTERS])
conditions: st.SearchStrategy[Event] = st.one_of(
    st.builds(Filled, outlets),
    st.builds(Emptied, outlets),
    st.sampled_from([BrokerAway("refused"), BrokerBack(), BrokerBack()]),
    st.builds(Throttled, st.sampled_from([0.0, 0.1, 5.0])),
)
READY = ZoneState(generation=0)
LONG = 20
"""Events of a drawn world after which it may end."""


def told(*events: Event, state: ZoneState = READY, now_s: float = 0.0) -> ZoneState:
    """Return the state after events that come at one moment."""
    for event in events:
        state = zone.step(state, event, POLICY, now_s)
    return state


class Standing(RuleBasedStateMachine):
    """A zone, and a book in which somebody else writes down what is the matter with it."""

    @initialize(
        policy=st.sampled_from(
            [
                POLICY,
                ZonePolicy(probe_min_s=0.5, probe_max_s=3.0, relapse_s=5.0),
                ZonePolicy(probe_min_s=60.0, relapse_s=0.0),
                ZonePolicy(quick_min_s=0.1, quick_growth=3.0, quick_max_s=9.0, asked_max_s=5.0),
            ]
        ),
        fresh=st.booleans(),
        trouble=st.none() | troubles,
    )
    def start(self, policy: ZonePolicy, fresh: bool, trouble: Trouble | None) -> None:  # noqa: FBT001 - drawn
        self.policy = policy
        self.state = ZoneState()
        self.now_s = 1_000.0
        self.order: Ordered | None = None
        self.leaving = False
        self.trouble: Trouble | None = None
        self.wait_s = 0.0
        """Between when the trouble was met last, by itself or by a probe, and the next probe."""
        self.next_s = 0.0
        """When the next probe is due, if one is."""
        self.probe: Literal["none", "out", "of another trouble"] = "none"
        self.healed: tuple[float, float] | None = None
        """When a probe passed, and what the wait before it had been."""
        self.full: set[str] = set()
        self.away = ""
        self.throttle_s = 0.0
        self.ended = ""
        self.told = 0
        if not fresh:
            self.a_person_orders("run", 0, "")
        if trouble is not None:
            self.a_batch_in_flight_passes_or_meets_a_trouble(trouble)

    def tell(self, event: Event) -> None:
        self.told += 1
        before = self.state
        self.state = zone.step(before, event, self.policy, self.now_s)
        if self.ended:
            assert self.state == before

    # ---- the world

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 2.0, 4.0, 15.0, 59.9, 60.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: self.told > LONG)
    @rule(higher=st.sampled_from([-1, 0, 1]))
    def a_person_has_it_drain(self, higher: int) -> None:
        self.a_person_orders("drain", higher, "a new disk")

    @rule(
        want=st.sampled_from(["run", "run", "run", "pause"]),
        higher=st.sampled_from([-1, 0, 0, 1, 1, 2]),
        because=st.sampled_from(["", "the weekend"]),
    )
    def a_person_orders(self, want: Want, higher: int, because: str) -> None:
        known = 0 if self.order is None else self.order.generation
        order = Ordered(want, max(0, known + higher), because)
        self.tell(order)
        if self.ended or self.leaving:
            return
        if self.order is not None and order.generation > known:
            self.forget_trouble()
            self.healed, self.throttle_s = None, 0.0
        self.leaving = want == "drain"
        self.order = replace(order, generation=max(order.generation, known))
        assert zone.step(self.state, order, self.policy, self.now_s) == self.state

    @rule(trouble=st.none() | troubles)
    def a_batch_in_flight_passes_or_meets_a_trouble(self, trouble: Trouble | None) -> None:
        before = self.state
        if trouble is None:
            self.tell(Passed())
            assert self.state == before, "it was not sent to try"
        else:
            self.tell(Troubled(trouble))
            self.note_trouble(trouble)

    @precondition(lambda self: self.due_s is not None)
    @rule(late_s=st.sampled_from([0.0, 7.0]))
    def the_next_probe_is_due_and_sent(self, late_s: float) -> None:
        assert self.due_s is not None
        self.now_s = max(self.now_s, self.due_s) + late_s
        assert zone.pull(self.state, self.now_s) == "probe"
        assert self.probe == "none", "a second one"
        self.tell(ProbeSent())
        self.probe = "out"

    @precondition(lambda self: self.probe != "none")
    @rule(result=st.sampled_from([ProbeVoid(), *[Passed(probe=True)] * 2, *FAILED, *FAILED[::2]]))
    def the_probe_comes_back(self, result: ProbeVoid | Passed | Troubled) -> None:
        self.tell(result)
        sent, self.probe = self.probe, "none"
        if self.ended:
            return
        match result:
            case Troubled(trouble) if sent == "out":
                self.trouble = trouble
                self.wait(self.longer_s(trouble))
            case Troubled(trouble):
                self.note_trouble(trouble)
            case Passed() if sent == "out":
                self.healed = (self.now_s, self.wait_s)
                self.trouble = None
            case _:
                pass

    @rule(event=st.sampled_from([Prompted(), Deferred(0.5), Deferred(3.0)]))
    def a_probe_is_wanted_now_or_later(self, event: Prompted | Deferred) -> None:
        self.tell(event)
        if not self.ended and self.probe == "none":
            self.next_s = self.now_s + (event.wait_s if isinstance(event, Deferred) else 0.0)

    @rule()
    def another_process_gets_through_to_what_is_away(self) -> None:
        self.tell(Relieved())
        away = self.trouble is not None and self.trouble.quick
        if away and not self.ended and self.probe == "none":
            self.healed, self.trouble = (self.now_s, self.wait_s), None

    @precondition(lambda self: self.probe == "none")
    @rule(event=st.sampled_from([Passed(probe=True), ProbeVoid()]))
    def the_result_of_a_probe_that_is_not_out_changes_nothing(self, event: Event) -> None:
        before = self.state
        self.tell(event)
        assert self.state == before

    @rule(event=conditions)
    def something_else_comes_or_goes(self, event: Event) -> None:
        self.tell(event)
        if self.ended:
            return
        match event:
            case Filled(outlet):
                self.full.add(outlet)
            case Emptied(outlet):
                self.full.discard(outlet)
            case Throttled(wait_s):
                self.throttle_s = wait_s
            case _:
                self.away = event.why if isinstance(event, BrokerAway) else ""

    @precondition(lambda self: self.leaving)
    @rule()
    def it_has_let_go_of_everything(self) -> None:
        self.tell(Drained())
        self.ended = self.ended or "stopped"

    @precondition(lambda self: self.told > LONG)
    @rule()
    def a_source_has_no_more(self) -> None:
        self.tell(Drained(done=True))
        self.ended = self.ended or "done"

    # ---- the book

    def forget_trouble(self) -> None:
        self.trouble = None
        self.probe = "none" if self.probe == "none" else "of another trouble"

    def note_trouble(self, trouble: Trouble) -> None:
        """Note what a batch met that was not sent to try."""
        if self.ended:
            return
        if self.trouble is None:
            relapses = self.healed and self.now_s - self.healed[0] < self.policy.relapse_s
            if self.healed and relapses:
                self.wait_s = self.healed[1]
                self.wait(self.longer_s(trouble))
            else:
                self.wait(self.first_s(trouble))
        elif GRAVITY[trouble] > GRAVITY[self.trouble]:
            self.forget_trouble()
            self.wait(self.first_s(trouble))
        else:
            return
        self.trouble = trouble

    def wait(self, wait_s: float) -> None:
        self.wait_s, self.next_s = wait_s, self.now_s + wait_s

    def first_s(self, trouble: Trouble) -> float:
        if trouble.retry_after_s is not None:
            return min(trouble.retry_after_s, self.policy.asked_max_s)
        return self.policy.quick_min_s if trouble.quick else self.policy.probe_min_s

    def longer_s(self, trouble: Trouble) -> float:
        """What the wait grows to: by its kind, between the first and the longest of that kind."""
        if trouble.retry_after_s is not None:
            return min(trouble.retry_after_s, self.policy.asked_max_s)
        policy, growth, most_s = self.policy, 2.0, self.policy.probe_max_s
        if trouble.quick:
            growth, most_s = policy.quick_growth, policy.quick_max_s
        return min(max(self.wait_s * growth, self.first_s(trouble)), most_s)

    @property
    def due_s(self) -> float | None:
        """When the next probe is due; None if none is."""
        if self.trouble is None or not self.trouble.probes or self.probe != "none":
            return None
        if self.ended or self.order_is("pause", "drain") or DEAD_LETTERS in self.full:
            return None
        return self.next_s

    def order_is(self, *wants: Want) -> bool:
        return self.order is not None and self.order.want in wants

    @property
    def table(self) -> list[tuple[str, bool, str]]:
        """The gravest first: a word, whether there is reason for it, and whether it pulls."""
        trouble = self.trouble
        due = self.due_s is not None and self.now_s >= self.due_s
        probe = "probe" if due else "rest"
        return [
            ("stopped", self.ended == "stopped", "rest"),
            ("done", self.ended == "done", "rest"),
            ("draining", self.leaving, "rest"),
            ("halted", trouble is not None and trouble.word == "halted", probe),
            ("paused", self.order_is("pause"), "rest"),
            ("paused", trouble is not None, probe),
            ("paused", DEAD_LETTERS in self.full, "rest"),
            ("blocked", bool(self.away), "hold" if self.full else "pull"),
            ("blocked", bool(self.full), "hold"),
            ("starting", self.order is None, "hold"),
            ("throttled", self.throttle_s > 0, "pull"),
            ("running", True, "pull"),
        ]

    # ---- what always holds

    @invariant()
    def the_word_is_the_gravest_of_what_is_the_matter_and_says_whether_it_pulls(self) -> None:
        word, pull = next((word, pull) for word, reason, pull in self.table if reason)
        assert zone.word(self.state) == word
        assert zone.pull(self.state, self.now_s) == pull

    @invariant()
    def the_next_probe_is_as_far_off_as_its_wait_says(self) -> None:
        due_s = self.due_s
        left_s = None if due_s is None else max(0.0, due_s - self.now_s)
        assert zone.wait_s(self.state, self.now_s) == left_s

    @invariant()
    def what_no_probe_ends_is_never_probed_and_one_probe_at_most_is_out(self) -> None:
        assert self.state.trouble == self.trouble
        assert (self.state.probe is not None) is (self.trouble is not None and self.trouble.probes)
        out = {"none": "", "out": "probe", "of another trouble": "late"}[self.probe]
        assert self.ended or self.state.out == out

    @invariant()
    def whoever_asks_is_told_why(self) -> None:
        code, why = zone.cause(self.state)
        word = zone.word(self.state)
        assert bool(code) is (word in {"halted", "paused", "blocked", "throttled"})
        assert why or not code
        if word == "halted":
            assert self.trouble is not None
            assert (code, why) == (self.trouble.code, self.trouble.why)


TestStanding = Standing.TestCase
TestStanding.settings = many


ROWS: list[tuple[str, ZoneState, str, str]] = [
    ("stopped", told(Ordered("drain", 0, "leave"), Drained()), "", "rest"),
    ("done", told(Drained(done=True)), "", "rest"),
    ("draining", told(Troubled(FAULT), Ordered("drain", 0, "leave")), "", "rest"),
    ("halted", told(Troubled(FAULT), Ordered("pause")), "error", "rest"),
    ("paused", told(Troubled(DOWN), Ordered("pause")), "ordered", "rest"),
    ("paused", told(Filled(DEAD_LETTERS), Troubled(DOWN)), "dependency_down", "rest"),
    ("paused", told(BrokerAway("gone"), Filled(DEAD_LETTERS)), "dead_letters_full", "rest"),
    ("blocked", told(Throttled(1.0), BrokerAway("gone")), "broker_away", "pull"),
    ("blocked", told(BrokerAway("gone"), Filled("a:b")), "broker_away", "hold"),
    ("blocked", told(Throttled(1.0), Filled("a:b"), Filled("a:c")), "inbox_full", "hold"),
    ("throttled", told(Throttled(1.0)), "throttle_share", "pull"),
    ("running", READY, "", "pull"),
    ("starting", ZoneState(), "", "hold"),
]


@pytest.mark.parametrize(("word", "state", "code", "pull"), ROWS)
def test_of_two_things_that_are_the_matter_the_graver_one_is_told(
    word: str, state: ZoneState, code: str, pull: str
) -> None:
    assert (zone.word(state), zone.cause(state)[0], zone.pull(state, 1_000.0)) == (word, code, pull)


def test_the_cause_says_what_a_person_or_the_broker_said_and_which_inboxes_are_full() -> None:
    assert zone.cause(told(Ordered("pause", 0, "the weekend"))) == ("ordered", "the weekend")
    assert zone.cause(told(Ordered("pause"))) == ("ordered", "paused by a person")
    assert zone.cause(told(Ordered("drain", 0, "a new disk"))) == ("", "a new disk")
    assert zone.cause(told(BrokerAway("refused")))[1] == "refused"
    full = told(*(Filled(f"a:{reader}") for reader in "gcbedhf"))
    assert zone.cause(full)[1] == "full: a:b, a:c, a:d, a:e, a:f, a:g, a:h"
    assert zone.cause(told(Throttled(2.54)))[1] == "many bad rows: 2.5 s between batches"
    assert zone.cause(told(Troubled(DOWN))) == ("dependency_down", "the database is away")


def probed(outcome: Callable[[bool], Event], times: int) -> tuple[ZoneState, list[float], float]:
    """Send so many probes, each as soon as it is due; return the waits before them."""
    now_s, waits = 0.0, []
    state = told(Troubled(DOWN))
    for _ in range(times):
        wait_s = zone.wait_s(state, now_s)
        assert wait_s is not None
        assert zone.pull(state, now_s + wait_s - 0.001) == "rest"
        now_s += wait_s
        waits.append(wait_s)
        assert zone.pull(state, now_s) == "probe"
        state = told(ProbeSent(), state=state, now_s=now_s)
        assert (zone.pull(state, now_s), zone.wait_s(state, now_s)) == ("rest", None)
        state = told(outcome(True), state=state, now_s=now_s)  # noqa: FBT003 - of a probe
    return state, waits, now_s


def test_each_probe_that_fails_doubles_the_wait_up_to_a_minute() -> None:
    _, waits, _ = probed(lambda probe: Troubled(DOWN, probe), 8)
    assert waits == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


@pytest.mark.parametrize(("later_s", "wait_s"), [(0.0, 4.0), (59.9, 4.0), (60.0, 2.0)])
def test_a_trouble_that_comes_back_within_a_minute_goes_on_with_the_longer_wait(
    later_s: float, wait_s: float
) -> None:
    state, _, now_s = probed(Passed, 1)
    assert zone.word(state) == "running"
    now_s += later_s
    state = told(Troubled(DOWN), state=state, now_s=now_s)
    assert zone.wait_s(state, now_s) == pytest.approx(wait_s)


def test_a_probe_that_told_nothing_is_sent_again_at_once() -> None:
    state = told(Troubled(DOWN))
    state = told(ProbeSent(), ProbeVoid(), state=state, now_s=2.0)
    assert (zone.pull(state, 2.0), state.probe) == ("probe", Probe(due_s=2.0, wait_s=2.0))


@pytest.mark.parametrize("back", [Passed(), Troubled(DOWN), Ordered("run", 0)])
def test_what_else_comes_back_while_a_probe_is_out_is_not_the_probe(back: Event) -> None:
    out = told(ProbeSent(), state=told(Troubled(DOWN)), now_s=2.0)
    assert told(back, state=out, now_s=3.0) == out


def test_a_relapse_waits_no_longer_than_a_minute_and_a_new_generation_forgets_it() -> None:
    state, waits, now_s = probed(lambda probe: Troubled(DOWN, probe), 6)
    now_s += 60.0
    passed = told(ProbeSent(), Passed(probe=True), state=state, now_s=now_s)
    state = told(Troubled(DOWN), state=passed, now_s=now_s)
    assert zone.wait_s(state, now_s) == waits[-1] == 60.0
    state = told(Ordered("run", 1), Troubled(DOWN), state=passed, now_s=now_s)
    assert zone.wait_s(state, now_s) == 2.0


def test_each_condition_ends_by_what_the_table_says() -> None:
    assert told(BrokerAway("refused"), BrokerBack()) == READY
    assert told(Filled("a:b"), Filled("a:c"), Emptied("a:b")) == told(Filled("a:c"))
    assert told(Filled(DEAD_LETTERS), Emptied(DEAD_LETTERS)) == READY
    assert told(Throttled(5.0), Throttled(0.1)) == told(Throttled(0.1))
    assert told(Throttled(5.0), Throttled(0.0)) == READY


def test_a_probe_that_none_is_due_for_is_not_out() -> None:
    assert told(ProbeSent()) == READY
    halted = told(Troubled(FAULT))
    assert told(ProbeSent(), state=halted) == halted
    late = told(ProbeSent(), Troubled(HANGS), state=told(Troubled(DOWN)), now_s=2.0)
    assert told(ProbeSent(), state=late) == late, "one is out"


def test_a_probe_that_was_due_long_ago_is_due() -> None:
    state = told(Troubled(DOWN))
    assert (zone.wait_s(state, 500.0), zone.pull(state, 500.0)) == (0.0, "probe")


def test_a_new_generation_ends_a_halt_that_no_probe_ends_and_the_same_one_does_not() -> None:
    state = told(Troubled(FAULT), Throttled(3.0))
    assert zone.wait_s(state, 1e9) is None
    assert told(Ordered("run", 0), state=state) == state
    assert told(Ordered("run", 1), state=state) == ZoneState(generation=1)


def test_an_older_order_is_followed_and_makes_none_after_it_a_newer_one() -> None:
    state = told(Ordered("run", 5), Troubled(FAULT), Ordered("pause", 3))
    assert (state.want, state.generation) == ("pause", 5)
    assert zone.word(told(Ordered("run", 5), state=state)) == "halted"


def test_the_first_order_is_no_new_generation() -> None:
    state = zone.step(ZoneState(), Troubled(FAULT), POLICY, 0.0)
    state = zone.step(state, Ordered("run", 7), POLICY, 0.0)
    assert (zone.word(state), state.generation) == ("halted", 7)


def test_who_drains_never_turns_back() -> None:
    state = told(Ordered("drain", 0, "leave"))
    for order in (Ordered("run", 0), Ordered("run", 9), Ordered("pause", 9)):
        assert told(order, state=state) == state


def test_a_probe_of_a_trouble_that_a_person_ended_says_nothing_of_the_next() -> None:
    state = told(Troubled(DOWN))
    state = told(ProbeSent(), Ordered("run", 1), state=state, now_s=2.0)
    assert zone.word(state) == "running"
    state = told(Troubled(DOWN), state=state, now_s=2.0)
    assert zone.pull(state, 100.0) == "rest", "two probes at once"
    for late in (Passed(probe=True), Troubled(DOWN, probe=True), ProbeVoid()):
        back = told(late, state=state, now_s=3.0)
        assert back.trouble == DOWN
        assert zone.wait_s(back, 3.0) == 1.0
        assert zone.pull(back, 4.0) == "probe"


def test_a_probe_that_is_out_when_a_graver_trouble_comes_does_not_end_that() -> None:
    out = told(ProbeSent(), state=told(Troubled(DOWN)), now_s=2.0)
    for graver in (HANGS, FAULT):
        state = told(Troubled(graver), Passed(probe=True), state=out, now_s=2.0)
        assert state.trouble == graver
        assert zone.wait_s(state, 2.0) == (2.0 if graver.probes else None)


def test_a_probe_may_find_something_else_the_matter_less_grave_or_more() -> None:
    out = told(ProbeSent(), state=told(Troubled(HANGS)), now_s=2.0)
    found = told(Troubled(DOWN, probe=True), state=out, now_s=2.0)
    assert (zone.word(found), zone.wait_s(found, 2.0)) == ("paused", 4.0)
    found = told(Troubled(FAULT, probe=True), state=out, now_s=2.0)
    assert (zone.word(found), zone.wait_s(found, 2.0)) == ("halted", None)


def test_no_probe_is_announced_that_an_order_or_full_dead_letters_keep_back() -> None:
    for event in (Ordered("pause"), Ordered("drain"), Filled(DEAD_LETTERS), Drained()):
        state = told(Troubled(DOWN), event)
        assert (zone.pull(state, 100.0), zone.wait_s(state, 100.0)) == ("rest", None)


def test_the_end_of_a_drill_ends_what_it_made_and_nothing_else() -> None:
    made = replace(FAULT, fault="d1-1")
    after = told(Troubled(made), Throttled(5.0), Cleared())
    assert zone.word(after) == "running"
    assert zone.pull(after, 0.0) == "pull"

    other = told(Troubled(FAULT), Throttled(5.0), Cleared())
    assert (zone.word(other), other.throttle_s) == ("halted", 0.0)


def test_a_probe_that_was_sent_for_a_drills_trouble_ends_nothing_that_comes_after() -> None:
    made = replace(HANGS, fault="d1-1")
    state = told(Troubled(made), ProbeSent(), Cleared(), Troubled(HANGS))
    assert zone.word(told(Passed(probe=True), state=state)) == "halted"
