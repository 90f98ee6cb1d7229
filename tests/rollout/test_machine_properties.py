"""What holds of rollouts whatever people, gateways and the registry do, in any order."""

from __future__ import annotations

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firedoor.rollout.counts import Look, Tally
from firedoor.rollout.drilled import Drilled, Shown
from firedoor.rollout.events import (
    Aborted,
    Command,
    Done,
    Event,
    LiveChanged,
    Looked,
    Paused,
    Promote,
    PromotedByHand,
    Quarantine,
    Replay,
    Replayed,
    Resumed,
    Return,
    RolledBackByHand,
    Started,
    Tripped,
    Unable,
)
from firedoor.rollout.guardrails import Trial
from firedoor.rollout.machine import step
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.rollout.stages import heading_of, least_requests, least_s, steps_of, weight_of
from firedoor.rollout.state import Heading, ServiceState, Target

POLICY = RolloutPolicy(
    steps=(0.1, 0.5, 1.0), shadow_requests=100, requests_min=50, step_s=30, looks_min=3,
    step_timeout_s=300, bake_s=60,
)  # fmt: skip
BY = "ann"


def target(version: int) -> Target:
    """Return a version."""
    return Target(version=version, digest=f"{version:064x}")


class Rollouts(RuleBasedStateMachine):
    """Anything may happen next."""

    def __init__(self) -> None:
        """Begin with version 1 live."""
        super().__init__()
        self.state = ServiceState(service="predict", live=target(1))
        self.before = self.state
        self.event: Event | None = None
        self.commands: tuple[Command, ...] = ()
        self.now_s = 0.0
        self.shown: Shown = "green"

    def do(self, event: Event) -> None:
        """Have something happen."""
        self.before, self.event = self.state, event
        self.state, commands = step(self.state, event, POLICY, self.now_s)
        wanted = (Promote, Quarantine, Return, Replay)
        self.commands = tuple(one for one in commands if isinstance(one, wanted))

    def drills(self) -> tuple[Drilled, ...]:
        """Return what the last drill showed."""
        return (Drilled(fault="model_raise", shown=self.shown, at_s=self.now_s, drill="d"),)

    def heading(self, state: ServiceState) -> Heading:
        """Return where requests go."""
        return heading_of(state, POLICY, labels=False)

    @initialize(looks=st.integers(0, 40))
    def come_so_far(self, looks: int) -> None:
        """Begin with a rollout that has come some way."""
        self.do(Started(candidate=target(2), by=BY))
        self.check()
        self.go_well(times=looks)

    @rule(times=st.integers(1, 12))
    def go_well(self, times: int) -> None:
        """Looks at which all is well."""
        self.look(bad=4, theirs=4, n=400, gateways=1, ready=True, after_s=10, times=times)

    @rule(
        version=st.integers(1, 6), supersede=st.booleans(), second=st.sampled_from(["", "bob"]),
        barred=st.sampled_from(["", "", "", "it raised"]), override=st.booleans(),
    )  # fmt: skip
    def start(
        self, version: int, *, supersede: bool, second: str, barred: str, override: bool
    ) -> None:
        """Somebody orders a rollout."""
        self.do(Started(
            candidate=target(version), by=BY, because="new", supersede=supersede,
            second=second, barred=barred, override=override,
        ))  # fmt: skip
        if barred and not (override and second):
            assert self.state.current == self.before.current
            assert self.state.waiting == self.before.waiting

    @rule(
        bad=st.sampled_from([0, 0, 0, 0, 2, 40]), theirs=st.sampled_from([0, 1, 1, 60]),
        n=st.sampled_from([0, 60, 100, 400]), gateways=st.sampled_from([0, 1, 1, 1, 1]),
        ready=st.sampled_from([True, True, True, False]),
        after_s=st.sampled_from([10, 10, 31, 400]),
        times=st.integers(1, 6),
    )  # fmt: skip
    def look(
        self, *, bad: int, theirs: int, n: int, gateways: int, ready: bool, after_s: int, times: int
    ) -> None:
        """Looks, several alike, so that a rollout gets somewhere."""
        for _ in range(times):
            self.now_s += after_s
            look = Look(gateways=0)
            if gateways:
                look = Look(
                    candidate=Tally(n, min(bad, n), 0, min(n, bad + n // 20), min(n, bad)),
                    baseline=Tally(400, theirs, 0, 20 + theirs, 4 + theirs),
                    sentinel=Tally(200, theirs // 2, 0, 10 + theirs // 2, 2 + theirs // 2),
                    gateways=1,
                )
            cutoffs = (0.05, 0.1)
            self.do(Looked(look=look, ready=ready, cutoffs=cutoffs, drills=self.drills()))
            self.check()

    @rule()
    def drill(self) -> None:
        """A drill finds nobody hurt any more."""
        self.shown = "green"

    @rule(what=st.sampled_from(["pause", "resume", "go on", "abort", "trip", "promote", "back"]),
          kind=st.sampled_from(["crash_loop", "non_finite", "killed"]))  # fmt: skip
    def trouble(self, what: str, kind: str) -> None:
        """Somebody orders something, or a gateway meets a hard fault."""
        match what:
            case "pause" | "resume" | "go on":
                self.do(Paused(by=BY) if what == "pause" else Resumed(by=BY))
            case "promote":
                self.do(PromotedByHand(by=BY))
            case "back":
                self.do(RolledBackByHand(by=BY))
            case "abort":
                self.abort()
            case _:
                self.trip(kind)

    def abort(self) -> None:
        """Somebody aborts: it works wherever the rollout is."""
        self.do(Aborted(by=BY))
        if self.before.current is not None:
            assert self.state.current is None or self.state.current.phase == "rolling_back"
            assert self.heading(self.state) == Heading()

    def trip(self, kind: str) -> None:
        """A hard fault ends it at once, and the same fault again changes nothing."""
        current = self.state.current
        name = "other-1" if current is None else self.state.name_of(current)
        self.do(Tripped(rollout=name, kind=kind))
        assert self.heading(self.state) == Heading()
        again, commands = step(self.state, Tripped(rollout=name, kind=kind), POLICY, self.now_s)
        assert (again, commands) == (self.state, ())

    @precondition(lambda self: self.commands)
    @rule(
        able=st.sampled_from([True, True, True, False]), passed=st.booleans(),
        shown=st.sampled_from(["green", "green", "red"]),
    )  # fmt: skip
    def obey(self, *, able: bool, passed: bool, shown: Shown) -> None:
        """The registry, or the replay, does what was wanted, or cannot."""
        for command in self.commands:
            match command:
                case Replay():
                    failing = {"E": (9, 0 if passed else 1)}
                    outcome = ReplayOutcome(failing=failing, kinds=("raised",))
                    self.shown = shown
                    drills = self.drills()
                    self.do(Replayed(rollout=command.rollout, outcome=outcome, drills=drills))
                case Promote() | Quarantine():
                    what, version = type(command).__name__.lower(), command.version
                    self.do(Done(what=what, version=version, pack=3) if able
                            else Unable(what=what, version=version, because="no"))  # fmt: skip
                case Return():
                    self.do(Done(what="return", version=command.of))
                case _:
                    pass
            self.check()
        self.commands = ()

    @precondition(lambda self: self.now_s % 30 == 0)
    @rule(version=st.integers(1, 6))
    def by_hand(self, version: int) -> None:
        """Somebody changes the champion in the registry."""
        self.do(LiveChanged(live=target(version), by="bob"))
        if not self.before.returning:
            assert self.state.live == target(version)

    @invariant()
    def check(self) -> None:
        """Check all that holds between the state before and the state now."""
        self._check_going_on()
        self._check_going_back()
        data = msgspec.json.encode(self.state)
        assert msgspec.json.decode(data, type=ServiceState) == self.state

    def _check_going_on(self) -> None:
        """More subjects: only by a look, one step, with exposure, and never in a pause."""
        old, new = self.before.current, self.state.current
        if new is None:
            return
        if old is None or old.number != new.number:
            assert new.trial == Trial()
            assert self.heading(self.state).weight == 0
            return
        if old.place == "requalifying" and new.place != "requalifying":
            assert self.shown == "green", "a drill that found somebody hurt holds it"
        was, now = weight_of(old, POLICY), weight_of(new, POLICY)
        if now <= was or self.before is self.state:
            return
        assert isinstance(self.event, Looked)
        assert self.event.look.gateways
        assert not old.paused_by
        assert now in steps_of(new, POLICY)
        if was or old.place == "shadow":
            assert old.trial.requests + old.trial.joined.candidate.n + (
                self.event.look.candidate.n
            ) >= least_requests(old, POLICY)
            assert old.trial.looks + 1 >= POLICY.looks_min
            assert self.now_s - old.step_from_s >= least_s(old, POLICY)
            assert new.step == old.step + (old.place != "shadow")

    def _check_going_back(self) -> None:
        """Whoever was live when it began is who is returned to; one is under way at most."""
        numbers = [one.number for one in (*self.state.waiting, *filter(None, [self.state.current]))]
        assert len(set(numbers)) == len(numbers)
        old, new = self.before.current, self.state.current
        if old is None or (new is not None and new.number == old.number):
            return
        if isinstance(self.event, LiveChanged):
            return
        ended = next(
            one for one in reversed(self.state.ended) if one.name == self.state.name_of(old)
        )
        if ended.phase == "live":
            assert self.state.live == old.candidate
            assert self.state.previous == old.last_live
        else:
            assert self.state.live == self.before.live


Rollouts.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRollouts = Rollouts.TestCase
