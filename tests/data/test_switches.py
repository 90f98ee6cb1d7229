"""A kill switch holds a zone as a pause does, says who and why, and lets go when it is lifted."""

from __future__ import annotations

import msgspec
import pytest

from control.world import make_plan
from firedoor.data.conduct import Conduct
from firedoor.data.switches import Thrown, thrown
from firedoor.spec.plan import DependencyPlan, GuardPlan, ZonePlan
from firedoor.spec.referred import ModelPlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.flags import Flag, Flags
from firedoor.wire.records import Order

GUARDED = DependencyPlan(guard=GuardPlan(name="clean->geo"))
ZONE = msgspec.structs.replace(
    make_plan().zone("clean"), depends=(GUARDED,), models={"model": ModelPlan(name="delays")}
)
PLAIN = make_plan().zone("clean")


def switch(*names: str, confirm_s: float | None = None) -> Flags:
    flag = Flag(value=True, by="ann@laptop", because="it lies", at_s=5.0, confirm_s=confirm_s)
    return Flags(flags={f"kill.clean.{name}": flag for name in names})


@pytest.mark.parametrize("name", ["ingest", "model"])
def test_a_switch_that_holds_says_who_and_why(name: str) -> None:
    found = thrown(switch(name), ZONE, now_s=10.0)
    assert found.hold == f"ann@laptop killed {name}: it lies"
    assert found.by_switch == name
    assert found.told == (found.hold,)
    assert found.guards == ()


def test_retry_has_every_guard_make_one_attempt_and_holds_nothing() -> None:
    found = thrown(switch("retry"), ZONE, now_s=10.0)
    assert found.hold == ""
    assert [(order.guard, order.want, order.number) for order in found.guards] == [("*", "once", 0)]
    assert found.noted == found.told == ("ann@laptop killed retry: it lies",)


def test_a_zone_is_not_held_by_what_it_does_not_have_or_what_is_anothers() -> None:
    assert thrown(switch("model", "retry"), PLAIN, now_s=10.0) == Thrown()
    assert thrown(switch("ingest"), make_plan().zone("store"), now_s=10.0) == Thrown()
    assert thrown(Flags(), ZONE, now_s=10.0) == Thrown()


def test_a_switch_that_nobody_confirmed_holds_on_and_says_so() -> None:
    found = thrown(switch("ingest", confirm_s=100.0), ZONE, now_s=100.0)
    assert found.hold == "ann@laptop killed ingest: it lies"
    assert found.told == ("ann@laptop killed ingest: it lies (needs confirmation)",)


# ---- what a zone does by it


def conduct(zone: ZonePlan = ZONE) -> Conduct:
    return Conduct(zone, VirtualClock(), replica="here-1")


def test_a_zone_is_held_before_it_has_taken_anything_and_goes_on_when_it_is_lifted() -> None:
    async def work() -> None:
        zone = conduct()
        zone.switch(thrown(switch("ingest"), ZONE, now_s=0.0))
        assert zone.status().state == "starting"
        zone.order(Order())
        assert zone.pull() == "rest"
        status = zone.status()
        assert (status.state, status.code) == ("paused", "ordered")
        assert status.cause == "ann@laptop killed ingest: it lies"
        assert status.next_command == "firedoor kill clean.ingest --off"
        assert status.switches == ("ann@laptop killed ingest: it lies",)
        zone.order(Order())
        assert zone.status().state == "paused", "the same order again does not end it"
        zone.switch(Thrown())
        assert zone.status().state == "running"
        assert zone.pull() == "pull"

    run(work())


def test_a_persons_pause_outlasts_a_switch_and_a_switch_outlasts_a_resume() -> None:
    async def work() -> None:
        zone = conduct()
        zone.order(Order(want="pause", because="night shift"))
        zone.switch(thrown(switch("ingest"), ZONE, now_s=0.0))
        assert zone.status().cause == "night shift"
        assert zone.status().next_command == "firedoor zone resume clean"
        zone.order(Order(generation=1))
        assert zone.status().state == "paused"
        assert zone.status().next_command == "firedoor kill clean.ingest --off"
        zone.order(Order(want="pause", generation=1, because="night shift"))
        zone.switch(Thrown())
        assert (zone.status().state, zone.status().cause) == ("paused", "night shift")

    run(work())


def test_a_killed_zone_drains_when_it_is_to_leave() -> None:
    async def work() -> None:
        zone = conduct()
        zone.order(Order())
        zone.switch(thrown(switch("ingest"), ZONE, now_s=0.0))
        zone.order(Order(want="drain"))
        assert zone.leaving

    run(work())


def test_what_does_not_hold_a_zone_is_noted_when_it_comes_and_goes() -> None:
    async def work() -> None:
        zone = conduct()
        zone.order(Order())
        retry = thrown(switch("retry"), ZONE, now_s=0.0)
        zone.switch(retry)
        zone.switch(thrown(switch("retry", confirm_s=1.0), ZONE, now_s=2.0))
        zone.switch(Thrown())
        assert [step.cause for step in zone.status().transitions][1:] == [
            "ann@laptop killed retry: it lies",
            "no more: ann@laptop killed retry: it lies",
        ]
        assert zone.status().state == "running"

    run(work())
