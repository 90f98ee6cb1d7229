"""When a bounded run is over, while zones halt, pause, die and go on as they are drawn to."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from control.world import make_plan
from firedoor.compose import ending
from firedoor.compose.ending import Stuck, ZoneFacts
from firedoor.control.status import Snapshot
from firedoor.ports.streams import Depth
from firedoor.wire.records import Order, State, ZoneStatus
from flow.drawn import many

PLAN = make_plan()
ZONES = [zone.name for zone in PLAN.zones]
EDGES = [edge.name for edge in PLAN.edges]
SOURCE = "flights"

Needs = Literal["a person", "nothing", "a batch", "time"]
STANDS: dict[tuple[State, str], Needs] = {
    ("running", ""): "a batch",
    ("throttled", "throttle_share"): "a batch",
    ("starting", ""): "time",
    ("draining", ""): "time",
    ("stopped", ""): "time",
    ("paused", "dependency_down"): "time",
    ("blocked", "broker_away"): "time",
    ("blocked", "inbox_full"): "nothing",
    ("paused", "ordered"): "a person",
    ("paused", "dead_letters_full"): "a person",
    ("halted", "contrast"): "a person",
    ("halted", "dead_max"): "a person",
}
"""What has to come before a zone in such a state can do anything; ``nothing``: room, by others."""
zones = st.sampled_from(ZONES)


def says(zone: str, state: State, code: str = "") -> ZoneStatus:
    """Return the beat of a zone."""
    return ZoneStatus(
        zone=zone, replica="here-1", pid=1, version="1", state=state, since_s=0.0, at_s=0.0,
        code=code, cause=f"because of {code}" if code else "",
    )  # fmt: skip


def holds(messages: int) -> Depth:
    return Depth(messages, 100 * messages, 10_000, 0, None)


def world(
    broker: Literal["up", "down"] = "up", **inboxes: int
) -> tuple[dict[str, ZoneFacts], Snapshot]:
    """Return a pipeline whose source has no more and whose zones wait for batches."""
    facts = {name: ZoneFacts(status=says(name, "running")) for name in ZONES}
    facts[SOURCE] = ZoneFacts(status=says(SOURCE, "done"), done=True, up=False)
    depths = {edge: holds(inboxes.get(edge.partition(":")[2], 0)) for edge in EDGES}
    return facts, Snapshot(pipeline="year", at_s=0.0, broker=broker, depths=depths)


class Ending(RuleBasedStateMachine):
    """A supervisor's picture of a pipeline, and a list of who could still do something."""

    @initialize()
    def start(self) -> None:
        self.facts, self.snapshot = world()
        self.resumes(SOURCE)

    @rule(zone=zones, stands=st.sampled_from(list(STANDS)))
    def a_zone_comes_to_stand_so(self, zone: str, stands: tuple[State, str]) -> None:
        self.facts[zone] = replace(self.facts[zone], status=says(zone, *stands), up=True)

    @rule(zone=zones)
    def a_process_dies(self, zone: str) -> None:
        self.facts[zone] = replace(self.facts[zone], up=False)

    @rule(zone=zones)
    def a_process_is_started_and_has_said_nothing(self, zone: str) -> None:
        self.facts[zone] = replace(self.facts[zone], up=True, status=None)

    @rule(zone=zones)
    def its_processes_die_again_and_again(self, zone: str) -> None:
        self.facts[zone] = replace(self.facts[zone], looping=True)

    @rule(zone=zones, because=st.sampled_from(["", "a new disk"]))
    def a_person_has_it_drain(self, zone: str, because: str) -> None:
        order = Order(want="drain", because=because)
        self.facts[zone] = replace(self.facts[zone], order=order)

    @rule(zone=zones)
    def resumes(self, zone: str) -> None:
        self.facts[zone] = ZoneFacts(status=says(zone, "running"))

    @rule()
    def the_source_has_no_more(self) -> None:
        self.facts[SOURCE] = ZoneFacts(status=says(SOURCE, "done"), done=True, up=False)

    @rule()
    def all_zones_are_at_rest(self) -> None:
        self.facts, quiet = world()
        self.snapshot = msgspec.structs.replace(self.snapshot, depths=quiet.depths)

    @rule(edge=st.sampled_from(EDGES), messages=st.sampled_from([0, 0, 1, 9]))
    def an_inbox_fills_or_empties(self, edge: str, messages: int) -> None:
        depths = {**self.snapshot.depths, edge: holds(messages)}
        self.snapshot = msgspec.structs.replace(self.snapshot, depths=depths)

    @rule(broker=st.sampled_from(["up", "up", "down"]))
    def the_broker_comes_or_goes(self, broker: Literal["up", "down"]) -> None:
        self.snapshot = msgspec.structs.replace(self.snapshot, broker=broker)

    def needs(self, zone: str) -> Needs:
        """Return what has to come before a zone can do anything."""
        fact = self.facts[zone]
        if fact.done:
            return "nothing"
        if fact.order.want == "drain" or fact.looping:
            return "a person"
        if not fact.up or fact.status is None:
            return "time"
        needs = STANDS[fact.status.state, fact.status.code]
        if needs == "a batch" and (zone == SOURCE or self.waiting(zone)):
            return "time"
        return needs

    def waiting(self, zone: str) -> int:
        inboxes = [edge for edge in EDGES if edge.endswith(f":{zone}")]
        return sum(self.snapshot.depths[edge].messages for edge in inboxes)

    @invariant()
    def a_run_is_stuck_when_nobody_can_do_anything_and_somebody_needs_a_person(self) -> None:
        needs = {zone: self.needs(zone) for zone in ZONES}
        expected = [zone for zone in ZONES if needs[zone] == "a person"]
        if "time" in needs.values() or self.snapshot.broker == "down":
            expected = []
        found = ending.stuck(PLAN, self.facts, self.snapshot)
        assert [hit.zone for hit in found] == expected
        assert all(hit.why and hit.next_command for hit in found)

    @invariant()
    def all_is_through_when_the_source_has_no_more_and_no_inbox_holds_any(self) -> None:
        through = self.facts[SOURCE].done and not any(map(self.waiting, ZONES))
        through = through and self.snapshot.broker == "up"
        assert ending.all_through(PLAN, self.facts, self.snapshot) is through


TestEnding = Ending.TestCase
TestEnding.settings = many


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        (
            ZoneFacts(status=says("clean", "halted", "dead_max")),
            Stuck(
                zone="clean", state="halted", why="because of dead_max",
                next_command="firedoor why clean",
            ),
        ),
        (
            ZoneFacts(
                status=msgspec.structs.replace(
                    says("clean", "paused", "ordered"), next_command="firedoor zone resume clean"
                )
            ),
            Stuck(
                zone="clean", state="paused", why="because of ordered",
                next_command="firedoor zone resume clean",
            ),
        ),
        (
            ZoneFacts(status=None, up=False, looping=True),
            Stuck(
                zone="clean", state="crash loop", why="its processes die again and again",
                next_command="firedoor why clean",
            ),
        ),
        (
            ZoneFacts(status=None, up=False, order=Order(want="drain")),
            Stuck(
                zone="clean", state="drained", why="drained by a person",
                next_command="firedoor zone resume clean",
            ),
        ),
        (
            ZoneFacts(status=None, up=False, order=Order(want="drain", because="a new disk")),
            Stuck(
                zone="clean", state="drained", why="a new disk",
                next_command="firedoor zone resume clean",
            ),
        ),
    ],
)  # fmt: skip
def test_who_waits_for_a_person_is_named_with_what_to_do(fact: ZoneFacts, told: Stuck) -> None:
    facts, snapshot = world(clean=3)
    assert ending.stuck(PLAN, {**facts, "clean": fact}, snapshot) == (told,)


@pytest.mark.parametrize(("state", "code"), list(STANDS))
@pytest.mark.parametrize("up", [True, False])
def test_beside_a_zone_that_halted_each_state_is_rest_or_not(
    state: State,
    code: str,
    up: bool,  # noqa: FBT001 - drawn
) -> None:
    facts, snapshot = world(clean=3)
    facts["clean"] = ZoneFacts(status=says("clean", "halted", "dead_max"))
    facts["store"] = ZoneFacts(status=says("store", state, code), up=up)
    needs = STANDS[state, code] if up else "time"
    expected = {"time": [], "a person": ["clean", "store"]}.get(needs, ["clean"])
    assert [hit.zone for hit in ending.stuck(PLAN, facts, snapshot)] == expected


def test_a_halt_ends_no_run_while_a_reader_still_has_something_to_do() -> None:
    facts, snapshot = world(clean=3, store=1)
    facts["clean"] = ZoneFacts(status=says("clean", "halted", "dead_max"))
    assert ending.stuck(PLAN, facts, snapshot) == ()
    _, snapshot = world(clean=3)
    assert [hit.zone for hit in ending.stuck(PLAN, facts, snapshot)] == ["clean"]


def test_a_source_that_has_no_room_rests_and_one_whose_broker_is_away_does_not() -> None:
    facts, snapshot = world(clean=3)
    facts["clean"] = ZoneFacts(status=says("clean", "halted", "dead_max"))
    facts[SOURCE] = ZoneFacts(status=says(SOURCE, "blocked", "inbox_full"))
    assert len(ending.stuck(PLAN, facts, snapshot)) == 1
    facts[SOURCE] = ZoneFacts(status=says(SOURCE, "blocked", "broker_away"))
    assert ending.stuck(PLAN, facts, snapshot) == ()


def test_an_inbox_that_nobody_knows_of_yet_keeps_nobody_from_rest() -> None:
    facts, snapshot = world()
    snapshot = msgspec.structs.replace(snapshot, depths={})
    facts["clean"] = ZoneFacts(status=says("clean", "halted", "dead_max"))
    assert len(ending.stuck(PLAN, facts, snapshot)) == 1


def test_whatever_moves_shows_and_a_beat_alone_does_not() -> None:
    facts, snapshot = world(clean=3)
    still = ending.movement(facts, snapshot)
    said = says("clean", "running")

    def now(**more: float) -> tuple[object, ...]:
        status = msgspec.structs.replace(said, **more)
        return ending.movement({**facts, "clean": ZoneFacts(status=status)}, snapshot)

    assert now(at_s=99.0, dead=4) == still
    assert still not in (now(pid=2), now(batches=1), now(rows_in=10))
    assert ending.movement({**facts, "clean": ZoneFacts(status=None)}, snapshot) != still
    assert ending.movement(facts, world(clean=2)[1]) != still
