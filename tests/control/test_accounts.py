"""The books hold for whatever really happens, and one lost or doubled batch is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.opening import open_world
from control.world import BATCH_ROWS, World, make_plan
from firedoor.control.accounts import Accounts, gather
from firedoor.control.letters import Selection
from firedoor.control.replaying import Actor, discard, replay
from firedoor.errors import NotKnown
from firedoor.spec.plan import Plan
from firedoor.wire.records import BatchRecord

KEY = "KeyError at steps.py:12"
DIAMOND = ("flights:clean", "flights:model", "clean:merge", "model:merge", "merge:store")
PLANS = [
    make_plan(),
    make_plan(("flights:clean", "clean:model", "model:store")),
    make_plan(DIAMOND, by_way=("clean:merge", "model:merge")),
]

actions = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.integers(1, 2)),
        st.tuples(st.just("run"), st.integers(0, 9), st.integers(1, 3), st.sets(st.integers(0, 9)),
                  st.sets(st.integers(0, 9), max_size=2)),
        st.tuples(st.just("replay"), st.sampled_from([None, "KeyError", "Zero"])),
        st.tuples(st.just("discard"), st.sampled_from([None, "KeyError", "Zero"])),
    ),
    max_size=25,
)  # fmt: skip


async def play(world: World, history: list[Any]) -> None:
    """Do what a history says."""
    actor = Actor(by="ann", at_s=world.now_s)
    for kind, *values in history:
        if kind == "cut":
            await world.cut(values[0])
        elif kind == "run":
            edge = world.plan.edges[values[0] % len(world.plan.edges)].name
            dead = {100 * batch + row: KEY if row % 2 else "ZeroDivisionError"
                    for batch in range(60) for row in values[2]}  # fmt: skip
            dropped = {100 * batch + row for batch in range(60) for row in values[3]}
            await world.run(edge, dead=dead, dropped=dropped - set(dead), count=values[1])
        else:
            try:
                selection = Selection(signature=values[0])
                if kind == "replay":
                    await replay(world.streams, world.plan, selection, actor)
                else:
                    await discard(world.streams, world.plan, selection, actor, because="test")
            except NotKnown:
                pass  # no dead letters at this point of the history


async def books(world: World) -> Accounts:
    return await gather(world.streams, world.plan, at_s=world.now_s)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PLANS), actions)
def test_the_books_hold_through_every_history(plan: Plan, history: list[Any]) -> None:
    async def run() -> None:
        world = await open_world(plan)
        await play(world, history)
        found = await books(world)
        assert found.holds, found.problems
        for zone in found.zones:
            assert zone.rows_in == zone.passed + zone.dead + sum(zone.dropped.values())
            assert zone.dead == zone.dead_now + zone.replayed + zone.discarded
        for edge in found.edges:
            assert edge.published == edge.received + edge.waiting

    asyncio.run(run())


class Forged:
    """Streams in which some records are not as they were written."""

    def __init__(self, world: World, records: list[BatchRecord]) -> None:
        self._streams = world.streams
        self._records = records

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streams, name)

    async def records(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[BatchRecord]:
        for record in self._records:
            if zone in {None, record.zone} and batch in {None, record.batch}:
                yield record

    async def recorded(self, zone: str, batch: str) -> BatchRecord | None:
        return next((r for r in self._records if (r.zone, r.batch) == (zone, batch)), None)

    async def last_record(self, zone: str) -> BatchRecord | None:
        return next((r for r in reversed(self._records) if r.zone == zone), None)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(PLANS), actions, st.data())
def test_one_lost_or_doubled_record_is_found(
    plan: Plan, history: list[Any], data: st.DataObject
) -> None:
    async def run() -> None:
        world = await open_world(plan)
        await world.cut()
        await play(world, history)
        await world.cut()
        await world.run_all()
        records = [record async for record in world.streams.records()]
        place = data.draw(st.integers(0, len(records) - 1))
        record = records[place]
        how = data.draw(st.sampled_from(["lost", "doubled", "rows"]))
        if how == "lost":
            if record.edge == "" and record.batch == world.last_batch:
                return  # as if it had been cut just now and its record were still to come
            forged = [*records[:place], *records[place + 1 :]]
        elif how == "doubled":
            forged = [*records, record]
        else:
            changed = msgspec.structs.replace(record, rows_in=record.rows_in + 1)
            forged = [*records[:place], changed, *records[place + 1 :]]
        streams: Any = Forged(world, forged)
        if how == "lost" and not record.rows_in and not record.rows_out:
            return  # an empty batch is nothing to lose
        found = await gather(streams, world.plan, at_s=world.now_s)
        assert not found.holds, (how, record)
        assert record.batch in " ".join(found.problems)
        if how == "doubled" and record.edge:
            assert found.doubled_rows == record.rows_in

    asyncio.run(run())


def test_a_batch_that_vanished_from_an_inbox_is_found_and_named() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(3)
        (delivery,) = await world.streams.inbox("flights:clean").fetch(1, 0.0)
        await delivery.ack()
        found = await books(world)
        assert not found.holds
        assert "1 lost" in found.problems[0]
        assert found.lost_rows == BATCH_ROWS
        assert found.doubled_rows == 0
        assert "flights-000001" in found.problems[0]

    asyncio.run(run())


def test_dead_letters_that_vanished_are_found_and_named() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await world.run_all(dead={103: KEY})
        found = await world.streams.dead_rows("clean", "flights-000001")
        assert found is not None
        empty = msgspec.structs.replace(found[0], rows=0)
        await world.streams.rebury(empty, b"")
        told = await books(world)
        assert told.problems == (
            (
                "1 rows of flights-000001 died in clean: 0 are in the store, 0 were replayed or "
                "discarded"
            ),
        )

    asyncio.run(run())


def test_what_arrived_before_its_publisher_recorded_it_is_no_problem() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all()
        records = [record async for record in world.streams.records()]
        ahead = [r for r in records if (r.zone, r.batch) != ("flights", "flights-000002")]
        streams: Any = Forged(world, ahead)
        found = await gather(streams, world.plan, at_s=world.now_s)
        assert found.holds, found.problems

    asyncio.run(run())


def test_batches_that_a_cut_edge_missed_are_told_with_the_command() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(2)
        await world.run_all(detached=("clean:audit",))
        found = await books(world)
        assert found.holds, found.problems
        assert found.notes == (
            (
                "clean:audit was cut and missed 2 batches (20 rows): "
                "`firedoor backfill clean:audit` runs them"
            ),
        )
        clean = next(zone for zone in found.zones if zone.zone == "clean")
        assert clean.missed == 20

    asyncio.run(run())


def test_rows_in_flight_are_counted_by_edge_and_by_zone() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(3)
        await world.run("flights:clean", count=1)
        found = await books(world)
        edges = {edge.edge: (edge.waiting, edge.batches_waiting) for edge in found.edges}
        assert edges == {"flights:clean": (20, 2), "clean:store": (10, 1), "clean:audit": (10, 1)}
        assert found.in_flight == 40
        assert {zone.zone: zone.in_flight for zone in found.zones}["clean"] == 20

    asyncio.run(run())


def test_records_that_retention_removed_are_not_missed() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(3)
        await world.run_all()
        records = [record async for record in world.streams.records()]
        streams: Any = Forged(world, records[2:])
        later_s = world.now_s + 31 * 86_400
        found = await gather(streams, world.plan, at_s=later_s)
        assert found.holds, found.problems

    asyncio.run(run())


def test_many_problems_are_counted_and_twenty_told() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(30)
        records = [record async for record in world.streams.records()]
        forged = [msgspec.structs.replace(record, passed=9) for record in records]
        streams: Any = Forged(world, forged)
        found = await gather(streams, world.plan, at_s=world.now_s)
        assert (found.problem_count, len(found.problems)) == (30, 20)

    asyncio.run(run())


def test_the_books_are_json() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await world.run_all(dead={103: KEY})
        found = await books(world)
        assert msgspec.json.decode(msgspec.json.encode(found), type=Accounts) == found

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["published", "shed"])
def test_rows_that_were_neither_published_nor_shed_are_found(kind: str) -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        (record,) = [record async for record in world.streams.records()]
        sent = {"flights:clean": 4}
        shed = {"flights:clean": 6} if kind == "shed" else {}
        forged = msgspec.structs.replace(record, published=sent, shed=shed)
        streams: Any = Forged(world, [forged])
        found = await gather(streams, world.plan, at_s=world.now_s)
        assert found.holds == (kind == "shed")

    asyncio.run(run())
