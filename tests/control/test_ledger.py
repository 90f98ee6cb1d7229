"""The ledger is read as one, in the order in which things happened, and its gaps are known."""

from __future__ import annotations

import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.control.ledger import LedgerReader, Missing, in_order, is_of, missing, told_of
from firedoor.errors import StreamsUnavailable
from firedoor.events.happened import Happened, Kind
from firedoor.testing.loop import VirtualClock, run


def entry(at_s: float, kind: Kind = "job", *, sequence: int = 1, **more: object) -> Happened:
    more = {"text": f"at {at_s:g}", "process": f"p{at_s:g}"} | more
    return Happened(at_s=at_s, kind=kind, sequence=sequence, **more)  # type: ignore[arg-type]


def test_both_books_are_read_as_one_in_the_order_in_which_things_happened() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        for one in (entry(3), entry(1, "flag"), entry(2), entry(4, "order")):
            await streams.enter(one)
        reader = LedgerReader(streams=streams)
        assert [one.at_s for one in await reader.fresh()] == [1, 2, 3, 4]
        assert await reader.fresh() == []
        await streams.enter(entry(0.5))  # told late: the broker was away
        await streams.enter(entry(5, "flag"))
        assert [one.at_s for one in await reader.fresh()] == [0.5, 5]

    run(work())


def test_a_broker_that_goes_away_in_the_middle_has_nothing_skipped() -> None:
    async def work() -> None:
        store = MemoryStore()
        streams = MemoryStreams(store, VirtualClock())
        await streams.enter(entry(1))
        await streams.enter(entry(2, "flag"))
        reader = LedgerReader(streams=streams)
        store.lose("entries", done=False)
        with pytest.raises(StreamsUnavailable):
            await reader.fresh()
        assert [one.at_s for one in await reader.fresh()] == [1, 2]

    run(work())


def test_zones_and_kinds_are_chosen() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        for one in (
            entry(1, "zone.state", zone="enrich"),
            entry(2, "flag"),
            entry(3, "zone.note", zone="clean"),
        ):
            await streams.enter(one)
        reader = LedgerReader(streams=streams, zone="enrich")
        assert [one.at_s for one in await reader.fresh()] == [1]
        reader = LedgerReader(streams=streams, kinds=("zone",))
        assert [one.at_s for one in await reader.fresh()] == [1, 3]
        reader = LedgerReader(streams=streams, kinds=("zone.note", "flag"))
        assert [one.at_s for one in await reader.fresh()] == [2, 3]

    run(work())


def test_a_kind_is_chosen_by_whole_words() -> None:
    assert is_of(entry(1, "zone.state"), ("zone",))
    assert not is_of(entry(1, "zone.state"), ("zo",))
    assert not is_of(entry(1, "model"), ("mod", "zone"))


def test_numbers_that_are_missing_are_counted_for_each_process() -> None:
    found = [entry(1, sequence=number, process="a") for number in (3, 4, 7)]
    found += [entry(1, sequence=number, process="b") for number in (1, 2, 3)]
    found += [entry(1, sequence=1, process=f"act-{number}") for number in range(5)]
    assert missing(found) == [Missing("a", 2, 0)]


def test_what_a_journal_says_that_it_lost_is_among_what_is_missing() -> None:
    gap = entry(1, "gap", sequence=13, process="a", about="a", facts={"lost": 2})
    found = [entry(1, sequence=number, process="a") for number in (*range(1, 7), 9, 10, 11)]
    assert missing([*found, gap]) == [Missing("a", 3, 2)]


def test_entries_of_one_moment_keep_the_order_of_their_process() -> None:
    found = [entry(1, sequence=number, process="a") for number in (2, 1, 3)]
    assert [one.sequence for one in in_order(found)] == [1, 2, 3]


def test_an_entry_is_told_in_one_sentence() -> None:
    one = entry(
        1, "zone.state", text="paused:\n the store is away", before="running", after="paused",
        cause="dependency:db", facts={"held_back": 3},
    )  # fmt: skip
    assert told_of(one) == (
        "paused: the store is away (running -> paused); because of dependency:db "
        "(and 3 more like it)"
    )
    act = entry(1, "flag", text="killed", by="ann", because="it lies")
    assert told_of(act) == "killed; ann: it lies"
