"""What a drill may not do: spend too much, go on where others are worse, leave one unwell."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import msgspec
import pytest

from compose.drill_world import CLOCK, Feels, Second, World, make_drilled, matrix
from firedoor.compose.drill_stopping import stop_drills
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.matrix import Asked
from firedoor.drill.report import Report
from firedoor.drill.spending import Remaining
from firedoor.errors import DrillRefused
from firedoor.events.happened import Happened
from firedoor.events.objective import INDICATORS

ZONES = ("flights", "clean", "store", "audit")
ROWS = 1_000
"""A second: enough for a rate of a few in a thousand to be seen."""


def left(share: float = 1.0, **zones: float) -> tuple[Remaining, ...]:
    """Return what is left of each budget: this share, but of some zones another."""
    return tuple(
        Remaining(zone=zone, indicator=each, left=zones.get(zone, share))
        for zone in ZONES
        for each in INDICATORS
    )


def production(feels: Feels, remaining: tuple[Remaining, ...] | None = None) -> World:
    """Return a pipeline in production whose zones allow a kill."""
    world = World(feels=feels, plan=make_drilled("production", ("kill",)))
    world.remaining = left() if remaining is None else remaining
    return world


def drilled(world: World, **more: object) -> Report:
    return world.report(matrix(**more), environment="production", allowed=True)


def well(zone: str, faults: Mapping[str, Fault]) -> Second:
    del zone, faults
    return Second(rows=ROWS)


def worse(zone: str, faults: Mapping[str, Fault]) -> Second:
    """Have ``audit`` lose 0.5 % while ``clean`` is faulted: it promises 99 %, and lost nothing."""
    return Second(rows=ROWS, lost=5 if zone == "audit" and "clean" in faults else 0)


def texts(world: World) -> str:
    return "\n".join(moment.text for moment in world.told)


def refused(remaining: tuple[Remaining, ...]) -> str:
    """Return why a drill in production is refused where so much is left."""
    told: list[str] = []

    async def story(world: World) -> None:
        with pytest.raises(DrillRefused) as refusal:
            await world.drill(matrix(), environment="production", allowed=True).run()
        told.append(str(refusal.value))

    production(well, remaining).play(story)
    return told[0]


def test_production_is_refused_where_nobody_says_what_is_left_of_a_budget() -> None:
    assert "error budget of audit for freshness is not known" in refused(left()[:-1])


@pytest.mark.parametrize("zone", ["clean", "audit"])
def test_production_is_refused_where_a_fault_could_spend_too_much_inside_or_outside(
    zone: str,
) -> None:
    assert f"of what is left of the error budget of {zone} for" in refused(left(**{zone: 0.0001}))


def test_in_development_that_is_told_and_the_drill_begins() -> None:
    world = World(feels=well, remaining=left(audit=0.0001))
    assert world.report(matrix()).exit_code == 0
    assert "in production this would be refused: it could spend" in texts(world)


def test_production_with_enough_left_is_drilled() -> None:
    made = drilled(production(well))
    assert made.exit_code == 0


def test_in_production_a_zone_outside_that_is_worse_than_in_the_warm_up_ends_the_drill() -> None:
    made = drilled(production(worse), for_s=60.0)
    assert made.exit_code == 4
    assert "audit: " in made.stopped
    assert "more than 2 times as many" in made.stopped
    assert made.rows[0].for_s <= 30
    cell = made.rows[0].cell("audit")
    assert cell is not None
    assert cell.verdict == "kept"  # it keeps its promise, and is worse for all that


def test_in_development_it_is_told_and_the_verdict_waited_for() -> None:
    world = World(feels=worse)
    made = world.report(matrix(for_s=60.0))
    assert made.exit_code == 0
    assert made.rows[0].for_s == 60
    assert texts(world).count("in production the fault would be taken back") == 1


def test_in_production_a_zone_outside_that_spends_its_share_of_the_budget_ends_the_drill() -> None:
    """It loses 0.8 %, as it always does, and promises 99 %: but little is left of its budget."""

    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        del faults
        return Second(rows=ROWS, lost=8 if zone == "audit" else 0)

    little = [
        dataclasses.replace(each, left=0.12, period_days=1.0) if each.zone == "audit" else each
        for each in left()
    ]
    rows = (Asked(fault="kill", zone="clean"), Asked(fault="kill", zone="store"))
    made = production(feels, tuple(little)).report(
        matrix(*rows, for_s=600.0), environment="production", allowed=True
    )
    assert made.exit_code == 4
    assert "error budget of audit for availability" in made.stopped
    assert [row.for_s < 600 for row in made.rows] == [False, True]


def test_nothing_is_left_injected_when_a_drill_is_stopped_whoever_wanted_it() -> None:
    other = Fault(
        id="x-1", drill="x", name="kill", of="process", zone="store", by="supervisor", renewal=7
    )

    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=60.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            await CLOCK.wait(20)
            await world.streams.beat("fault.store", msgspec.json.encode(other))
            await CLOCK.wait(2)
            assert set(world.faults()) == {"clean", "store"}
            drill.stop("enough")
            await CLOCK.wait(4)
            assert world.faults() == {}  # long before their leases have ended
        assert task.result().exit_code == 4

    World().play(story)


def stuck(zone: str, *, until_s: float = float("inf")) -> Feels:
    """Have a zone halt with the first fault, and stay so until then."""
    hurt: set[str] = set()

    def feels(name: str, faults: Mapping[str, Fault]) -> Second:
        hurt.update(faults)
        bad = name == zone and bool(hurt) and CLOCK.now_s() < until_s
        return Second(stale=bad, state="halted" if bad else "running")

    return feels


async def not_recovered(world: World) -> list[Happened]:
    found = [entry.happened async for entry in world.streams.entries("acts")]
    return [one for one in found if one.kind == "drill.not_recovered"]


@pytest.mark.parametrize("zone", ["store", "clean"])
def test_a_zone_that_is_not_well_again_in_time_is_in_the_ledger_with_owner_and_what_to_do(
    zone: str,
) -> None:
    async def story(world: World) -> None:
        made = await world.drill(matrix()).run()
        assert made.exit_code == 1
        assert f"not recovered from kill in clean: {zone} is not well" in made.verdict
        (entry,) = await not_recovered(world)
        assert (entry.zone, entry.code, entry.about) == (zone, "kill", "d1")
        assert entry.cause == "drill:d1-1"
        assert entry.facts["owner"] == f"{zone}@example.com"
        assert entry.facts["to_do"] == f"firedoor why {zone}, firedoor zone restart {zone}"
        assert str(entry.facts["seen"]).startswith("running, halted") or "halted" in entry.text

    World(feels=stuck(zone)).play(story)


def test_in_production_no_other_fault_is_injected_while_a_zone_is_not_well() -> None:
    rows = (Asked(fault="kill", zone="clean"), Asked(fault="kill", zone="store"))
    made = production(stuck("clean")).report(matrix(*rows), environment="production", allowed=True)
    assert [row.name for row in made.rows] == ["kill in clean"]
    assert "stopped: kill in clean left zones that are not well" in made.verdict


def test_a_zone_that_is_not_well_though_nothing_was_injected_has_not_failed_to_recover() -> None:
    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        del faults
        bad = zone == "store" and CLOCK.now_s() > 15
        return Second(stale=bad, state="halted" if bad else "running")

    made = World(feels=feels, deaf=frozenset({"clean"})).report(matrix())
    assert made.exit_code == 3
    assert made.rows[0].unrecovered == ()


def test_one_that_is_well_again_in_time_is_not() -> None:
    async def story(world: World) -> None:
        made = await world.drill(matrix()).run()
        assert made.rows[0].unrecovered == ()
        assert await not_recovered(world) == []

    World(feels=stuck("store", until_s=30.0)).play(story)


def test_a_drill_that_is_stopped_waits_until_all_are_well_and_says_who_is_not() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=60.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            await CLOCK.wait(20)
            await stop_drills(world.streams, CLOCK, by="bob", because="enough")
        made = task.result()
        assert made.exit_code == 1
        assert "stopped: bob stopped it: enough" in made.verdict
        assert [each.zone for each in made.rows[0].unrecovered] == ["clean"]
        (entry,) = await not_recovered(world)
        assert entry.because == "bob stopped it: enough"

    World(feels=stuck("clean")).play(story)


def test_whoever_interrupts_twice_is_not_kept_waiting() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=60.0, recover_s=600.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            await CLOCK.wait(20)
            drill.interrupt("asked to end by a signal")
            await CLOCK.wait(30)
            assert not task.done()
            drill.interrupt("asked to end by a signal")
            began_s = CLOCK.now_s()
        assert CLOCK.now_s() - began_s < 20
        assert task.result().exit_code == 4
        assert world.faults() == {}
        assert await not_recovered(world) == []

    World(feels=stuck("clean")).play(story)


def test_a_broker_that_does_not_come_back_is_not_taken_for_all_being_well() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(settle_s=10.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            while not any("it is over" in moment.text for moment in world.told):
                await CLOCK.wait(0.5)
            world.store.down()
            await CLOCK.wait(25)
            world.store.up()
        (one,) = task.result().rows[0].unrecovered
        assert one.zone == "broker"
        assert (await not_recovered(world))[0].zone == "broker"

    World().play(story)


def test_a_machine_that_is_too_busy_without_a_fault_is_no_breach() -> None:
    made = World(feels=lambda *_: Second(lost=20)).report(matrix())
    assert made.exit_code == 3
    assert "drill on a machine that is less busy" in made.verdict


def test_what_another_process_still_injects_after_a_stop_is_told() -> None:
    async def stubborn(world: World) -> None:
        said = Injected(id="x-9", name="kill", zone="store", process="x", since_s=0.0, hits=1)
        while True:
            await world.streams.beat("injected.store.x", msgspec.json.encode(said))
            await CLOCK.wait(1)

    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=60.0))
        async with asyncio.TaskGroup() as group:
            others = group.create_task(stubborn(world))
            task = group.create_task(drill.run())
            await CLOCK.wait(20)
            drill.stop("enough")
            await CLOCK.wait(60)
            others.cancel()
        assert task.result().exit_code == 5

    World().play(story)
