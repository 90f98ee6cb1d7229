"""What a cut edge missed is run again, reaches that edge alone, and reaches it once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from control.opening import Still, open_world
from control.world import EPOCH_S, World, make_plan
from firedoor.control import backfill as backfilling
from firedoor.control.accounts import gather
from firedoor.control.backfill import Backfilled, backfill, edges_meant
from firedoor.control.letters import Selection
from firedoor.control.replaying import Actor, replay
from firedoor.control.status import read_detached
from firedoor.errors import NotKnown, StreamFull
from firedoor.names import BatchId
from firedoor.ports.stage import Parcel
from firedoor.spec.plan import ZonePlan
from firedoor.wire.records import BatchRecord

KEY = "KeyError at steps.py:12"
AUDIT = "clean:audit"
DIAMOND = ("flights:clean", "flights:model", "clean:merge", "model:merge", "merge:store",
           "merge:audit")  # fmt: skip
ACTOR = Actor(by="ann", at_s=EPOCH_S + 1_000)
IDS = sorted(100 * batch + row for batch in (1, 2) for row in range(10))


async def run_backfill(
    world: World, name: str = AUDIT, *, unread: Collection[int] = ()
) -> Backfilled:
    async def cut(zone: ZonePlan, record: BatchRecord, before: BatchRecord | None) -> Parcel:
        assert zone.kind == "source"
        number = BatchId.parse(record.batch).number
        assert (before is None) == (number == 1)
        return world.recut(number, unread)

    (edge,) = [edge for edge in world.plan.edges if edge.name == name]
    return await backfill(world.streams, world.plan, edge, cut, clock=Still(), by="ann")


async def assert_both_sinks_have_every_row_once(world: World) -> None:
    assert sorted(world.written["store"]) == IDS
    assert sorted(world.written["audit"]) == IDS
    books = await gather(world.streams, world.plan, at_s=world.now_s)
    assert books.holds, books.problems
    assert not any(zone.missed for zone in books.zones)


def test_the_missed_batches_reach_the_edge_and_nobody_else() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.streams.put("detached.clean.audit", b'{"since_s": 1.0}')
        await world.run_all(detached=(AUDIT,))
        assert "audit" not in world.written
        done = await run_backfill(world)
        assert done.batches == ["flights-000001~f1", "flights-000002~f1"]
        assert done.left == []
        assert read_detached(await world.streams.get("detached.clean.audit")) is None
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


def test_a_backfill_twice_does_nothing_the_second_time() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(detached=(AUDIT,))
        await run_backfill(world)
        assert (await run_backfill(world)).batches == []
        await world.run_all()
        assert (await run_backfill(world)).batches == []
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


@pytest.mark.parametrize(("method", "call"), [("put", 2), ("publish", 1), ("put", 3), ("put", 4)])
@pytest.mark.parametrize("arrives_between", [False, True])
def test_a_backfill_that_breaks_off_is_finished_and_doubles_nothing(
    method: str, call: int, monkeypatch: pytest.MonkeyPatch, *, arrives_between: bool
) -> None:
    class Broken(Exception):
        pass

    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(detached=(AUDIT,))
        real: Any = getattr(world.streams, method)
        calls = iter(range(1, 100))

        async def breaking(*args: Any) -> Any:
            if next(calls) == call:
                raise Broken
            return await real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(world.streams, method, breaking)
            with pytest.raises(Broken):
                await run_backfill(world)
        if arrives_between:
            await world.run_all()
        await run_backfill(world)
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


@pytest.mark.parametrize("replayed", ["before", "between", "after"])
def test_rows_that_died_on_the_way_come_by_their_replay_alone(replayed: str) -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(dead={103: KEY, 205: KEY}, detached=(AUDIT,))
        if replayed == "before":  # while the edge is cut: the replay is missed as well
            await replay(world.streams, world.plan, Selection(), ACTOR)
            await world.run_all(detached=(AUDIT,))
        done = await run_backfill(world)
        assert done.rows == 20 if replayed == "before" else 18
        if replayed == "between":
            await replay(world.streams, world.plan, Selection(), ACTOR)
        await world.run_all()
        if replayed == "after":
            await replay(world.streams, world.plan, Selection(), ACTOR)
            await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


def test_rows_that_die_in_the_backfill_reach_the_edge_alone_when_they_are_replayed() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(detached=(AUDIT,))
        await run_backfill(world)
        await world.run_all(dead={103: KEY})
        done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert done.batches == ["flights-000001~f1~r1"]
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


def test_a_backfill_that_is_missed_again_is_run_again() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(dead={104: KEY}, detached=(AUDIT,))
        await run_backfill(world)
        await world.run_all(detached=(AUDIT,))
        done = await run_backfill(world)
        assert done.batches == ["flights-000001~f1~f1", "flights-000002~f1~f1"]
        await world.run_all()
        await replay(world.streams, world.plan, Selection(), ACTOR)
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


def test_lines_that_could_not_be_read_stay_out_and_numbers_stay_true() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(1, unread=(0, 4))
        await world.run_all(dead={105: KEY}, detached=(AUDIT,))
        done = await run_backfill(world, unread=(0, 4))
        assert done.rows == 7
        await world.run_all()
        assert sorted(world.written["audit"]) == [101, 102, 103, 106, 107, 108, 109]
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds, books.problems

    asyncio.run(run())


def test_only_the_way_that_was_missed_is_gone_again() -> None:
    async def run() -> None:
        world = await open_world(make_plan(DIAMOND, by_way=("clean:merge", "model:merge")))
        await world.cut(1)
        await world.run_all()
        await world.cut(1)
        await world.run("flights:clean")
        await world.run("flights:model")
        await world.run("model:merge")
        await world.run("clean:merge", detached=("merge:audit",))
        await world.run_all()
        assert len(world.written["audit"]) == 30
        done = await run_backfill(world, "merge:audit")
        assert done.batches == ["flights-000002~f1"]
        await world.run_all()
        assert sorted(world.written["audit"]) == sorted([*IDS, *IDS])
        assert sorted(world.written["store"]) == sorted([*IDS, *IDS])
        record = await world.streams.recorded("audit", "flights-000002~f1@clean")
        assert record is not None
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds, books.problems

    asyncio.run(run())


def test_an_edge_of_the_source_itself_is_backfilled() -> None:
    async def run() -> None:
        edges = ("flights:clean", "flights:audit", "clean:store")
        world = await open_world(make_plan(edges))
        await world.cut(2, detached=("flights:audit",))
        await world.run_all()
        await run_backfill(world, "flights:audit")
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


def test_where_a_backfill_would_reach_others_too_it_is_refused_with_what_to_do() -> None:
    async def run() -> None:
        edges = ("flights:clean", "clean:model", "model:store", "clean:store")
        world = await open_world(make_plan(edges, by_way=("model:store", "clean:store")))
        await world.cut(1)
        await world.run_all(detached=("clean:model",))
        done = await run_backfill(world, "clean:model")
        assert done.batches == []
        assert "store comes after model and reads clean as well" in done.left[0]
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds
        assert "firedoor backfill clean:model" in books.notes[0]

    asyncio.run(run())


def test_a_source_that_was_changed_since_is_refused() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(1)
        await world.run_all(detached=(AUDIT,))
        done = await run_backfill(world, unread=(3,))
        assert done.batches == []
        assert "now finds 9" in done.left[0]

    asyncio.run(run())


def test_dead_rows_behind_a_zone_that_makes_new_rows_are_not_guessed() -> None:
    async def run() -> None:
        edges = ("flights:clean", "clean:model", "model:store", "model:audit")
        world = await open_world(make_plan(edges))
        await world.cut(1)
        await world.run("flights:clean")
        await world.run("clean:model", dead={104: KEY}, detached=("model:audit",))
        streams: Any = world.streams
        real = streams.recorded

        async def renumbering(zone: str, batch: str) -> BatchRecord | None:
            record: BatchRecord | None = await real(zone, batch)
            if record is None or zone != "clean":
                return record
            return msgspec.structs.replace(record, numbered=False)

        streams.recorded = renumbering
        done = await run_backfill(world, "model:audit")
        assert "died in model, behind a zone that gave rows new numbers" in done.left[0]

    asyncio.run(run())


def test_a_full_inbox_is_waited_for_and_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(detached=(AUDIT,))
        calls = 0

        async def full(*_: Any) -> bool:
            nonlocal calls
            calls += 1
            raise StreamFull("the inbox flights:clean has no room")

        with monkeypatch.context() as patch:
            patch.setattr(world.streams, "publish", full)
            done = await run_backfill(world)
        assert calls == backfilling.FULL_TRIES
        assert "no room; run the same command again" in done.left[0]
        await run_backfill(world)
        await world.run_all()
        await assert_both_sinks_have_every_row_once(world)

    asyncio.run(run())


def test_an_edge_or_a_zone_is_meant_and_others_are_refused() -> None:
    plan = make_plan()
    assert [edge.name for edge in edges_meant(plan, AUDIT)] == [AUDIT]
    assert [edge.name for edge in edges_meant(plan, "audit")] == [AUDIT]
    with pytest.raises(NotKnown, match="its edges are flights:clean, clean:store, clean:audit"):
        edges_meant(plan, "flights")
