"""What processes note comes into the ledger, once, whatever is away and whoever dies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.files.spool import SUFFIX, journals
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.compose.journaling import (
    FOLDER,
    Forwarding,
    Journaling,
    adopt,
    begin_journal,
    leave_word,
    spooled,
)
from firedoor.errors import StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.testing.loop import VirtualClock, run

SOON_S = 20.0


def noted(number: int) -> Happened:
    return Happened(at_s=number, kind="job", zone="train", text=f"run {number}")


async def ledger(streams: MemoryStreams) -> list[str]:
    return [entry.happened.text async for entry in streams.entries("happenings")]


def test_entries_are_forwarded_as_they_are_noted_in_their_order(tmp_path: Path) -> None:
    async def work() -> None:
        clock = VirtualClock()
        streams = MemoryStreams(MemoryStore(), clock)
        forwarding = Forwarding(journal=begin_journal(tmp_path, "up", clock=clock), clock=clock)
        forwarding.reach(streams)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(forwarding.run())
            for number in range(200):
                forwarding.journal.note(noted(number))
                await clock.wait(0.01)
            assert await ledger(streams) == [f"run {number}" for number in range(200)]
            task.cancel()
        await forwarding.finish()

    run(work())


def test_nobody_waits_for_a_broker_that_is_away_and_all_is_told_when_it_is_back(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        clock, store = VirtualClock(), MemoryStore()
        streams = MemoryStreams(store, clock)
        forwarding = Forwarding(journal=begin_journal(tmp_path, "up", clock=clock), clock=clock)
        forwarding.reach(streams)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(forwarding.run())
            store.down()
            before_s = clock.now_s()
            for number in range(100):
                forwarding.journal.note(noted(number))
            assert clock.now_s() == before_s
            await clock.wait(60.0)
            assert forwarding.failing
            store.up()
            await clock.wait(20.0)
            assert await ledger(streams) == [f"run {number}" for number in range(100)]
            assert not forwarding.failing
            task.cancel()
        await forwarding.finish()
        assert journals(tmp_path / FOLDER) == []

    run(work())


def test_an_answer_that_was_lost_doubles_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        clock, store = VirtualClock(), MemoryStore()
        streams = MemoryStreams(store, clock)
        forwarding = Forwarding(journal=begin_journal(tmp_path, "up", clock=clock), clock=clock)
        forwarding.reach(streams)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(forwarding.run())
            for number in range(20):
                store.lose("enter", done=number % 2 == 0)
                forwarding.journal.note(noted(number))
                await clock.wait(5.0)
            assert await ledger(streams) == [f"run {number}" for number in range(20)]
            task.cancel()
        await forwarding.finish()

    run(work())


def test_what_a_dead_process_left_is_forwarded_once_by_whoever_finds_it(tmp_path: Path) -> None:
    for number in range(3):
        leave_word(tmp_path, noted(number), name="models", clock=SystemClock())

    async def work() -> None:
        clock, store = VirtualClock(), MemoryStore()
        streams = MemoryStreams(store, clock)
        alive = begin_journal(tmp_path, "up", clock=clock)
        alive.note(noted(9))
        store.down()
        with pytest.raises(StreamsUnavailable):
            await adopt(tmp_path, streams, alive, clock=clock)
        store.up()
        async with asyncio.TaskGroup() as group:
            counts = [
                group.create_task(adopt(tmp_path, streams, alive, clock=clock)) for _ in range(3)
            ]
        assert sum(task.result() for task in counts) >= 3
        assert sorted(await ledger(streams)) == ["run 0", "run 1", "run 2"]
        alive.close(SOON_S)

    asyncio.run(work())
    (left,) = journals(tmp_path / FOLDER)
    assert left.name.startswith("up."), "that of the process that lives"


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    leave_word(tmp_path, noted(1), name="models", clock=SystemClock())
    (path,) = journals(tmp_path / FOLDER)
    path.write_bytes(path.read_bytes() + b'{"kind":"of the future"}\nnonsense\n')

    async def work() -> list[Happened]:
        clock = SystemClock()
        journal = begin_journal(tmp_path, "up", clock=clock)
        await adopt(tmp_path, MemoryStreams(MemoryStore(), clock), journal, clock=clock)
        return journal.waiting(9)

    (gap,) = asyncio.run(work())
    assert (gap.kind, gap.code, gap.facts["lost"]) == ("gap", "unreadable", 2)


def test_a_zone_forwards_what_processes_of_its_own_left_and_no_others(tmp_path: Path) -> None:
    for name in ("enrich", "clean"):
        leave_word(tmp_path, noted(1), name=name, clock=SystemClock())

    async def work() -> None:
        clock = SystemClock()
        streams = MemoryStreams(MemoryStore(), clock)
        journaling = Journaling(tmp_path, "enrich", clock, zone="enrich")
        async with asyncio.TaskGroup() as group:
            task = group.create_task(journaling.run(streams))
            until_s = clock.now_s() + SOON_S
            while len(await ledger(streams)) < 2:
                assert clock.now_s() < until_s, "what a dead process left is not forwarded"
                await clock.wait(0.01)
            task.cancel()
        await journaling.finish()
        found = [entry.happened async for entry in streams.entries("happenings")]
        assert {one.kind for one in found} == {"process.began", "job"}
        assert next(one.zone for one in found if one.kind == "process.began") == "enrich"

    asyncio.run(work())
    assert [path.name.split(".")[0] for path in journals(tmp_path / FOLDER)] == ["clean"]


def test_journals_are_read_while_their_processes_live(tmp_path: Path) -> None:
    journal = begin_journal(tmp_path, "up", clock=SystemClock())
    journal.note(noted(1))
    leave_word(tmp_path, noted(2), name="models", clock=SystemClock())
    journal.close(SOON_S)
    assert sorted(one.text for one in spooled(tmp_path)) == ["run 1", "run 2"]


def test_names_become_ones_that_files_and_subjects_may_have(tmp_path: Path) -> None:
    journal = begin_journal(tmp_path, "a b/../c", clock=SystemClock())
    journal.note(noted(1))
    journal.close(SOON_S)
    (path,) = journals(tmp_path / FOLDER)
    assert path.name.startswith("a-b-c.")
    assert path.name.endswith(SUFFIX)
