"""Batches are cut again as they were, by the reader that had cut them, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from control.opening import open_world
from control.world import World, make_plan, rows_of_batch
from firedoor.compose import reading
from firedoor.compose.recutting import Recutter
from firedoor.data.reader import Fresh, ReaderProcess
from firedoor.errors import Refused
from firedoor.names import BatchId
from firedoor.spec.plan import Plan, SourcePlan, encode_plan
from firedoor.wire.records import BatchRecord

BATCHES = 3


def plan_of_files(directory: Path) -> Plan:
    """Return a plan whose source reads two files: batches 1 and 2, then 3."""
    one, two = directory / "01.jsonl", directory / "02.jsonl"
    one.write_bytes(rows_of_batch(1).vstack(rows_of_batch(2)).write_ndjson().encode())
    two.write_bytes(rows_of_batch(3).write_ndjson().encode())
    plan = make_plan()
    source = SourcePlan(form="jsonl", patterns=(str(directory / "*.jsonl"),), batch_rows=10)
    zones = tuple(
        msgspec.structs.replace(zone, source=source) if zone.kind == "source" else zone
        for zone in plan.zones
    )
    return msgspec.structs.replace(plan, zones=zones)


async def cut_all(world: World, *, detached: tuple[str, ...] = ()) -> list[Fresh]:
    """Have the real reader cut everything, and the source record it."""
    reader = ReaderProcess(reading.COMMAND, plan=encode_plan(world.plan), zone="flights")
    cut: list[Fresh] = []
    try:
        await reader.begin(None, ())
        while (fresh := await reader.next()) is not None:
            cut.append(fresh)
            await world.enter(fresh.parcel, fresh.segment, fresh.position, detached=detached)
    finally:
        await reader.close()
    assert len(cut) == BATCHES
    return cut


async def records_of(world: World, number: int) -> tuple[BatchRecord, BatchRecord | None]:
    record = await world.streams.recorded("flights", str(BatchId("flights", number)))
    assert record is not None
    return record, await world.streams.recorded("flights", str(BatchId("flights", number - 1)))


def in_files(
    directory: Path, story: Callable[[World, list[Fresh], Recutter], Awaitable[None]]
) -> None:
    """Run a story in which everything was cut."""

    async def run() -> None:
        world = await open_world(plan_of_files(directory))
        cut = await cut_all(world)
        async with Recutter(world.streams, world.plan) as recutter:
            await story(world, cut, recutter)

    asyncio.run(run())


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2), (2, 2, 1)])
def test_batches_are_cut_as_they_were_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    async def story(world: World, cut: list[Fresh], recutter: Recutter) -> None:
        for number in order:
            parcel = await recutter.cut(
                world.plan.zone("flights"), *(await records_of(world, number))
            )
            assert parcel == cut[number - 1].parcel

    in_files(tmp_path, story)


def test_a_file_that_was_changed_since_is_refused_and_the_others_are_cut(tmp_path: Path) -> None:
    async def story(world: World, cut: list[Fresh], recutter: Recutter) -> None:
        (tmp_path / "01.jsonl").write_bytes(rows_of_batch(7).write_ndjson().encode() * 2)
        zone = world.plan.zone("flights")
        with pytest.raises(Refused, match="flights cannot cut it again"):
            await recutter.cut(zone, *(await records_of(world, 2)))
        assert await recutter.cut(zone, *(await records_of(world, 3))) == cut[2].parcel

    in_files(tmp_path, story)


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    async def story(world: World, cut: list[Fresh], recutter: Recutter) -> None:
        del cut
        (tmp_path / "02.jsonl").unlink()
        with pytest.raises(Refused):
            await recutter.cut(world.plan.zone("flights"), *(await records_of(world, 3)))

    in_files(tmp_path, story)


def test_lines_that_are_found_elsewhere_are_refused(tmp_path: Path) -> None:
    async def story(world: World, cut: list[Fresh], recutter: Recutter) -> None:
        del cut
        record, _ = await records_of(world, 2)
        with pytest.raises(Refused, match="does not find the lines of flights-000002"):
            await recutter.cut(world.plan.zone("flights"), record, None)

    in_files(tmp_path, story)
