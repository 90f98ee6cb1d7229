"""The ledger: entries are kept once, in the order of writing, in the book of their kind."""

from __future__ import annotations

from msgspec.structs import replace

from firedoor.errors import StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.events.kinds import Book
from firedoor.ports.streams import Streams
from firedoor.testing.conformance.store import Store, client, raising

FULL = Happened(
    at_s=1_767_225_600.25, kind="zone.state", zone="clean", text="halted: r\u00e9sum\u00e9",
    code="halted", cause="dependency:db", by="ann", because="it lies", about="clean@3",
    before="running", after="halted", trace="0af7651916cd43dd8448eb211c80319c",
    facts={"rows": 3, "share": 0.5, "file": "a.csv"}, process="host-7-x", sequence=1,
)  # fmt: skip
ACT = replace(FULL, kind="order", process="host-8-y")
MANY = 300
"""More than are read at once."""


def _entry(sequence: int, zone: str = "clean") -> Happened:
    """Return an entry of a process."""
    return replace(FULL, zone=zone, sequence=sequence)


async def _read(
    streams: Streams,
    book: Book = "happenings",
    *,
    after: int = 0,
    since_s: float = 0.0,
    zone: str | None = None,
) -> list[Happened]:
    """Return what is in a book."""
    found = streams.entries(book, after=after, since_s=since_s, zone=zone)
    return [entry.happened async for entry in found]


async def an_entry_is_read_as_it_was_written(store: Store) -> None:
    """By every client, with all its fields, in the book of its kind."""
    async with client(store) as streams, client(store) as other:
        assert await _read(streams) == []
        assert await streams.enter(FULL)
        assert await streams.enter(ACT)
        assert await _read(other) == [FULL]
        assert await _read(other, "acts") == [ACT]


async def an_entry_that_is_sent_twice_is_kept_once(store: Store) -> None:
    """By whoever sends it: another may forward what a dead process has left."""
    async with client(store) as streams, client(store) as other:
        assert await streams.enter(FULL)
        assert not await streams.enter(FULL)
        assert not await other.enter(FULL)
        others = [replace(FULL, process="host-9-z"), replace(FULL, zone="store")]
        assert [await other.enter(one) for one in others] == [True, True]
        assert await _read(streams) == [FULL, *others]


async def entries_come_as_they_were_written(store: Store) -> None:
    """More than a page of them; places rise, and who followed so far goes on where it was."""
    written = [_entry(sequence) for sequence in range(1, MANY + 1)]
    async with client(store) as streams:
        assert await streams.last_place("happenings") == 0
        for happened in written:
            await streams.enter(happened)
        found = [entry async for entry in streams.entries("happenings")]
        assert [entry.happened for entry in found] == written
        places = [entry.place for entry in found]
        assert places == sorted(set(places))
        assert await streams.last_place("happenings") == places[-1]
        assert await streams.last_place("acts") == 0
        assert await _read(streams, after=places[9]) == written[10:]
        assert await _read(streams, after=places[-1]) == []


async def entries_are_found_by_their_zone(store: Store) -> None:
    """Those of the pipeline as a whole have none."""
    async with client(store) as streams:
        for sequence, zone in enumerate(("clean", "", "store", "clean"), 1):
            await streams.enter(_entry(sequence, zone))
        assert [one.sequence for one in await _read(streams, zone="clean")] == [1, 4]
        assert [one.sequence for one in await _read(streams, zone="")] == [2]
        assert [one.zone for one in await _read(streams, zone="")] == [""]
        assert await _read(streams, zone="intake") == []


async def reading_begins_at_a_time_of_writing(store: Store) -> None:
    """Which is after that at which it happened."""
    async with client(store) as streams:
        await streams.enter(_entry(1))
        await store.clock.wait(1.0)
        between_s = store.clock.utc_s()
        await store.clock.wait(1.0)
        await streams.enter(_entry(2))
        assert await _read(streams, since_s=between_s) == [_entry(2)]
        assert await _read(streams, since_s=between_s + 3_600) == []


async def entries_outlive_a_broker_that_is_killed(store: Store) -> None:
    """And those that are sent again after that are known."""
    async with client(store) as streams:
        await streams.enter(FULL)
        await streams.enter(ACT)
        await store.restart(kill=True)
        assert not await streams.enter(FULL)
        assert not await streams.enter(ACT)
        assert await _read(streams) == [FULL]
        assert await _read(streams, "acts") == [ACT]


async def nothing_is_entered_while_the_broker_is_away(store: Store) -> None:
    """Which is said, by who reads as well."""
    async with client(store) as streams:
        await store.stop()
        with raising(StreamsUnavailable):
            await streams.enter(_entry(1))
        with raising(StreamsUnavailable):
            await _read(streams)
