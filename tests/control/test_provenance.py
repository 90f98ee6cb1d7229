"""The way of a row is told from its line to where it ended, with its replays, forward and back."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from control.opening import open_world
from control.world import EPOCH_S, FILE, World, bury, make_plan, rows_of_batch
from firedoor.control.letters import Selection
from firedoor.control.provenance import Story, find_row, is_meant, trace
from firedoor.control.replaying import Actor, discard, replay
from firedoor.errors import NotKnown
from firedoor.wire.records import Attempts, BatchRecord

KEY = "KeyError at steps.py:12"
ACTOR = Actor(by="ann", at_s=EPOCH_S + 1_000)


def told(story: Story) -> list[tuple[str, str, int]]:
    return [(stop.zone, stop.fate, stop.depth) for stop in story.stops]


async def dead_world() -> World:
    world = await open_world(make_plan())
    await world.cut(2)
    await world.run_all(dead={103: KEY})
    return world


def test_a_row_that_passed_is_told_to_the_files_that_it_is_in() -> None:
    async def run() -> None:
        world = await dead_world()
        story = await trace(world.streams, world.plan, "flights-000002/4")
        assert (story.file, story.line) == (FILE, 15)
        assert story.lookups == {"weather": "w1"}
        assert told(story) == [
            ("flights", "passed", 0), ("clean", "passed", 0), ("store", "written", 0),
            ("audit", "written", 0),
        ]  # fmt: skip
        assert story.stops[1].version == "clean-v1"
        assert story.stops[1].seconds == 0.25
        assert story.ends == (
            "store: /out/store/flights-000002.parquet (one of 10 rows)",
            "audit: /out/audit/flights-000002.parquet (one of 10 rows)",
        )

    asyncio.run(run())


def test_a_dead_row_is_told_with_reason_line_and_what_shows_it() -> None:
    async def run() -> None:
        world = await dead_world()
        story = await trace(world.streams, world.plan, "flights-000001/3")
        assert told(story) == [("flights", "passed", 0), ("clean", "dead", 0)]
        assert KEY in story.stops[1].words
        assert story.stops[1].line == "steps.py:12"
        assert story.ends == ("clean: a dead letter: firedoor dlq show flights-000001/3",)
        other = await trace(world.streams, world.plan, "flights-000001/4")
        assert told(other)[-1] == ("audit", "written", 0)

    asyncio.run(run())


def test_a_replayed_row_is_followed() -> None:
    async def run() -> None:
        world = await dead_world()
        await replay(world.streams, world.plan, Selection(), ACTOR)
        story = await trace(world.streams, world.plan, "flights-000001/3")
        assert told(story)[1:] == [("clean", "replayed", 0), ("clean", "waiting", 1)]
        assert "replayed as flights-000001~r1 by ann" in story.stops[1].words
        assert "waits in the inbox flights:clean" in story.ends[0]
        await world.run_all()
        story = await trace(world.streams, world.plan, "flights-000001~r1/3")
        assert story.batch == "flights-000001"
        assert told(story)[1:] == [
            ("clean", "replayed", 0), ("clean", "passed", 1), ("store", "written", 1),
            ("audit", "written", 1),
        ]  # fmt: skip
        assert "flights-000001~r1.parquet" in story.ends[0]

    asyncio.run(run())


def test_a_discarded_row_is_told_with_who_and_why() -> None:
    async def run() -> None:
        world = await dead_world()
        await discard(world.streams, world.plan, Selection(), ACTOR, because="a test flight")
        story = await trace(world.streams, world.plan, "flights-000001/3")
        assert told(story)[-1] == ("clean", "discarded", 0)
        assert "by ann: a test flight" in story.stops[-1].words

    asyncio.run(run())


def test_a_row_in_flight_is_told_with_where_it_waits_and_what_was_tried() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        story = await trace(world.streams, world.plan, "flights-000001/0")
        assert told(story) == [("flights", "passed", 0), ("clean", "waiting", 0)]
        assert "waits in the inbox flights:clean (1 batches there)" in story.ends[0]
        tries = Attempts(counts={"crash": 2}, last="rows 0..625: crash")
        await world.streams.note_attempts("clean", "flights-000001", tries)
        story = await trace(world.streams, world.plan, "flights-000001/0")
        assert "being tried, rows 0..625: crash" in story.ends[0]
        assert story.stops[-1].attempts == {"crash": 2}

    asyncio.run(run())


def test_where_rows_were_dropped_it_is_not_guessed_which() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await world.run("flights:clean", dropped={102})
        story = await trace(world.streams, world.plan, "flights-000001/2")
        assert told(story)[1] == ("clean", "unclear", 0)
        assert "dropped as declared: 1 unwanted; whether this row" in story.stops[1].words
        assert "perhaps dropped as declared (1 unwanted)" in story.ends[0]

    asyncio.run(run())


def test_a_cut_edge_is_told_with_the_command() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await world.run_all(detached=("clean:audit",))
        story = await trace(world.streams, world.plan, "flights-000001/2")
        assert ("audit", "missed", 0) in told(story)
        assert any("firedoor backfill clean:audit" in end for end in story.ends)

    asyncio.run(run())


@pytest.mark.parametrize(("rows", "fate"), [(10, "shed"), (4, "unclear")])
def test_rows_that_were_shed_are_told(rows: int, fate: str) -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await world.run_all()
        streams: Any = world.streams
        real = streams.recorded

        async def shedding(zone: str, batch: str) -> BatchRecord | None:
            record: BatchRecord | None = await real(zone, batch)
            if record is None or zone != "clean":
                return record
            sent = {"clean:store": 10} if rows == 10 else {"clean:store": 10, "clean:audit": 6}
            return msgspec.structs.replace(record, published=sent, shed={"clean:audit": rows})

        streams.recorded = shedding
        story = await trace(streams, world.plan, "flights-000001/2")
        assert ("audit", fate, 0) in told(story)
        assert any(f"{rows} of 10 rows were shed at clean:audit" in end for end in story.ends)

    asyncio.run(run())


def test_a_whole_batch_is_told_with_its_replays() -> None:
    async def run() -> None:
        world = await dead_world()
        await replay(world.streams, world.plan, Selection(), ACTOR)
        await world.run_all()
        story = await trace(world.streams, world.plan, "flights-000001")
        assert story.row is None
        assert "9 of 10 rows passed, 1 died" in story.stops[1].words
        assert ("clean", "passed", 1) in told(story)

    asyncio.run(run())


def test_ways_that_meet_again_are_both_told() -> None:
    async def run() -> None:
        edges = ("flights:clean", "flights:model", "clean:merge", "model:merge", "merge:store")
        world = await open_world(make_plan(edges, by_way=("clean:merge", "model:merge")))
        await world.cut()
        await world.run_all()
        story = await trace(world.streams, world.plan, "flights-000001/0")
        assert [stop.batch for stop in story.stops if stop.zone == "store"] == [
            "flights-000001@clean",
            "flights-000001@model",
        ]

    asyncio.run(run())


def test_a_line_that_could_not_be_read_is_a_dead_letter_of_its_source() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(unread=(2,))
        assert await find_row(world.streams, world.plan, FILE, 3) == "flights-000001/2"
        story = await trace(world.streams, world.plan, "flights-000001/2")
        assert told(story) == [("flights", "dead", 0)]
        assert story.line == 3

    asyncio.run(run())


def test_what_was_buried_and_not_recorded_is_still_in_flight() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await bury(
            world.streams,
            zone="clean",
            batch="flights-000001",
            edge="flights:clean",
            rows=rows_of_batch(1, 1),
            numbers=[2],
            signatures=[KEY],
        )
        story = await trace(world.streams, world.plan, "flights-000001/2")
        assert told(story)[-1] == ("clean", "waiting", 0)

    asyncio.run(run())


def test_behind_a_zone_that_makes_new_rows_the_batch_is_told_as_a_whole() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut()
        await world.run_all()
        streams: Any = world.streams
        real = streams.recorded

        async def renumbering(zone: str, batch: str) -> BatchRecord | None:
            record: BatchRecord | None = await real(zone, batch)
            if record is None or zone != "clean":
                return record
            return msgspec.structs.replace(record, numbered=False, rows_out=25)

        streams.recorded = renumbering
        story = await trace(streams, world.plan, "flights-000001/2")
        assert "made 25 rows of them" in story.stops[1].words
        assert "rows have no numbers here" in story.stops[2].words

    asyncio.run(run())


def test_a_path_that_two_files_end_in_is_refused_with_both() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await world.cut(file="/a/01.jsonl")
        await world.cut(file="/b/01.jsonl")
        with pytest.raises(NotKnown, match=r"any of /a/01.jsonl, /b/01.jsonl: give more"):
            await find_row(world.streams, world.plan, "01.jsonl", 3)
        assert await find_row(world.streams, world.plan, "b/01.jsonl", 13) == "flights-000002/2"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("file", "line", "row"),
    [(FILE, 1, "flights-000001/0"), ("flights-01.jsonl", 10, "flights-000001/9"),
     ("./data/flights-01.jsonl", 11, "flights-000002/0")],
)  # fmt: skip
def test_a_line_of_a_file_leads_to_its_row(file: str, line: int, row: str) -> None:
    async def run() -> None:
        world = await dead_world()
        assert await find_row(world.streams, world.plan, file, line) == row

    asyncio.run(run())


def test_a_line_that_was_not_read_yet_says_how_far_reading_got() -> None:
    async def run() -> None:
        world = await dead_world()
        with pytest.raises(NotKnown, match="read up to line 20; line 21 was not, or not yet"):
            await find_row(world.streams, world.plan, FILE, 21)
        with pytest.raises(NotKnown, match=r"no line of other\.jsonl was read"):
            await find_row(world.streams, world.plan, "other.jsonl", 1)

    asyncio.run(run())


def test_the_end_of_a_path_means_a_file_only_if_it_is_whole() -> None:
    assert is_meant("/data/a/flights.jsonl", "a/flights.jsonl")
    assert not is_meant("/data/a/flights.jsonl", "lights.jsonl")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flights-000009/1", "the last batch it cut is flights-000002"),
        ("trains-000001/1", "no source 'trains': sources here are flights"),
        ("flights-000001/10", "has 10 rows, from flights-000001/0 to flights-000001/9"),
        ("nonsense", "flights-000123/4711"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(text: str, says: str) -> None:
    async def run() -> None:
        world = await dead_world()
        with pytest.raises(NotKnown, match=says):
            await trace(world.streams, world.plan, text)

    asyncio.run(run())
