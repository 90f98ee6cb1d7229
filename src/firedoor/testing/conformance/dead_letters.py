"""Dead letters: one entry for each (zone, batch), bounded, and never dropped for others."""

from __future__ import annotations

from msgspec.structs import replace

from firedoor.errors import DeadLettersFull
from firedoor.ports.streams import Streams
from firedoor.testing.conformance.store import (
    CHUNK_BYTES,
    DEAD_BYTES,
    EPOCH_S,
    Store,
    batch_name,
    client,
    make_dead,
    make_plan,
    raising,
)
from firedoor.wire.envelope import PAYLOAD_MAX


async def dead_rows_are_kept_as_they_were_buried(store: Store) -> None:
    """Entry and payload."""
    rows = bytes(range(256)) * 16
    entry = make_dead("intake-000001~r1", rows)
    async with client(store) as streams, client(store) as other:
        assert await streams.bury(entry, rows)
        assert await other.dead_rows("clean", "intake-000001~r1") == (entry, rows)
        assert await other.dead_rows("clean", "intake-000001") is None
        assert await other.dead_rows("store", "intake-000001~r1") is None


async def dead_rows_of_the_largest_payload_come_whole(store: Store) -> None:
    """A batch may die whole."""
    rows = bytes(range(256)) * (PAYLOAD_MAX // 256)
    async with client(store, make_plan(dead_bytes=4 * PAYLOAD_MAX)) as streams:
        entry = make_dead(batch_name(1), rows)
        assert await streams.bury(entry, rows)
        assert await streams.dead_rows("clean", batch_name(1)) == (entry, rows)


async def an_entry_is_buried_once(store: Store) -> None:
    """A second one is refused, whatever it holds; the first stays."""
    first = make_dead(batch_name(1), b"first")
    async with client(store) as streams, client(store) as other:
        assert await streams.bury(first, b"first")
        assert not await streams.bury(first, b"first")
        assert not await other.bury(make_dead(batch_name(1), b"second", rows=7), b"second")
        assert await streams.dead_rows("clean", batch_name(1)) == (first, b"first")
        assert [entry async for entry in streams.dead()] == [first]


async def zones_bury_the_same_batch_each_for_itself(store: Store) -> None:
    """The key is (zone, batch)."""
    async with client(store) as streams:
        for zone in ("clean", "store"):
            assert await streams.bury(make_dead(batch_name(1), b"x", zone=zone), b"x")
        assert [entry.zone async for entry in streams.dead(None, batch_name(1))] == [
            "clean",
            "store",
        ]


async def dead_letters_come_oldest_first(store: Store) -> None:
    """Of a zone, of a batch, of both, or all."""
    buried = [("store", 3), ("clean", 2), ("clean", 1), ("store", 1)]
    async with client(store) as streams:
        for at, (zone, number) in enumerate(buried):
            entry = make_dead(batch_name(number), b"x", zone=zone, at_s=EPOCH_S + at)
            await streams.bury(entry, b"x")

        async def names(zone: str | None = None, batch: str | None = None) -> list[str]:
            found = [entry async for entry in streams.dead(zone, batch)]
            return [f"{entry.zone} {int(entry.batch.removeprefix('intake-'))}" for entry in found]

        assert await names() == ["store 3", "clean 2", "clean 1", "store 1"]
        assert await names("clean") == ["clean 2", "clean 1"]
        assert await names(None, batch_name(1)) == ["clean 1", "store 1"]
        assert await names("store", batch_name(1)) == ["store 1"]
        assert await names("intake") == []


# ---- bounds


async def _fill(streams: Streams) -> int:
    """Bury until there is no room; return how many entries it took."""
    for number in range(DEAD_BYTES // CHUNK_BYTES + 1):
        rows = bytes(CHUNK_BYTES)
        try:
            assert await streams.bury(make_dead(batch_name(number), rows), rows)
        except DeadLettersFull:
            return number
    message = f"a store of {DEAD_BYTES} bytes takes more than that"
    raise AssertionError(message)


async def a_full_store_refuses_and_drops_nothing(store: Store) -> None:
    """``DeadLettersFull``; every entry stays, with its rows."""
    async with client(store) as streams:
        held = await _fill(streams)
        assert held >= DEAD_BYTES // CHUNK_BYTES // 2
        rows = bytes(CHUNK_BYTES)
        for number in (held, held + 1):
            with raising(DeadLettersFull):
                await streams.bury(make_dead(batch_name(number), rows), rows)
            assert await streams.dead_rows("clean", batch_name(number)) is None
        assert [e.batch async for e in streams.dead()] == [batch_name(n) for n in range(held)]
        assert await streams.dead_rows("clean", batch_name(0)) is not None


async def a_full_store_takes_what_is_left_of_an_entry(store: Store) -> None:
    """A replay in part makes room; it needs none."""
    async with client(store) as streams:
        held = await _fill(streams)
        rest = b"the rest"
        for number in range(held):
            entry = replace(make_dead(batch_name(number), rest, rows=1), replays=1, replayed_rows=1)
            await streams.rebury(entry, rest)
            assert await streams.dead_rows("clean", batch_name(number)) == (entry, rest)
        rows = bytes(CHUNK_BYTES)
        assert await streams.bury(make_dead(batch_name(held), rows), rows)


# ---- replacing


async def what_is_reburied_replaces_the_entry(store: Store) -> None:
    """Entry and rows; there is one as before."""
    async with client(store) as streams:
        await streams.bury(make_dead(batch_name(1), b"all of it", rows=4), b"all of it")
        for left in (3, 2):
            rest = b"r" * left
            entry = replace(make_dead(batch_name(1), rest, rows=left), replays=4 - left)
            await streams.rebury(entry, rest)
            assert await streams.dead_rows("clean", batch_name(1)) == (entry, rest)
            assert [found async for found in streams.dead()] == [entry]


async def an_entry_without_rows_is_removed(store: Store) -> None:
    """And its room is free."""
    async with client(store) as streams:
        held = await _fill(streams)
        await streams.rebury(make_dead(batch_name(0), b"", rows=0), b"")
        assert await streams.dead_rows("clean", batch_name(0)) is None
        assert [e.batch async for e in streams.dead()] == [batch_name(n) for n in range(1, held)]
        rows = bytes(CHUNK_BYTES)
        assert await streams.bury(make_dead(batch_name(held), rows), rows)
