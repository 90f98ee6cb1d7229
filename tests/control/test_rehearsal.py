"""A rehearsal says what a replay would come to, and leaves everything as it is."""

from __future__ import annotations

import asyncio

import pytest

from control.opening import open_world
from control.world import World, make_plan
from firedoor.control import rehearsal
from firedoor.control.letters import Selection
from firedoor.control.payloads import decode_frame
from firedoor.control.rehearsal import rehearse
from firedoor.errors import DependencyDown, NotKnown, StepAtFault
from firedoor.ports.stage import DeadRows, Handled, Parcel
from firedoor.spec.plan import ZonePlan
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import DeadGroup

KEY = "KeyError at steps.py:12"
ZERO = "ZeroDivisionError at steps.py:40"


async def dead_world() -> World:
    world = await open_world(make_plan())
    await world.cut(2)
    await world.run_all(dead={103: KEY, 105: ZERO, 106: KEY, 203: KEY})
    return world


async def step(zone: ZonePlan, envelope: Envelope, payload: bytes) -> Handled:
    """Let rows pass but 106, which dies, and 105, which is dropped."""
    assert zone.name == "clean"
    ids = decode_frame(payload[: envelope.frame_bytes])["id"].to_list()
    numbers = decode_frame(payload[envelope.frame_bytes :])["row"].to_list()
    assert numbers == [row % 100 for row in ids]
    dead = None
    if 106 in ids:
        group = DeadGroup(code="exception", signature=KEY, rows=1, first_row=6, message="")
        dead = DeadRows(payload=b"", frame_bytes=0, rows=1, groups=(group,))
    dropped = {"unwanted": 1} if 105 in ids else {}
    return Handled(parcel=Parcel(b"", 0, 0), dead=dead, dropped=dropped)


def test_what_passes_dies_and_is_dropped_is_told_by_zone() -> None:
    async def run() -> None:
        world = await dead_world()
        before = [entry async for entry in world.streams.dead()]
        (told,) = await rehearse(world.streams, world.plan, Selection(), step)
        assert (told.rows, told.passed, told.dropped, told.failing) == (4, 2, 1, {KEY: 1})
        assert [entry async for entry in world.streams.dead()] == before
        assert (await world.streams.depth("flights:clean")).messages == 0

    asyncio.run(run())


def test_only_what_is_meant_is_tried() -> None:
    async def run() -> None:
        world = await dead_world()
        meant = Selection(signature="KeyError", batch="flights-000001")
        (told,) = await rehearse(world.streams, world.plan, meant, step)
        assert (told.rows, told.passed) == (2, 1)
        with pytest.raises(NotKnown, match="no dead letters in store"):
            await rehearse(world.streams, world.plan, Selection(zone="store"), step)

    asyncio.run(run())


@pytest.mark.parametrize(
    "fault",
    [StepAtFault("always fails\nat length", code="always_fails", signature=KEY),
     DependencyDown("always fails")],
)  # fmt: skip
def test_a_fault_that_would_halt_the_zone_is_told(fault: Exception) -> None:
    async def run() -> None:
        world = await dead_world()

        async def fails(*_: object) -> Handled:
            raise fault

        (told,) = await rehearse(world.streams, world.plan, Selection(), fails)
        assert told.faults == {"always fails": 4}
        assert told.passed == 0

    asyncio.run(run())


def test_sources_sinks_and_zones_that_are_gone_are_not_tried() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(unread=(2,))
        await world.run("flights:clean", dead={101: KEY})
        await world.run("clean:store", dead={103: KEY})
        plan = make_plan(("flights:store",))
        told = await rehearse(world.streams, plan, Selection(), step)
        why = {result.zone: list(result.untried) for result in told}
        assert "a source has no step" in why["flights"][0]
        assert "no longer declared" in why["clean"][0]
        assert "a sink is not tried" in why["store"][0]

    asyncio.run(run())


def test_no_more_rows_are_tried_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "ROWS_MAX", 3)

    async def run() -> None:
        world = await dead_world()
        (told,) = await rehearse(world.streams, world.plan, Selection(), step)
        assert told.rows == 4
        assert sum(told.untried.values()) == 1

    asyncio.run(run())
