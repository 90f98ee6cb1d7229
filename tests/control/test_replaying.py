"""Dead letters are replayed once, whatever breaks off, and given up only with a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from control.opening import open_world
from control.world import EPOCH_S, World, bury, make_plan, rows_of_batch
from firedoor.control.accounts import gather
from firedoor.control.letters import Selection, gather_groups
from firedoor.control.replaying import Actor, discard, replay
from firedoor.errors import DeclarationError, NotKnown, StreamFull
from firedoor.wire.records import DeadEntry

KEY = "KeyError at steps.py:12"
ZERO = "ZeroDivisionError at steps.py:40"
ACTOR = Actor(by="ann", at_s=EPOCH_S + 1_000)
EVERY_ID = sorted(100 * batch + row for batch in (1, 2) for row in range(10))


class Broken(Exception):
    """Somebody pulled the plug."""


async def two_batches_with_dead_rows() -> World:
    """Two batches of ten rows, of which rows 3 (KEY), 5 (ZERO) and 6 (KEY) die in clean."""
    world = await open_world(make_plan())
    await world.cut(2)
    dead = {100 * batch + row: words for batch in (1, 2)
            for row, words in ((3, KEY), (5, ZERO), (6, KEY))}  # fmt: skip
    await world.run_all(dead=dead)
    return world


async def assert_every_row_arrived_once(world: World) -> None:
    await world.run_all()
    assert sorted(world.written["store"]) == EVERY_ID
    assert sorted(world.written["audit"]) == EVERY_ID
    books = await gather(world.streams, world.plan, at_s=world.now_s)
    assert books.holds, books.problems


def break_off(world: World, monkeypatch: pytest.MonkeyPatch, method: str, *, call: int) -> None:
    """Have a method of the streams raise instead of doing its n-th call."""
    real: Callable[..., Awaitable[Any]] = getattr(world.streams, method)
    calls = iter(range(1, 100))

    async def breaking(*args: Any) -> Any:
        if next(calls) == call:
            raise Broken
        return await real(*args)

    monkeypatch.setattr(world.streams, method, breaking)


def test_a_replay_is_a_batch_of_its_own_with_a_parent_and_the_rows_numbers() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        done = await replay(world.streams, world.plan, Selection(batch="flights-000001"), ACTOR)
        assert done.batches == ["flights-000001~r1"]
        assert done.rows == 3
        (delivery,) = await world.streams.inbox("flights:clean").fetch(5, 0.0)
        assert delivery.envelope.batch == "flights-000001~r1"
        assert delivery.envelope.parent == "flights-000001"
        assert delivery.envelope.only == ()
        assert delivery.envelope.zone == "flights"
        await delivery.give_back()
        await world.run("flights:clean", dead={105: ZERO})
        (entry,) = [e async for e in world.streams.dead("clean", "flights-000001~r1")]
        assert entry.groups[0].first_row == 5, "the number at the source"

    asyncio.run(run())


def test_replayed_rows_arrive_once_and_leave_the_store() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        await replay(world.streams, world.plan, Selection(), ACTOR)
        assert [entry async for entry in world.streams.dead()] == []
        await assert_every_row_arrived_once(world)

    asyncio.run(run())


def test_a_replay_by_signature_leaves_the_other_rows() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        done = await replay(world.streams, world.plan, Selection(signature="KeyError"), ACTOR)
        assert done.rows == 4
        left = [entry async for entry in world.streams.dead()]
        assert [(entry.rows, entry.replays, entry.replayed_rows) for entry in left] == [
            (1, 1, 2)
        ] * 2
        assert left[0].groups[0].signature == ZERO
        assert left[0].groups[0].line == "steps.py:40"
        done = await replay(world.streams, world.plan, Selection(zone="clean"), ACTOR)
        assert done.batches == ["flights-000001~r2", "flights-000002~r2"]
        await assert_every_row_arrived_once(world)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "call"),
    [("put", 1), ("publish", 1), ("rebury", 1), ("put", 2), ("publish", 2), ("rebury", 2)],
)
@pytest.mark.parametrize("arrives_between", [False, True])
def test_a_replay_that_breaks_off_is_finished_and_doubles_nothing(
    method: str, call: int, monkeypatch: pytest.MonkeyPatch, *, arrives_between: bool
) -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        with monkeypatch.context() as patch:
            break_off(world, patch, method, call=call)
            with pytest.raises(Broken):
                await replay(world.streams, world.plan, Selection(signature="KeyError"), ACTOR)
        if arrives_between:
            await world.run_all()
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds, books.problems
        # Another selection than the one that broke off: it must not take its number.
        later = Actor(by="bob", at_s=ACTOR.at_s + 60)
        await replay(world.streams, world.plan, Selection(), later)
        await assert_every_row_arrived_once(world)

    asyncio.run(run())


def test_a_replay_that_broke_off_is_told_with_the_command_that_finishes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        with monkeypatch.context() as patch:
            break_off(world, patch, "rebury", call=1)
            with pytest.raises(Broken):
                await replay(world.streams, world.plan, Selection(), ACTOR)
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert "firedoor dlq replay --zone clean --batch flights-000001" in books.notes[0]

    asyncio.run(run())


def test_replays_of_one_batch_in_two_zones_have_different_ids() -> None:
    async def run() -> None:
        world = await open_world(make_plan(("flights:clean", "clean:model", "model:store")))
        await world.cut()
        await world.run("flights:clean", dead={103: KEY})
        await world.run("clean:model", dead={104: KEY})
        done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert sorted(done.batches) == ["flights-000001~r1", "flights-000001~r2"]
        for edge in ("flights:clean", "clean:model", "model:store"):
            await world.run(edge)
        assert sorted(world.written["store"]) == list(range(100, 110))

    asyncio.run(run())


def test_a_row_that_dies_again_can_be_replayed_again() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        await replay(world.streams, world.plan, Selection(), ACTOR)
        await world.run_all(dead={103: KEY})
        done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert done.batches == ["flights-000001~r1~r1"]
        await assert_every_row_arrived_once(world)

    asyncio.run(run())


def test_a_replay_of_a_backfills_dead_rows_goes_only_where_the_backfill_may() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        record = await world.streams.recorded("clean", "flights-000001")
        assert record is not None
        await replay(world.streams, world.plan, Selection(batch="flights-000001"), ACTOR)
        (delivery,) = await world.streams.inbox("flights:clean").fetch(5, 0.0)
        assert delivery.envelope.only == record.only == ()

    asyncio.run(run())


def test_a_full_inbox_ends_a_replay_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()

        async def full(*_: Any) -> bool:
            raise StreamFull("the inbox flights:clean has no room")

        with monkeypatch.context() as patch:
            patch.setattr(world.streams, "publish", full)
            done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert done.rows == 0
        assert "no room" in done.left[0]
        assert "run the same command again" in done.left[0]
        done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert done.rows == 6
        await assert_every_row_arrived_once(world)

    asyncio.run(run())


def test_a_batch_that_is_still_under_way_is_left_alone() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await bury(
            world.streams,
            zone="clean",
            batch="flights-000001",
            edge="flights:clean",
            rows=rows_of_batch(1, 1),
            numbers=[0],
            signatures=[KEY],
        )
        actor = Actor(by="ann", at_s=EPOCH_S + 60)
        done = await replay(world.streams, world.plan, Selection(), actor)
        assert (done.rows, "still under way" in done.left[0]) == (0, True)
        done = await discard(world.streams, world.plan, Selection(), actor, because="old")
        assert (done.rows, "still under way" in done.left[0]) == (0, True)

    asyncio.run(run())


def test_lines_that_a_source_could_not_read_are_not_replayed_and_it_says_what_to_do() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await bury(
            world.streams,
            zone="flights",
            batch="flights-000001",
            edge="",
            rows=rows_of_batch(1, 1),
            numbers=[0],
            signatures=["parse"],
        )
        done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert done.rows == 0
        assert "firedoor dlq export" in done.left[0]
        assert "file that flights reads" in done.left[0]

    asyncio.run(run())


def test_an_inbox_that_is_no_longer_declared_is_told() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        world.plan = make_plan(("flights:store",))
        done = await replay(world.streams, world.plan, Selection(), ACTOR)
        assert "flights:clean is no longer declared" in done.left[0]

    asyncio.run(run())


def test_discarding_keeps_who_when_and_why_and_the_books_hold() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        await discard(
            world.streams, world.plan, Selection(signature="Zero"), ACTOR, because=" test\ndata "
        )
        left: list[DeadEntry] = [entry async for entry in world.streams.dead()]
        assert left[0].because == ("ann: test data",)
        assert left[0].discarded_rows == 1
        await discard(world.streams, world.plan, Selection(), ACTOR, because="the rest")
        assert [entry async for entry in world.streams.dead()] == []
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds, books.problems
        clean = next(zone for zone in books.zones if zone.zone == "clean")
        assert (clean.dead, clean.dead_now, clean.replayed, clean.discarded) == (6, 0, 0, 6)

    asyncio.run(run())


def test_a_discard_that_breaks_off_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        with monkeypatch.context() as patch:
            break_off(world, patch, "rebury", call=1)
            with pytest.raises(Broken):
                await discard(world.streams, world.plan, Selection(), ACTOR, because="old")
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds, books.problems
        await discard(world.streams, world.plan, Selection(), ACTOR, because="old")
        books = await gather(world.streams, world.plan, at_s=world.now_s)
        assert books.holds, books.problems
        assert (await gather_groups(world.streams, Selection())).rows == 0

    asyncio.run(run())


@pytest.mark.parametrize("because", ["", "  \n "])
def test_nothing_is_discarded_without_a_reason(because: str) -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        with pytest.raises(DeclarationError, match="--because"):
            await discard(world.streams, world.plan, Selection(), ACTOR, because=because)

    asyncio.run(run())


def test_nothing_meant_is_an_error_that_says_how_to_look() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        with pytest.raises(NotKnown, match="firedoor dlq"):
            await replay(world.streams, world.plan, Selection(zone="nobody"), ACTOR)

    asyncio.run(run())


def test_a_replay_is_pinned_to_the_lookups_that_hold_now() -> None:
    async def run() -> None:
        world = await two_batches_with_dead_rows()
        actor = Actor(by="ann", at_s=EPOCH_S + 99, lookups={"weather": "w2"})
        await replay(world.streams, world.plan, Selection(batch="flights-000001"), actor)
        (delivery,) = await world.streams.inbox("flights:clean").fetch(5, 0.0)
        assert delivery.envelope.lookups == {"weather": "w2"}

    asyncio.run(run())
