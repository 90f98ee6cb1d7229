"""A drill finds what leaks, calls nothing kept that it did not see, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import pytest

from compose.drill_world import CLOCK, Second, World, make_drilled, matrix
from firedoor.compose.drill_lock import DrillLock
from firedoor.compose.drill_stopping import Stopped, stop_drills
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.matrix import Asked
from firedoor.drill.report import Report, Row
from firedoor.drill.spending import Remaining
from firedoor.errors import DeclarationError, DrillRefused, ProjectBusy
from firedoor.events.happened import Happened
from firedoor.events.kinds import Book
from firedoor.events.objective import INDICATORS


def verdicts(row: Row) -> dict[str, str]:
    return {cell.zone: cell.verdict for cell in row.cells}


def leaking(zone: str, faults: Mapping[str, Fault]) -> Second:
    """Have ``audit`` fail while ``clean`` is faulted, though it should not feel it."""
    if zone == "audit" and "clean" in faults:
        return Second(lost=50)
    return Second()


def test_a_fault_that_nobody_else_feels_is_contained() -> None:
    made = World().report(matrix())
    assert made.exit_code == 0
    assert verdicts(made.rows[0]) == dict.fromkeys(
        ("flights", "clean", "store", "audit", "end_to_end"), "kept"
    )
    assert made.rows[0].hits > 0
    assert made.rows[0].contained_s == 0
    assert made.rows[0].recovered_s == 0


def test_the_faulted_zone_is_hurt_as_expected_and_those_behind_it_starve() -> None:
    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        if "clean" not in faults:
            return Second()
        if zone == "clean":
            return Second(lost=90, state="halted")
        return Second(rows=0, stale_from="clean") if zone in {"store", "audit"} else Second()

    made = World(feels=feels).report(matrix())
    assert made.exit_code == 0
    assert verdicts(made.rows[0]) == {
        "flights": "kept", "clean": "expected", "store": "expected", "audit": "expected",
        "end_to_end": "expected",
    }  # fmt: skip


def test_a_zone_that_should_feel_nothing_and_does_is_found_and_the_fault_ends_early() -> None:
    made = World(feels=leaking).report(matrix(for_s=30.0))
    assert made.exit_code == 1
    row = made.rows[0]
    assert verdicts(row)["audit"] == "breach"
    assert verdicts(row)["store"] == "kept"
    assert "audit was hurt" in row.aborted
    assert row.for_s < 10
    assert row.recovered_s is not None
    assert "kill in clean hurt audit" in made.verdict


def test_after_a_breach_the_next_row_is_drilled() -> None:
    rows = (Asked(fault="kill", zone="clean"), Asked(fault="kill", zone="store"))
    made = World(feels=leaking).report(matrix(*rows))
    assert [verdicts(row)["audit"] for row in made.rows] == ["breach", "kept"]


def test_a_fault_that_nobody_injects_proves_nothing() -> None:
    made = World(deaf=frozenset({"clean"})).report(matrix())
    assert made.exit_code == 3
    assert set(verdicts(made.rows[0]).values()) == {"no_evidence"}
    assert "nobody injected it" in made.rows[0].why_void


def test_a_fault_that_hits_nothing_proves_nothing() -> None:
    made = World(hits=False).report(matrix())
    assert made.exit_code == 3
    assert "hit nothing" in made.rows[0].why_void


def test_an_injection_point_that_refuses_is_quoted_and_not_waited_for() -> None:
    world = World()

    async def story(world: World) -> None:
        for actor in world.actors:
            for injection in actor.injections:
                injection.environment = "production"
        began_s = CLOCK.now_s()
        made = await world.drill(matrix(for_s=300.0)).run()
        assert CLOCK.now_s() - began_s < 100
        assert "--allow-production" in made.rows[0].why_void
        assert made.exit_code == 3

    world.play(story)


def test_a_zone_too_idle_to_judge_is_no_evidence_in_its_column_alone() -> None:
    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        del faults
        return Second(rows=1 if zone == "audit" else 100)

    made = World(feels=feels).report(matrix())
    assert made.exit_code == 3
    assert verdicts(made.rows[0])["audit"] == "no_evidence"
    assert verdicts(made.rows[0])["store"] == "kept"


def test_a_pipeline_that_is_idle_as_a_whole_is_told_so_before_anything_is_injected() -> None:
    made = World(feels=lambda *_: Second(rows=0)).report(matrix())
    assert made.exit_code == 3
    assert made.rows == ()
    assert "too idle to judge" in made.verdict


def test_a_pipeline_that_says_nothing_is_told_so() -> None:
    made = World(feels=lambda *_: Second(silent=True)).report(matrix())
    assert made.exit_code == 3
    assert "is the pipeline running" in made.verdict


def test_a_zone_that_stays_hurt_is_waited_for_and_then_told() -> None:
    hurt: set[str] = set()

    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        if "clean" in faults:
            hurt.add("store")
        return Second(stale=zone in hurt)

    made = World(feels=feels).report(matrix())
    row = made.rows[0]
    assert row.recovered_s is None
    assert verdicts(row)["store"] == "breach"
    assert verdicts(row)["audit"] == "kept"


def test_a_halted_zone_is_resumed_when_the_fault_is_over() -> None:
    world = World()
    halted: set[str] = set()

    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        if zone == "clean" and faults:
            halted.add(zone)
        if b"order.clean" in b" ".join(key.encode() for key in world.store.values):
            halted.clear()
        return Second(rows=0, state="halted") if zone in halted else Second()

    world.feels = feels
    row = world.report(matrix()).rows[0]
    assert row.recovered_s is not None
    assert any(moment.what == "order" and moment.zone == "clean" for moment in row.timeline)


def test_seeds_that_disagree_are_flaky_and_the_worst_counts() -> None:
    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        hurt = zone == "audit" and any(fault.seed == 1 for fault in faults.values())
        return Second(lost=50 if hurt else 0)

    made = World(feels=feels).report(matrix(seeds=3))
    cell = made.rows[0].cell("audit")
    assert cell is not None
    assert (cell.code, cell.seeds) == ("B~", ("kept", "breach", "kept"))
    assert made.score.flaky
    assert made.exit_code == 1


def test_a_fault_is_renewed_for_as_long_as_it_is_wanted_and_not_longer() -> None:
    seen: list[bool] = []

    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        if zone == "flights":
            seen.append("clean" in faults)
        return Second()

    made = World(feels=feels).report(matrix(for_s=40.0))
    assert 39 <= sum(seen) <= 43
    assert made.rows[0].cleaned
    assert not seen[-1]


async def stopped_after(world: World, wait_s: float, **more: object) -> tuple[Report, Stopped]:
    """Drill, have somebody stop it after a while, and return what both found."""
    drill = world.drill(matrix(for_s=60.0, **more))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(drill.run())
        await CLOCK.wait(wait_s)
        stopped = await stop_drills(world.streams, CLOCK, by="bob@desk", because="enough")
    return task.result(), stopped


def test_whoever_stops_drills_ends_this_one_and_takes_its_fault_back() -> None:
    async def story(world: World) -> None:
        made, stopped = await stopped_after(world, 20.0)
        assert made.exit_code == 4
        assert made.stopped == "bob@desk stopped it: enough"
        assert [fault.name for fault in stopped.faults] == ["kill"]
        assert stopped.left == ()
        assert world.faults() == {}

    World().play(story)


def test_drills_are_stopped_during_the_warm_up_as_well() -> None:
    async def story(world: World) -> None:
        made, _ = await stopped_after(world, 5.0)
        assert made.exit_code == 4
        assert made.rows == ()

    World().play(story)


def test_a_stop_takes_back_what_a_dead_drill_left() -> None:
    async def story(world: World) -> None:
        fault = Fault(
            id="x-1", drill="x", name="kill", of="process", zone="store", by="supervisor",
            renewal=77,
        )  # fmt: skip
        await world.streams.beat("fault.store", msgspec.json.encode(fault))
        await CLOCK.wait(2)
        assert "store" in world.faults()
        stopped = await stop_drills(world.streams, CLOCK, by="bob", because="")
        assert [one.id for one in stopped.faults] == ["x-1"]
        assert world.faults() == {}

    World().play(story)


def test_a_file_that_stops_all_drills_ends_this_one_and_lets_none_begin() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=60.0))
        drill.halted = lambda: "CHAOS_STOP is there" if CLOCK.now_s() > 20 else ""
        made = await drill.run()
        assert made.exit_code == 4
        assert world.faults() == {}
        again = world.drill(matrix())
        again.halted = lambda: "CHAOS_STOP is there"
        with pytest.raises(DrillRefused, match="CHAOS_STOP"):
            await again.run()

    World().play(story)


def test_two_drills_at_once_are_refused_and_the_second_may_begin_after_the_first() -> None:
    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(world.drill(matrix()).run())
            await CLOCK.wait(12)
            with pytest.raises(ProjectBusy, match="d1 of ann@laptop"):
                await world.drill(matrix(), name="d2").run()
        assert first.result().exit_code == 0
        await CLOCK.wait(11)
        assert (await world.drill(matrix(), name="d3").run()).exit_code == 0

    World().play(story)


def test_one_that_is_dead_on_this_machine_holds_nobody_up() -> None:
    async def story(world: World) -> None:
        dead = DrillLock(drill="d0", by="bob", clock=CLOCK, pid=2**22 + 1)
        await dead.take(world.streams)
        lock = DrillLock(drill="d1", by="ann", clock=CLOCK)
        await lock.take(world.streams)
        await CLOCK.wait(4)
        assert await dead.renew(world.streams) == "drill d1 of ann"

    World().play(story)


def test_a_drill_that_is_killed_leaves_a_fault_that_ends_within_its_lease() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=300.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            await CLOCK.wait(20)
            assert "clean" in world.faults()
            await drill.streams.close()  # as of a process that is gone: nothing is said any more
            task.cancel()
        began_s = CLOCK.now_s()
        while world.faults():
            await CLOCK.wait(0.5)
            assert CLOCK.now_s() - began_s <= 16

    World().play(story)


def test_a_broker_that_is_away_for_long_stops_a_drill_of_something_else() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=60.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            await CLOCK.wait(20)
            world.store.down()
            await CLOCK.wait(30)
            world.store.up()
        made = task.result()
        assert made.exit_code == 4
        assert "the broker has not answered" in made.stopped

    World().play(story)


def test_production_is_refused_without_leave_and_by_zones_that_allow_nothing() -> None:
    async def story(world: World) -> None:
        with pytest.raises(DrillRefused, match="--allow-production"):
            await world.drill(matrix(), environment="production").run()
        with pytest.raises(DrillRefused, match="declare drills="):
            await world.drill(matrix(), environment="production", allowed=True).run()

    World().play(story)


def test_in_production_a_zone_outside_that_is_hurt_ends_the_whole_drill() -> None:
    rows = (Asked(fault="kill", zone="clean"), Asked(fault="kill", zone="store"))
    left = tuple(
        Remaining(zone=zone, indicator=each, left=1.0)
        for zone in ("flights", "clean", "store", "audit")
        for each in INDICATORS
    )
    world = World(feels=leaking, plan=make_drilled("production", ("kill",)), remaining=left)
    made = world.report(matrix(*rows), environment="production", allowed=True)
    assert made.exit_code == 4
    assert len(made.rows) == 1


def test_a_matrix_that_does_not_fit_is_refused_before_anybody_is_asked() -> None:
    async def story(world: World) -> None:
        with pytest.raises(DeclarationError, match="nowhere"):
            await world.drill(matrix(Asked(fault="kill", zone="nowhere"))).run()

    World().play(story)


async def entries(world: World, book: Book) -> list[Happened]:
    return [entry.happened async for entry in world.streams.entries(book)]


def test_the_ledger_has_who_drilled_what_and_what_came_of_it() -> None:
    async def story(world: World) -> None:
        await world.drill(matrix(), because="practice").run()
        acts, faults = await entries(world, "acts"), await entries(world, "happenings")
        assert [(one.kind, one.code) for one in acts] == [("drill", "began"), ("drill", "ended")]
        assert (acts[0].by, acts[0].because) == ("ann@laptop", "practice")
        assert "contained" in acts[1].text
        assert [(one.zone, one.code) for one in faults] == [("clean", "wanted"), ("clean", "over")]

    World().play(story)


def test_what_others_note_meanwhile_is_in_the_timeline_of_that_row_alone() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=20.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            for wait_s, text in ((5, "too early"), (15, "clean is halted")):
                await CLOCK.wait(wait_s)
                noted = Happened(
                    at_s=CLOCK.utc_s(), kind="zone.state", zone="clean", text=text, process="p",
                    sequence=wait_s,
                )  # fmt: skip
                await world.streams.enter(noted)
        told = [moment.text for moment in task.result().rows[0].timeline]
        assert "clean is halted" in told
        assert "too early" not in told
        assert told[0] == "kill in clean begins"

    World().play(story)


def test_what_could_not_be_told_while_the_broker_was_away_is_told_afterwards() -> None:
    async def story(world: World) -> None:
        drill = world.drill(matrix(for_s=20.0))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(drill.run())
            await CLOCK.wait(15)
            world.store.down()
            await CLOCK.wait(10)
            world.store.up()
        assert task.result().stopped == ""
        told = [one.sequence for one in await entries(world, "acts")]
        told += [one.sequence for one in await entries(world, "happenings")]
        assert sorted(told) == [1, 2, 3, 4]

    World().play(story)


def test_a_fault_that_somebody_goes_on_injecting_ends_the_drill_with_five() -> None:
    async def stubborn(world: World) -> None:
        said = Injected(id="d1-1", name="kill", zone="clean", process="x", since_s=0.0, hits=1)
        while True:
            await world.streams.beat("injected.clean.x", msgspec.json.encode(said))
            await CLOCK.wait(1)

    async def story(world: World) -> None:
        rows = (Asked(fault="kill", zone="clean"), Asked(fault="kill", zone="store"))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stubborn(world))
            made = await world.drill(matrix(*rows)).run()
            task.cancel()
        assert made.exit_code == 5
        assert len(made.rows) == 1
        assert "kill in clean may still be injected" in made.verdict

    World().play(story)


def test_one_process_that_refuses_does_not_end_what_another_injects() -> None:
    async def refusing(world: World) -> None:
        said = Injected(
            id="d1-1", name="kill", zone="clean", process="x", since_s=0.0, refused="not mine"
        )
        while True:
            await world.streams.beat("injected.clean.x", msgspec.json.encode(said))
            await CLOCK.wait(1)

    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(refusing(world))
            made = await world.drill(matrix()).run()
            task.cancel()
        assert made.exit_code == 0
        assert made.rows[0].why_void == ""

    World().play(story)


def test_a_zone_that_misses_what_it_promises_already_is_given_time_and_then_drilled() -> None:
    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        del faults
        return Second(lost=20 if zone == "store" and CLOCK.now_s() < 15 else 0)

    world = World(feels=feels)
    made = world.report(matrix())
    assert made.exit_code == 0
    assert any("store misses what it promises" in moment.text for moment in world.told)


def test_one_that_goes_on_missing_it_is_told_before_anything_is_injected() -> None:
    seen: list[str] = []

    def feels(zone: str, faults: Mapping[str, Fault]) -> Second:
        seen.extend(faults)
        return Second(lost=20 if zone == "store" else 0)

    made = World(feels=feels).report(matrix())
    assert made.exit_code == 3
    assert made.rows == ()
    assert "store misses what it promises (200 of" in made.verdict
    assert seen == []
