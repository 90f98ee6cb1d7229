"""Dead letters as people see them: grouped, bounded, and without sensitive values."""

from __future__ import annotations

import asyncio

import msgspec
import polars as pl
import pytest

from control.opening import open_world
from control.world import EPOCH_S, World, bury, make_plan, rows_of_batch
from firedoor.control import letters
from firedoor.control.letters import Selection, gather_groups, join, parse_row, rows_meant
from firedoor.control.masking import mask, sensitive_columns
from firedoor.errors import NotKnown, StoreRefused

KEY = "KeyError at steps.py:12"
ZERO = "ZeroDivisionError at steps.py:40"


async def dead_world(**plan: tuple[str, ...]) -> World:
    """Rows 3 and 6 of two batches die by KEY, row 5 by ZERO."""
    world = await open_world(make_plan(**plan))
    await world.cut(2)
    dead = {100 * batch + row: words for batch in (1, 2)
            for row, words in ((3, KEY), (5, ZERO), (6, KEY))}  # fmt: skip
    await world.run_all(dead=dead)
    return world


def test_groups_tell_zone_signature_line_count_first_and_since() -> None:
    async def run() -> None:
        world = await dead_world()
        listing = await gather_groups(world.streams, Selection())
        assert (listing.rows, listing.entries) == (6, 2)
        top, second = listing.groups
        assert (top.zone, top.signature, top.line) == ("clean", KEY, "steps.py:12")
        assert (top.rows, top.batches, top.first) == (4, 2, "flights-000001/3")
        assert top.message == f"{KEY}: row 3"
        assert top.since_s > EPOCH_S
        assert (second.signature, second.rows) == (ZERO, 2)

    asyncio.run(run())


def test_only_what_is_meant_is_listed() -> None:
    async def run() -> None:
        world = await dead_world()
        for selection, rows in [
            (Selection(signature="Zero"), 2),
            (Selection(batch="flights-000002"), 3),
            (Selection(zone="store"), 0),
        ]:
            assert (await gather_groups(world.streams, selection)).rows == rows

    asyncio.run(run())


def test_groups_beyond_the_bound_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "GROUPS_MAX", 3)

    async def run() -> None:
        world = await open_world(make_plan())
        for number in range(10):
            await bury(
                world.streams,
                zone="clean",
                batch=f"flights-{number:06d}",
                edge="flights:clean",
                rows=rows_of_batch(number, 1),
                numbers=[0],
                signatures=[f"signature {number}"],
            )
        listing = await gather_groups(world.streams, Selection())
        assert listing.rows == 10
        assert next((group.signature, group.rows) for group in listing.groups) == (
            letters.OTHERS,
            7,
        )

    asyncio.run(run())


def test_rows_come_with_all_their_columns_and_their_reasons() -> None:
    async def run() -> None:
        world = await dead_world()
        frame = await rows_meant(world.streams, world.plan, Selection(), limit=100)
        assert frame.columns == [
            "id", "tailnum", "dead_batch", "dead_zone", "dead_zone_version", "dead_row",
            "dead_code", "dead_signature", "dead_message", "dead_attempts",
        ]  # fmt: skip
        assert frame["id"].to_list() == [103, 105, 106, 203, 205, 206]
        assert frame["dead_row"].to_list() == [3, 5, 6, 3, 5, 6]
        assert frame["dead_attempts"][0] == {"exception": 1}

    asyncio.run(run())


def test_one_row_can_be_meant_and_no_more_than_the_limit_is_read() -> None:
    async def run() -> None:
        world = await dead_world()
        one = Selection(batch="flights-000001", row=5)
        frame = await rows_meant(world.streams, world.plan, one, limit=10)
        assert frame["id"].to_list() == [105]
        frame = await rows_meant(world.streams, world.plan, Selection(), limit=4)
        assert frame.height == 4
        with pytest.raises(NotKnown, match="row 4"):
            await rows_meant(
                world.streams, world.plan, Selection(batch="flights-000001", row=4), limit=10
            )

    asyncio.run(run())


def test_sensitive_columns_are_masked_nulls_too() -> None:
    async def run() -> None:
        world = await dead_world(sensitive=("tailnum",))
        frame = await rows_meant(world.streams, world.plan, Selection(), limit=100)
        assert frame["tailnum"].unique().to_list() == ["***"]
        assert frame["id"].to_list()[0] == 103

    asyncio.run(run())
    masked = mask(pl.DataFrame({"a": [1, None], "b": [1, 2]}), frozenset({"a", "z"}))
    assert masked.to_dict(as_series=False) == {"a": ["***", "***"], "b": [1, 2]}


def test_a_column_that_is_sensitive_in_one_zone_is_masked_in_all() -> None:
    async def run() -> None:
        world = await dead_world()
        zones = tuple(
            msgspec.structs.replace(zone, sensitive=("id",) if zone.name == "flights" else ())
            for zone in world.plan.zones
        )
        plan = msgspec.structs.replace(world.plan, zones=zones)
        frame = await rows_meant(world.streams, plan, Selection(), limit=100)
        assert frame["id"].unique().to_list() == ["***"]

    asyncio.run(run())


def test_a_line_that_could_not_be_read_is_masked_whole_where_its_source_has_secrets() -> None:
    async def run() -> None:
        plan = make_plan(sensitive=("tailnum",))
        world = await open_world(plan)
        entry = await bury(
            world.streams,
            zone="flights",
            batch="flights-000001",
            edge="",
            rows=pl.DataFrame({"line": ['{"tailnum": "N123']}),
            numbers=[0],
            signatures=["parse"],
        )
        assert "line" in sensitive_columns(plan, entry)
        assert "line" not in sensitive_columns(make_plan(), entry)
        frame = await rows_meant(world.streams, plan, Selection(), limit=9)
        assert frame["line"].to_list() == ["***"]

    asyncio.run(run())


def test_rows_of_zones_with_other_columns_and_types_become_one_frame() -> None:
    one = pl.DataFrame({"a": [1], "b": [[1, 2]], "dead_row": [0]})
    two = pl.DataFrame({"a": ["x"], "b": ["y"], "c": [0.5], "dead_row": [7]})
    joined = join([one, two])
    assert joined.columns == ["a", "b", "c", "dead_row"]
    assert joined.rows() == [("1", "[1, 2]", None, 0), ("x", "y", 0.5, 7)]


def test_a_column_that_is_called_like_a_reason_is_kept() -> None:
    async def run() -> None:
        world = await open_world(make_plan())
        await bury(
            world.streams,
            zone="clean",
            batch="flights-000001",
            edge="flights:clean",
            rows=pl.DataFrame({"dead_row": ["mine"]}),
            numbers=[4],
            signatures=[KEY],
        )
        frame = await rows_meant(world.streams, world.plan, Selection(), limit=9)
        assert frame["dead_row"].to_list() == ["mine"]
        assert frame["dead_row_"].to_list() == [4]

    asyncio.run(run())


def test_a_payload_that_is_not_the_one_buried_is_refused() -> None:
    async def run() -> None:
        world = await dead_world()
        found = await world.streams.dead_rows("clean", "flights-000001")
        assert found is not None
        entry, payload = found
        await world.streams.rebury(entry, payload[:-1] + b"?")
        with pytest.raises(StoreRefused, match="flights-000001 in clean are damaged"):
            await rows_meant(world.streams, world.plan, Selection(), limit=9)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("flights-000123/4711", ("flights-000123", 4711)),
        ("flights-000123~r1@clean", ("flights-000123~r1@clean", None)),
    ],
)
def test_rows_and_batches_are_named(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse_row(text) == parsed


@pytest.mark.parametrize("text", ["", "flights", "flights-000123/", "flights-000123/x", "f-1/2"])
def test_what_is_no_name_of_a_row_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(NotKnown, match="flights-000123/4711"):
        parse_row(text)
