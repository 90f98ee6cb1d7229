"""Every change is kept, in its order, and no longer than it is to be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.control import changes as log
from firedoor.control.changes import PREFIX, changes, prune, record, show_changes
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.change import Change

if TYPE_CHECKING:
    import pytest

DAY_S = 86_400.0
NOW_S = 1_767_225_600.0


def change(at_s: float, *, by: str = "ann@laptop", about: str = "kill.predict.route") -> Change:
    return Change(at_s=at_s, by=by, because="it lies", what="killed", about=about, after="true")


def test_changes_come_the_newest_first_and_as_many_as_are_asked_for() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        for number in (3, 1, 2):
            await record(streams, change(NOW_S + number, about=f"flag{number}"))
        assert [each.about for each in await changes(streams)] == ["flag3", "flag2", "flag1"]
        assert [each.about for each in await changes(streams, 1)] == ["flag3"]
        assert [each.about for each in await changes(streams, about="flag1")] == ["flag1"]
        assert (await changes(streams, 1))[0] == change(NOW_S + 3, about="flag3")

    run(work())


def test_changes_of_one_moment_are_all_kept() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(record(streams, change(NOW_S, about=f"flag{number}")))
        assert {each.about for each in await changes(streams)} == {f"flag{n}" for n in range(10)}

    run(work())


def test_whoever_it_was_makes_a_key_that_can_be_kept() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        key = await record(streams, change(NOW_S, by="Ann Müller <ann@b.c>" * 10))
        assert key.startswith(f"{PREFIX}1767225600000000000-ann-m-ller-ann-b-c-")
        assert len(key) < 80
        assert (await changes(streams))[0].by.startswith("Ann Müller")

    run(work())


def test_long_texts_are_cut() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        long = Change(at_s=NOW_S, by="ann", because="x" * 10**6, what="set", about="y" * 10**6)
        await record(streams, long)
        (kept,) = await changes(streams)
        assert len(kept.because) <= 1_000
        assert len(kept.about) <= 1_000

    run(work())


def test_changes_past_retention_are_removed_and_no_others() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        for days in (40, 31, 29, 0):
            await record(streams, change(NOW_S - days * DAY_S, about=f"{days} days"))
        await streams.put("flags", b"{}")
        assert await prune(streams, retention_days=30, now_s=NOW_S) == 2
        assert [each.about for each in await changes(streams)] == ["0 days", "29 days"]
        assert await prune(streams, retention_days=30, now_s=NOW_S) == 0
        assert await streams.get("flags") == b"{}"

    run(work())


def test_no_more_are_kept_than_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "KEPT_MAX", 3)

    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        for number in range(5):
            await record(streams, change(NOW_S + number, about=f"flag{number}"))
        assert await prune(streams, retention_days=30, now_s=NOW_S) == 2
        assert [each.about for each in await changes(streams)] == ["flag4", "flag3", "flag2"]

    run(work())


def test_what_is_no_change_is_left_out() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        await streams.put(f"{PREFIX}9-ann", b"\xff")
        await record(streams, change(NOW_S))
        assert len(await changes(streams)) == 1

    run(work())


def test_a_change_is_shown_with_who_what_and_why() -> None:
    (row,) = show_changes([change(NOW_S)])
    assert row == ("ann@laptop", "killed", "kill.predict.route", "- -> true", "it lies")
