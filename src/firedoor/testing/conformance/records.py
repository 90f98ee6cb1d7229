"""Records: one for each (zone, batch), for ever, in the order in which they were written."""

from __future__ import annotations

import asyncio

from firedoor.ports.streams import Streams
from firedoor.testing.conformance.store import (
    EPOCH_S,
    SMALL,
    Store,
    batch_name,
    client,
    make_attempts,
    make_record,
    same,
)
from firedoor.wire.records import Attempts, BatchRecord, Position, Segment

MANY = 300


async def a_record_is_kept_as_it_was_written(store: Store) -> None:
    """Every field of it."""
    record = BatchRecord(
        zone="intake",
        batch="intake-000001~r1@clean",
        zone_version="v1",
        edge=SMALL,
        rows_in=10,
        rows_out=5,
        passed=5,
        dead=2,
        dropped={"blank": 3},
        published={"intake:clean": 5},
        shed={"intake:clean": 1},
        missed=("intake:store",),
        signatures={"KeyError: 'd\u00e9part' at steps.py:12": 2},
        deliveries=3,
        attempts={"crash": 2},
        began_s=EPOCH_S,
        ended_s=EPOCH_S + 0.125,
        cut_s=EPOCH_S - 1,
        numbered=False,
        parent="intake-000001",
        only=("clean",),
        segments=(Segment(file="/data/fl\u00fcge.jsonl", line=11, rows=10),),
        position=Position(file="/data/x.jsonl", offset=2**40, line=21, ended=True),
        lookups={"weather": "w1"},
        models={"late": "late@3"},
        sink="out/part.parquet",
    )
    async with client(store) as streams:
        assert await streams.record(record)
        same(await streams.recorded("intake", record.batch), record)


async def what_is_not_recorded_is_none(store: Store) -> None:
    """Of a batch, of a zone."""
    async with client(store) as streams:
        await streams.record(make_record("clean", batch_name(1)))
        assert await streams.recorded("clean", batch_name(2)) is None
        assert await streams.recorded("store", batch_name(1)) is None
        assert await streams.recorded("clean", f"{batch_name(1)}~r1") is None
        assert await streams.last_record("store") is None


async def the_first_record_stays(store: Store) -> None:
    """A second one is refused, whatever it says."""
    first = make_record("clean", batch_name(1))
    async with client(store) as streams:
        assert await streams.record(first)
        assert not await streams.record(make_record("clean", batch_name(1), rows=99))
        assert not await streams.record(first)
        same(await streams.recorded("clean", batch_name(1)), first)
        assert [record async for record in streams.records("clean")] == [first]


async def of_concurrent_records_exactly_one_is_kept(store: Store) -> None:
    """Two clients, the same batch, at once: one True, and its record is the one that stays."""

    async def write(streams: Streams, number: int, rows: int, told: dict[int, list[int]]) -> None:
        if await streams.record(make_record("clean", batch_name(number), rows=rows)):
            told.setdefault(number, []).append(rows)

    told: dict[int, list[int]] = {}
    async with client(store) as one, client(store) as other:
        for number in range(20):
            async with asyncio.TaskGroup() as group:
                for rows, streams in enumerate((one, other, one, other), start=1):
                    group.create_task(write(streams, number, rows, told))
            assert len(told.get(number, [])) == 1, f"told to have recorded: {told.get(number)}"
            kept = await other.recorded("clean", batch_name(number))
            assert kept is not None
            assert [kept.rows_in] == told[number]


async def every_client_finds_a_record_at_once(store: Store) -> None:
    """One that another client wrote."""
    async with client(store) as one, client(store) as other:
        for number in range(20):
            assert await one.record(make_record("clean", batch_name(number)))
            assert await other.recorded("clean", batch_name(number)) is not None
            last = await other.last_record("clean")
            assert last is not None
            assert last.batch == batch_name(number)


async def the_last_record_is_the_one_written_last(store: Store) -> None:
    """Not the one with the highest number; a refused one changes nothing."""
    async with client(store) as streams:
        for number in (3, 1, 2):
            await streams.record(make_record("clean", batch_name(number)))
        await streams.record(make_record("store", batch_name(9)))
        await streams.record(make_record("clean", batch_name(3)))
        same(await streams.last_record("clean"), make_record("clean", batch_name(2)))


async def records_come_in_the_order_of_writing(store: Store) -> None:
    """Of a zone, of a batch, of both, or all."""
    written = [("clean", 2), ("store", 2), ("clean", 1), ("store", 1), ("clean", 3)]
    async with client(store) as streams:
        for zone, number in written:
            await streams.record(make_record(zone, batch_name(number)))
        await streams.record(make_record("clean", f"{batch_name(1)}~r1"))

        async def names(zone: str | None = None, batch: str | None = None) -> list[str]:
            found = [record async for record in streams.records(zone, batch)]
            return [
                f"{record.zone} {record.batch.removeprefix('intake-00000')}" for record in found
            ]

        assert await names() == [
            *(f"{zone} {number}" for zone, number in written),
            "clean 1~r1",
        ]
        assert await names("clean") == ["clean 2", "clean 1", "clean 3", "clean 1~r1"]
        assert await names("store") == ["store 2", "store 1"]
        assert await names(None, batch_name(1)) == ["clean 1", "store 1"]
        assert await names("clean", batch_name(1)) == ["clean 1"]
        assert await names(None, f"{batch_name(1)}~r1") == ["clean 1~r1"]
        assert await names("intake") == []


async def many_records_come_whole(store: Store) -> None:
    """More than a client holds at once, each of them once."""
    async with client(store) as streams:
        for number in range(MANY):
            await streams.record(make_record("clean", batch_name(number), deliveries=number + 1))
        found = [record async for record in streams.records()]
        assert [record.deliveries for record in found] == list(range(1, MANY + 1))


# ---- attempts


async def attempts_are_kept_until_they_are_forgotten(store: Store) -> None:
    """Of one batch in one zone."""
    batch = batch_name(1)
    async with client(store) as streams, client(store) as other:
        same(await streams.attempts("clean", batch), Attempts())
        await streams.note_attempts("clean", batch, make_attempts(crash=1))
        await streams.note_attempts("clean", batch, make_attempts(crash=1, hang=1))
        same(await other.attempts("clean", batch), make_attempts(crash=1, hang=1))
        same(await other.attempts("store", batch), Attempts())
        same(await other.attempts("clean", f"{batch}~r1"), Attempts())
        await streams.note_attempts("clean", batch, None)
        same(await other.attempts("clean", batch), Attempts())
        await streams.note_attempts("clean", batch, None)
        await streams.note_attempts("clean", batch, make_attempts(memory=1))
        same(await other.attempts("clean", batch), make_attempts(memory=1))
