"""Copies of predictions are written behind requests, bounded, whatever becomes of the broker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import msgspec
import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.data.prediction_writer import PredictionWriter
from firedoor.ports.prediction_log import PredictionLog
from firedoor.testing.conformance.store import make_plan
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.prediction import (
    CHUNK_BYTES_MAX,
    RECORD_BYTES_MAX,
    Feature,
    PredictionRecord,
    decode_chunk,
    size_of,
)

CLOCK = VirtualClock()


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual time knows no threads: what runs in one is run at once."""

    async def at_once(work: Callable[..., object], *args: object) -> object:
        return work(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def record(number: int, *, body: bytes = b"", service: str = "predict") -> PredictionRecord:
    return PredictionRecord(
        id=f"{number:012x}cafe",
        at_s=number / 1_000,
        service=service,
        gateway="g1",
        arm="champion",
        version=number % 7,
        body=body or f'{{"tailnum": "N{number}"}}'.encode(),
        features=(Feature("weather", "cached", 42.0, {"temp": "c"}, {"temp": (42.0,)}),),
        scores=(number / 3,),
    )


class Told:
    """A store, a writer to it, and what was read of it."""

    def __init__(self, **bounds: int) -> None:
        self.store = MemoryStore()
        self.store.declare(make_plan(predictions_bytes=64 * 2**20))
        self.streams = MemoryStreams(self.store, CLOCK)
        self.writer = PredictionWriter(self.streams, clock=CLOCK, **bounds)

    async def read(self) -> list[PredictionRecord]:
        return [
            found async for chunk in self.streams.predictions(0) for found in decode_chunk(chunk)
        ]


@asynccontextmanager
async def running(**bounds: int) -> AsyncIterator[Told]:
    told = Told(**bounds)
    async with asyncio.TaskGroup() as group:
        group.create_task(told.writer.run())
        yield told
        await told.writer.close()


def lived(story: Callable[[], Coroutine[object, object, None]]) -> None:
    run(story())


def test_what_is_put_is_in_the_log_a_second_later_as_it_was() -> None:
    async def story() -> None:
        async with running() as told:
            log: PredictionLog = told.writer
            for number in range(1_234):
                log.put(record(number))
            await CLOCK.wait(1.1)
            assert log.written == 1_234
            assert await told.read() == [record(number) for number in range(1_234)]
            assert (log.dropped, told.writer.waiting, told.writer.waiting_bytes) == (0, 0, 0)

    lived(story)


def test_five_hundred_are_not_waited_for_a_second() -> None:
    async def story() -> None:
        async with running() as told:
            for number in range(500):
                told.writer.put(record(number))
            await CLOCK.wait(0.01)
            assert told.writer.written == 500

    lived(story)


def test_an_outage_is_survived_up_to_the_bound_and_what_came_later_is_counted() -> None:
    async def story() -> None:
        async with running(records_max=3_000) as told:
            told.store.down()
            for number in range(5_000):
                told.writer.put(record(number))
            await CLOCK.wait(300)
            assert told.writer.dropped == 2_000
            assert "down" in told.writer.because
            told.store.up()
            await CLOCK.wait(5)
            told.writer.put(record(9_999))
            await CLOCK.wait(2)
            kept = range(3_000)
            assert await told.read() == [record(number) for number in [*kept, 9_999]]
            assert told.writer.written == 3_001
            assert told.writer.because == ""

    lived(story)


def test_a_broker_that_is_reached_later_is_given_what_waits() -> None:
    async def story() -> None:
        async with running() as told:
            told.writer.log = None
            for number in range(600):
                told.writer.put(record(number))
            await CLOCK.wait(60)
            assert (told.writer.written, told.writer.waiting) == (0, 600)
            assert "not been reached" in told.writer.because
            told.writer.log = told.streams
            await CLOCK.wait(3)
            assert await told.read() == [record(number) for number in range(600)]

    lived(story)


def test_a_chunk_whose_answer_was_lost_is_not_kept_twice() -> None:
    async def story() -> None:
        async with running() as told:
            told.store.lose("log_predictions", done=True, times=2)
            told.store.lose("log_predictions", done=False, times=1)
            for number in range(700):
                told.writer.put(record(number))
            await CLOCK.wait(10)
            assert await told.read() == [record(number) for number in range(700)]

    lived(story)


def test_bytes_are_bounded_as_well_as_records() -> None:
    async def story() -> None:
        async with running(bytes_max=2**20) as told:
            told.store.down()
            dice = random.Random(1)
            for number in range(100):
                told.writer.put(record(number, body=dice.randbytes(60_000)))
                assert told.writer.waiting_bytes <= 2**20
            assert told.writer.dropped == 100 - told.writer.waiting
            assert 15 <= told.writer.waiting <= 17
            told.store.up()
            await CLOCK.wait(3)
            assert told.writer.waiting_bytes == 0

    lived(story)


def test_no_chunk_is_larger_than_may_be_and_each_is_of_one_service() -> None:
    async def story() -> None:
        async with running() as told:
            dice = random.Random(2)
            for number in range(90):
                body = dice.randbytes(dice.randrange(1, 65_536))
                told.writer.put(record(number, body=body, service="ab"[number // 50]))
            await CLOCK.wait(2)
            sizes = [len(chunk.payload) async for chunk in told.streams.predictions(0)]
            assert len(sizes) > 2
            assert max(sizes) <= CHUNK_BYTES_MAX
            assert len([chunk async for chunk in told.streams.predictions(0, "b")]) >= 1
            assert len(await told.read()) == 90

    lived(story)


def test_a_giant_record_goes_without_its_rows() -> None:
    async def story() -> None:
        async with running() as told:
            giant = record(1, body=b"x" * RECORD_BYTES_MAX)
            told.writer.put(giant)
            await CLOCK.wait(2)
            (kept,) = await told.read()
            assert (kept.body, kept.id, kept.scores) == (b"", giant.id, giant.scores)
            assert kept.features[0].code == "cached"
            assert size_of(kept) < 1_000

    lived(story)


def test_closing_writes_what_waits() -> None:
    async def story() -> None:
        async with running() as told:
            for number in range(1_200):
                told.writer.put(record(number))
            await told.writer.close()
            assert told.writer.written == 1_200
            told.writer.put(record(7))
            assert told.writer.dropped == 1

    lived(story)


def test_a_record_that_cannot_be_written_costs_no_other() -> None:
    async def story() -> None:
        async with running() as told:
            bad = msgspec.structs.replace(record(2), key="\ud800")
            for one in (record(1), bad, record(3)):
                told.writer.put(one)
            await CLOCK.wait(2)
            assert await told.read() == [record(1), record(3)]
            assert (told.writer.written, told.writer.dropped) == (2, 1)

    lived(story)


def test_closing_without_a_broker_takes_no_longer_than_its_bound() -> None:
    async def story() -> None:
        told = Told()
        async with asyncio.TaskGroup() as group:
            group.create_task(told.writer.run())
            told.store.down()
            for number in range(10):
                told.writer.put(record(number))
            await CLOCK.wait(5)
            began_s = CLOCK.now_s()
            await told.writer.close(within_s=1.5)
            assert CLOCK.now_s() - began_s == pytest.approx(1.5)
            assert told.writer.dropped == 10
        assert told.writer.written == 0

    lived(story)
