"""The log of predictions: chunks in the order of keeping, of which the oldest go first."""

from __future__ import annotations

import random

from firedoor.errors import StoreRefused
from firedoor.ports.streams import Streams
from firedoor.testing.conformance.store import Store, client, make_plan, raising
from firedoor.wire.prediction import Chunk

BYTES = 4 * 2**20
CHUNK_BYTES = 300_000


def _chunk(number: int, size: int = 100) -> Chunk:
    """Return a chunk that no other is like."""
    payload = random.Random(number).randbytes(size)  # noqa: S311 - no secret
    return Chunk(f"{number:012x}beef", "predict", number - 0.5, number + 0.5, 7, 2, payload)


async def _read(streams: Streams, since_s: float = 0.0, service: str | None = None) -> list[Chunk]:
    """Return all chunks since then."""
    return [chunk async for chunk in streams.predictions(since_s, service)]


async def chunks_are_read_as_they_were_kept(store: Store) -> None:
    """By every client, more than a page of them, whole."""
    plan = make_plan(predictions_bytes=BYTES)
    chunks = [_chunk(number) for number in range(40)]
    async with client(store, plan) as streams, client(store, plan) as other:
        assert await _read(streams) == []
        for chunk in chunks:
            assert await streams.log_predictions(chunk)
        assert await _read(other) == chunks
        assert await _read(other, service="predict") == chunks
        assert await _read(other, service="another") == []


async def a_chunk_that_is_sent_twice_is_kept_once(store: Store) -> None:
    """Its first answer may have been lost."""
    plan = make_plan(predictions_bytes=BYTES)
    async with client(store, plan) as streams:
        assert await streams.log_predictions(_chunk(1))
        assert not await streams.log_predictions(_chunk(1))
        assert await _read(streams) == [_chunk(1)]


async def reading_begins_at_a_time(store: Store) -> None:
    """Of keeping, which is after that of making."""
    plan = make_plan(predictions_bytes=BYTES)
    async with client(store, plan) as streams:
        await streams.log_predictions(_chunk(1))
        await store.clock.wait(1.0)
        between_s = store.clock.utc_s()
        await store.clock.wait(1.0)
        await streams.log_predictions(_chunk(2))
        assert await _read(streams, between_s) == [_chunk(2)]
        assert await _read(streams, between_s + 3_600) == []


async def the_oldest_go_where_there_is_no_room(store: Store) -> None:
    """And nothing is ever refused for that."""
    plan = make_plan(predictions_bytes=BYTES)
    chunks = [_chunk(number, CHUNK_BYTES) for number in range(30)]
    async with client(store, plan) as streams:
        for chunk in chunks:
            assert await streams.log_predictions(chunk)
        left = await _read(streams)
        assert left == chunks[-len(left) :]
        assert BYTES / 2 < sum(len(chunk.payload) for chunk in left) <= BYTES


async def chunks_outlive_a_broker_that_is_killed(store: Store) -> None:
    """What was acknowledged is there."""
    plan = make_plan(predictions_bytes=BYTES)
    async with client(store, plan) as streams:
        await streams.log_predictions(_chunk(1))
        await store.restart(kill=True)
        assert await _read(streams) == [_chunk(1)]


async def without_a_service_there_is_no_log(store: Store) -> None:
    """Which is said, by who reads and who writes."""
    async with client(store) as streams:
        with raising(StoreRefused) as said:
            await streams.log_predictions(_chunk(1))
        with raising(StoreRefused):
            await _read(streams)
    assert "keeps predictions" in said[0]
