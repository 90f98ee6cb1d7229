"""Every change is kept for ever, and shown in its order."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.control.changes import (
    OLD_PREFIX,
    PAGE,
    bring_over,
    change_of,
    changes,
    record,
    show_changes,
)
from firedoor.errors import StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.change import Change

NOW_S = 1_767_225_600.0


def change(at_s: float, *, by: str = "ann@laptop", about: str = "kill.predict.route") -> Change:
    return Change(at_s=at_s, by=by, because="it lies", what="killed", about=about, after="true")


def client() -> tuple[MemoryStore, MemoryStreams]:
    store = MemoryStore()
    return store, MemoryStreams(store, VirtualClock())


async def acts(streams: MemoryStreams) -> list[Happened]:
    return [entry.happened async for entry in streams.entries("acts")]


def test_changes_come_the_newest_first_and_as_many_as_are_asked_for() -> None:
    async def work() -> None:
        _, streams = client()
        for number in (3, 1, 2):
            await record(streams, change(NOW_S + number, about=f"flag{number}"))
        assert [each.about for each in await changes(streams)] == ["flag3", "flag2", "flag1"]
        assert [each.about for each in await changes(streams, 1)] == ["flag3"]
        assert [each.about for each in await changes(streams, about="flag1")] == ["flag1"]
        assert (await changes(streams, 1))[0] == change(NOW_S + 3, about="flag3")

    run(work())


def test_a_change_is_found_however_many_came_after_it() -> None:
    async def work() -> None:
        _, streams = client()
        for number in range(2 * PAGE + 10):
            await record(streams, change(NOW_S + number, about=f"flag{number}"))
        for number in (0, 9, 10, PAGE, 2 * PAGE + 9):
            (found,) = await changes(streams, 5, about=f"flag{number}")
            assert found.at_s == NOW_S + number
        assert len(await changes(streams, 1_000)) == 2 * PAGE + 10

    run(work())


def test_changes_of_one_moment_are_all_kept() -> None:
    async def work() -> None:
        _, streams = client()
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(record(streams, change(NOW_S, about=f"flag{number}")))
        assert {each.about for each in await changes(streams)} == {f"flag{n}" for n in range(10)}

    run(work())


def test_a_change_whose_answer_was_lost_is_kept_once() -> None:
    async def work() -> None:
        store, streams = client()
        store.lose("enter", done=True)
        with pytest.raises(StreamsUnavailable):
            await record(streams, change(NOW_S))
        await record(streams, change(NOW_S))
        assert await changes(streams) == [change(NOW_S)]

    run(work())


def test_long_texts_are_cut() -> None:
    async def work() -> None:
        _, streams = client()
        long = Change(at_s=NOW_S, by="ann", because="x" * 10**6, what="set", about="y" * 10**6)
        await record(streams, long)
        (kept,) = await changes(streams)
        assert len(kept.because) <= 2_000
        assert len(kept.about) <= 2_000

    run(work())


def test_changes_of_before_there_was_a_ledger_are_brought_over_once() -> None:
    async def work() -> None:
        store, streams = client()
        old = [change(NOW_S + number, about=f"flag{number}") for number in range(3)]
        for number, each in enumerate(old):
            await streams.put(f"{OLD_PREFIX}{number}-ann", msgspec.json.encode(each))
        await streams.put(f"{OLD_PREFIX}9-ann", b"\xff")
        store.lose("forget", done=False)
        with pytest.raises(StreamsUnavailable):
            await bring_over(streams)
        assert await bring_over(streams) == 3
        assert await bring_over(streams) == 0
        assert await changes(streams) == old[::-1]
        assert await streams.keys(OLD_PREFIX) == []

    run(work())


@pytest.mark.parametrize(
    ("what", "about", "kind", "zone"),
    [
        ("killed", "kill.predict.route", "flag", "predict"),
        ("flag set", "shadow-share", "flag", ""),
        ("zone pause", "enrich", "order", "enrich"),
        ("guard open", "enrich", "order", "enrich"),
        ("zone deployed", "enrich", "deploy", "enrich"),
        ("zone shadow passed", "enrich", "deploy", "enrich"),
        ("rollout start ordered", "predict", "rollout", "predict"),
        ("canary 5 %", "predict", "rollout", "predict"),
    ],
)
def test_a_change_is_an_entry_of_what_it_concerns(
    what: str, about: str, kind: str, zone: str
) -> None:
    async def work() -> None:
        _, streams = client()
        made = Change(at_s=NOW_S, by="ann", because="so", what=what, about=about)
        await record(streams, made)
        (entry,) = await acts(streams)
        assert (entry.kind, entry.zone) == (kind, zone)
        assert change_of(entry) == made

    run(work())


def test_what_is_no_change_is_left_out() -> None:
    async def work() -> None:
        _, streams = client()
        other = Happened(at_s=NOW_S, kind="model", text="added", process="p", sequence=1)
        await streams.enter(other)
        await record(streams, change(NOW_S))
        assert len(await changes(streams)) == 1

    run(work())


def test_a_change_is_shown_with_who_what_and_why() -> None:
    (row,) = show_changes([change(NOW_S)])
    assert row == ("ann@laptop", "killed", "kill.predict.route", "- -> true", "it lies")
