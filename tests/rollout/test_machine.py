"""Rollouts as stories: each way that one can go, and the sentence that is said about it."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from benchmarks.rollout_world import CUTOFFS, LIVE, NEW, Truth, World, simulate

from firedoor.rollout.counts import Look, Tally
from firedoor.rollout.drilled import Drilled, Shown
from firedoor.rollout.events import (
    Aborted,
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
)
from firedoor.rollout.machine import step
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.rollout.stages import heading_of
from firedoor.rollout.state import Ended, ServiceState, Target
from firedoor.rollout.telling import why_waiting

POLICY = RolloutPolicy()
GUILTY = Ended(
    name="predict-1", version=2, content="c", phase="quarantined", verdict="errors", at_s=0.0,
    guilty=True, pack=40,
)  # fmt: skip


class Story:
    """A service, and what happens to it."""

    def __init__(
        self, policy: RolloutPolicy = POLICY, *, errors: float = 1.0, **state: object
    ) -> None:
        """Begin with version 1 live, at 200 requests a second."""
        self.policy = policy
        self.state = ServiceState(service="predict", live=LIVE, **state)  # type: ignore[arg-type]
        self.world = World(truth=Truth(rps=200, errors=errors), chance=random.Random(4))
        self.commands: tuple[object, ...] = ()

    @property
    def now_s(self) -> float:
        """Return seconds since the story began."""
        return self.world.now_s

    def do(self, event: Event) -> Story:
        """Have something happen."""
        self.state, self.commands = step(self.state, event, self.policy, self.now_s)
        return self

    def look(self, times: int = 1, *, ready: bool = True, silent: bool = False) -> Story:
        """Look at what came in ten seconds."""
        for _ in range(times):
            heading = heading_of(self.state, self.policy, labels=False)
            look = self.world.look(heading)
            look = Look() if silent else look
            self.do(Looked(look=look, ready=ready, cutoffs=CUTOFFS))
        return self

    def look_until(self, place: str, within: int = 400) -> Story:
        """Look until the rollout is somewhere."""
        for _ in range(within):
            if self.place == place:
                return self
            self.look()
        raise AssertionError(self.waits)

    @property
    def place(self) -> str:
        """Return where the rollout is: its phase, and the step's share."""
        current = self.state.current
        if current is None:
            return self.state.ended[-1].phase if self.state.ended else "none"
        if current.phase == "canary":
            return f"{self.weight:g}"
        return current.phase

    @property
    def weight(self) -> float:
        """Return the candidate's share."""
        return heading_of(self.state, self.policy, labels=False).weight

    @property
    def waits(self) -> str:
        """Return why it waits."""
        return why_waiting(self.state, self.policy, self.now_s, labels=False)

    def wanted(self, kind: type) -> object:
        """Return the command of a kind."""
        return next(command for command in self.commands if isinstance(command, kind))


def started(policy: RolloutPolicy = POLICY, **more: object) -> Story:
    """Return a story in which a rollout has begun."""
    return Story(policy, **more).do(Started(candidate=NEW, by="ann"))  # type: ignore[arg-type]


def test_it_says_what_it_waits_for_at_every_step() -> None:
    story = started()
    assert story.waits.startswith("the candidate is loaded")
    story.look_until("shadow").look(4)
    assert "shadow: 2,019 of at least 1,000 requests, 1 of 5" in story.waits
    assert "looks, 20 s to go; evidence that it is worse" in story.waits
    story.look_until("0.01").look(2)
    assert re.match(r"1 %: \d\d of at least 200 requests, 2 of 5 looks", story.waits)
    story.look_until("0.25").look(1)
    assert "25 %: " in story.waits
    story.do(Paused(by="bob"))
    assert story.waits.startswith("paused by bob; it is rolled back all the same")


def test_it_says_how_many_requests_a_verdict_takes() -> None:
    story = started(replace(POLICY, beta=0.001, steps=(0.1, 1.0)))
    story.look_until("0.1").look(4)
    assert re.match(r"10 %: \d\d\d of about \d,\d\d\d requests to tell twice", story.waits)
    assert "requests to tell twice as many" in story.waits


def test_a_pause_freezes_its_share_and_no_test() -> None:
    story = started(errors=1.0).look_until("0.05").do(Paused(by="bob"))
    story.look(400)
    assert story.place == "0.05"
    story.world.truth = Truth(rps=200, errors=10.0)
    story.look(10)
    assert story.place == "rolling_back"
    story = started().look_until("0.05").do(Paused(by="bob")).look(300)
    story.do(Resumed(by="bob")).look_until("0.25", within=10)


def test_no_verdict_holds_and_much_later_goes_back_without_blame() -> None:
    story = started(replace(POLICY, requests_min=10**7)).look_until("0.01").look(185)
    assert story.place == "held"
    assert "no verdict at 1 % within 30 min" in story.state.said[-1].because
    assert story.weight == 0.01
    story.look(540)
    assert story.place == "rolled_back"
    assert not story.state.ended[-1].guilty


def test_silence_holds_and_is_no_step_forward() -> None:
    story = started().look_until("0.05").look(10_000 // 10, silent=True)
    assert story.place == "rolled_back"
    story = started().look_until("0.05").look(4, silent=True)
    assert story.waits.startswith("no gateway speaks")
    assert story.look().place == "0.05"


def test_a_sick_champion_holds() -> None:
    story = started().look_until("0.05")
    well = story.world.truth
    for _ in range(8):
        story.world.truth = replace(well, base=0.2)
        story.look()
    assert "the champion itself was sick" in story.waits
    story.world.truth = well
    story.look_until("0.25")


def test_blue_green_is_one_step_with_a_warm_way_back() -> None:
    story = started(RolloutPolicy(steps=(1.0,))).look_until("bake")
    assert story.weight == 1
    story.look(3)
    story.world.truth = Truth(rps=200, errors=10.0)
    story.look(10)
    assert story.place == "rolling_back"
    assert heading_of(story.state, story.policy, labels=False).candidate is None
    story = started(RolloutPolicy(steps=(1.0,))).look_until("bake").look(181)
    assert story.wanted(Promote) == Promote(
        version=2,
        because=story.wanted(Promote).because,  # type: ignore[attr-defined]
    )


def test_what_looks_wrong_once_it_serves_everybody_is_compared_again() -> None:
    story = started().look_until("bake").look(3)
    story.world.truth = replace(story.world.truth, base=0.03)
    story.look(12)
    assert story.place == "0.5"
    assert "compared again" in story.state.said[-1].because
    story.look_until("bake", within=60)


def test_a_superseded_rollout_ends_and_another_start_waits() -> None:
    third = Target(version=3, digest="3" * 64)
    story = started().look_until("0.05").do(Started(candidate=third, by="bob"))
    assert len(story.state.waiting) == 1
    fourth = Target(version=4, digest="4" * 64)
    story.do(Started(candidate=fourth, by="eve", supersede=True))
    assert story.state.current is not None
    assert story.state.current.candidate == fourth
    assert story.state.ended[-1].verdict == "superseded by version 4"
    assert story.state.current.trial.requests == 0
    story.do(Aborted(by="eve")).look()
    assert story.state.current.candidate == third


@pytest.mark.parametrize(
    ("event", "state", "why"),
    [
        (Started(candidate=NEW, by="ann", barred="it raised"), {}, "quarantined (it raised)"),
        (
            Started(candidate=NEW, by="ann", barred="x", override=True, because="y", second="ann"),
            {},
            "a second person",
        ),
        (Started(candidate=NEW, by="ann", unqualified="is a candidate"), {}, "qualify it first"),
        (Started(candidate=LIVE, by="ann"), {}, "is live already"),
        (Started(candidate=NEW, by="ann"), {"ended": (GUILTY, GUILTY)}, "second person"),
        (Paused(by="ann"), {}, "no rollout is under way"),
        (Resumed(by="ann"), {}, "no rollout is paused"),
        (Aborted(by="ann"), {}, "no rollout is under way"),
        (PromotedByHand(by="ann"), {}, "no rollout has come so far"),
        (RolledBackByHand(by="ann"), {}, "no version was live before"),
    ],
)
def test_orders_that_cannot_be_obeyed_say_why(
    event: Event, state: dict[str, object], why: str
) -> None:
    story = Story(**state).do(event)  # type: ignore[arg-type]
    assert story.state.said[-1].what == "order refused"
    assert why in story.state.said[-1].because
    assert story.state.current is None


def test_a_second_person_may_agree_to_a_third_try() -> None:
    story = Story(ended=(GUILTY, GUILTY))
    story.do(Started(candidate=NEW, by="ann", second="bob"))
    assert story.place == "requalifying"


@pytest.mark.parametrize("second", ["ann", "Ann ", "ann@elsewhere", " ", "@laptop"])
def test_nobody_is_a_second_person_beside_himself(second: str) -> None:
    story = Story(ended=(GUILTY, GUILTY))
    story.do(Started(candidate=NEW, by="ann@laptop", second=second))
    assert "second person" in story.state.said[-1].because
    assert story.state.current is None


def test_a_second_chance_is_replayed_first_and_held_to_more() -> None:
    story = Story(ended=(GUILTY,)).do(Started(candidate=NEW, by="ann")).look()
    assert story.place == "requalifying"
    replay = story.wanted(Replay)
    assert isinstance(replay, Replay)
    assert (replay.pack, replay.rollout) == ("predict-1", "predict-1")
    outcome = ReplayOutcome(failing={"ValueError": (40, 0)}, good=100)
    story.do(Replayed(rollout="predict-1", outcome=outcome)).look_until("0.05")
    story.look(200)
    assert story.place == "0.05"
    assert "no more than this in its first 60 min" in story.waits
    story.look_until("0.25", within=200)


MENDED = ReplayOutcome(failing={"ValueError": (40, 0)}, good=100, kinds=("raised",))


def drilled(shown: Shown, at_s: float = 5.0) -> tuple[Drilled, ...]:
    """Return what the last drill showed."""
    return (Drilled(fault="model_raise", shown=shown, at_s=at_s, drill="d-7", why="store hurt"),)


def replayed(*drills: Drilled, policy: RolloutPolicy = POLICY) -> Story:
    """Return a second chance that does well what the last version failed at."""
    story = Story(policy, ended=(GUILTY,)).do(Started(candidate=NEW, by="ann")).look()
    return story.do(Replayed(rollout="predict-1", outcome=MENDED, drills=drills))


def test_a_second_chance_that_no_drill_speaks_for_goes_on_and_says_so_to_its_end() -> None:
    story = replayed()
    assert story.state.said[-1].what == "rollout requalified"
    assert "model_raise was never drilled" in story.state.said[-1].because
    for place in ("shadow", "0.05"):
        story.look_until(place)
        assert "model_raise was never drilled" in story.waits
    proven = replayed(*drilled("green"))
    assert "drill" not in proven.state.said[-1].because
    assert "drill" not in proven.look_until("shadow").waits


def test_a_drill_that_found_somebody_hurt_holds_a_second_chance_until_one_finds_nobody() -> None:
    story = replayed(*drilled("red"))
    assert story.state.said[-1].what == "rollout held"
    said = len(story.state.said)
    for _ in range(3):
        story.do(Looked(ready=True, cutoffs=CUTOFFS, drills=drilled("red")))
    assert (story.place, story.weight, len(story.state.said)) == ("held", 0.0, said)
    assert "store hurt (drill d-7)" in story.waits
    assert not story.commands, "nothing is replayed again"
    story.do(Looked(ready=True, cutoffs=CUTOFFS, drills=drilled("green", 9.0)))
    assert story.state.said[-1].what == "rollout requalified"
    story.look_until("shadow")


def test_where_a_drill_is_needed_a_second_chance_waits_for_it_and_not_for_ever() -> None:
    needed = RolloutPolicy(need_drill=True)
    story = replayed(policy=needed)
    assert "model_raise was never drilled" in story.waits
    story.do(Paused(by="ann")).look(2_000)
    assert story.place == "held", "a pause is no part of its time"
    story.do(Resumed(by="ann")).look()
    assert story.place == "held"
    story.look(4 * 181)
    assert story.place == "rolled_back"
    assert "model_raise was never drilled" in story.state.ended[-1].verdict
    assert not story.state.ended[-1].guilty
    replayed(*drilled("green"), policy=needed).look_until("shadow")


def test_a_second_chance_that_fails_its_replay_gets_no_request() -> None:
    story = Story(ended=(GUILTY,)).do(Started(candidate=NEW, by="ann"))
    outcome = ReplayOutcome(failing={"ValueError": (40, 2)}, good=100)
    story.do(Replayed(rollout="predict-1", outcome=outcome))
    assert story.place == "rolled_back"
    assert "still fails: 2 of 40 ValueError" in story.state.ended[-1].verdict


def test_a_hard_fault_bars_the_content_until_the_registry_knows() -> None:
    story = started().look_until("0.05")
    story.do(Tripped(rollout="predict-1", kind="misshaped", detail="3 rows of 4"))
    assert story.weight == 0
    for _ in range(2):
        assert isinstance(story.wanted(Quarantine), Quarantine)
        story.look()
    story.do(Done(what="quarantine", version=2, pack=9))
    assert (story.place, story.state.ended[-1].pack) == ("quarantined", 9)
    assert story.state.ended[-1].verdict == "its answers are not what it declares: 3 rows of 4"


def test_a_rollback_of_what_is_live_needs_no_registry_to_begin() -> None:
    story = Story(previous=NEW).do(RolledBackByHand(by="ann", because="odd"))
    assert story.state.live == NEW
    story.do(LiveChanged(live=LIVE))
    assert story.state.live == NEW
    assert story.look().wanted(Return) == Return(of=1, to=2, because="a rollback was not kept yet")
    story.do(Done(what="return", version=1)).do(LiveChanged(live=NEW, previous=LIVE))
    assert (story.state.live, story.state.returning) == (NEW, False)


def test_a_champion_that_changes_ends_what_was_compared_with_it() -> None:
    third = Target(version=3, digest="3" * 64)
    story = started().look_until("0.05").do(LiveChanged(live=third, by="bob"))
    assert story.place == "rolled_back"
    assert story.state.live == third
    story = started().look_until("0.05").do(LiveChanged(live=NEW, by="bob"))
    assert (story.place, story.state.live) == ("live", NEW)


def test_a_bad_slice_stays_with_the_champion_while_the_rest_goes_on() -> None:
    truth = Truth(rps=200, slices={
        "carrier=AA": (0.5, 1.0), "carrier=DL": (0.4, 1.0), "carrier=UA": (0.1, 12.0),
    })  # fmt: skip
    found = [simulate(truth, POLICY, seed, most_s=3_600, columns=1) for seed in range(6)]
    held = [one for one in found if one.held_slices == ("carrier=UA",)]
    assert len(held) >= 5
    assert all(one.phase == "bake" for one in held)
    assert not any(one.phase == "live" for one in found)


def test_a_bad_slice_is_held_until_a_person_decides() -> None:
    story = started(replace(POLICY, bake_s=60)).look_until("bake")
    assert story.state.current is not None
    story.state = replace(
        story.state, current=replace(story.state.current, held_slices=("carrier=UA",))
    )
    story.look(900)
    assert story.waits == "all is well but for carrier=UA: promote it for all, or roll it back"
    assert story.do(PromotedByHand(by="ann")).wanted(Promote) == Promote(
        version=2, because="ann said so", anyway=True
    )


def test_an_abort_does_not_spare_what_is_being_barred() -> None:
    story = started().look_until("0.05").do(Tripped(rollout="predict-1", kind="crash_loop"))
    story.do(Aborted(by="ann")).do(RolledBackByHand(by="ann"))
    assert story.place == "rolling_back"
    assert isinstance(story.look().wanted(Quarantine), Quarantine)


def test_the_last_look_of_a_step_has_to_be_one_at_which_somebody_spoke() -> None:
    story = started(replace(POLICY, step_s=100)).look_until("shadow").look(9)
    story.look(silent=True)
    assert story.place == "shadow"
    assert story.look().place == "0.01"


def test_a_look_of_nothing_is_no_look() -> None:
    story = started().look_until("0.05")
    before = story.state.current
    assert before is not None
    story.do(Looked(look=Look(candidate=Tally(), gateways=1), ready=True))
    assert story.state.current is not None
    assert story.state.current.trial.looks == before.trial.looks
