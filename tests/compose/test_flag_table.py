"""Flags are changed with the broker and without it, and nothing that was killed comes back."""

from __future__ import annotations

import contextlib
import multiprocessing
from pathlib import Path

import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.adapters.memory.store import Call
from firedoor.compose.flag_table import MERGE_S, FlagTable, flag_chores
from firedoor.compose.flags_file import FlagsFile
from firedoor.control.changes import changes
from firedoor.control.flags import Wanted, edit_offline, read_flags
from firedoor.errors import NotKnown, StreamsUnavailable
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.flags import Flag, Flags, killed, newer

SWITCH = "kill.predict.route"


def wanted(name: str = SWITCH, *, at_s: float = 10.0, unset: bool = False) -> Wanted:
    verb = "unset" if unset else "set"
    return Wanted(verb=verb, name=name, by="ann", because="it lies", at_s=at_s)  # type: ignore[arg-type]


class Machine:
    """A broker that can be away, and one machine's view of its flags."""

    def __init__(self, folder: Path, store: MemoryStore | None = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.streams = MemoryStreams(self.store, VirtualClock())
        self.file = FlagsFile(folder)
        self.table = FlagTable(self.streams, self.file)


def test_a_change_is_the_brokers_and_is_kept_on_disk(tmp_path: Path) -> None:
    async def work() -> None:
        machine = Machine(tmp_path)
        changed = await machine.table.change(wanted())
        assert not changed.offline
        assert await read_flags(machine.streams) == changed.flags == machine.file.read()
        assert await machine.table.read() == (changed.flags, True)

    run(work())


def test_a_switch_is_thrown_without_the_broker_and_merged_back(tmp_path: Path) -> None:
    async def work() -> None:
        machine = Machine(tmp_path)
        before = (await machine.table.change(wanted("theirs", at_s=1.0))).flags
        machine.store.down()
        changed = await machine.table.change(wanted())
        assert changed.offline
        kept = FlagsFile(tmp_path).read()
        assert kept is not None
        assert kept.generation > before.generation
        assert killed(kept, "predict", "route")
        assert await machine.table.read() == (kept, False)
        machine.store.up()
        held = newer(machine.file.read(), await read_flags(machine.streams))
        assert killed(held, "predict", "route"), "it held before it was merged"
        (merged,) = await machine.table.merge_back()
        assert (merged.about, merged.by, merged.because) == (SWITCH, "ann", "it lies")
        told = await read_flags(machine.streams)
        assert set(told.flags) == {SWITCH, "theirs"}
        assert machine.file.read() == told
        assert told.offline == {}
        assert await machine.table.merge_back() == ()

    run(work())


def test_a_switch_is_lifted_without_the_broker_as_well(tmp_path: Path) -> None:
    async def work() -> None:
        machine = Machine(tmp_path)
        await machine.table.change(wanted())
        machine.store.down()
        await machine.table.change(wanted(unset=True, at_s=20.0))
        machine.store.up()
        assert not killed((await machine.table.read())[0], "predict", "route")
        await machine.table.change(wanted("other", at_s=30.0))
        assert set((await read_flags(machine.streams)).flags) == {"other"}
        assert [each.what for each in await changes(machine.streams)] == [
            "flag set", "flag changed while the broker was away", "killed",
        ]  # fmt: skip

    run(work())


@pytest.mark.parametrize("call", ["swap", "get"])
@pytest.mark.parametrize("done", [False, True])
def test_a_change_is_recorded_once_wherever_the_broker_goes_away_in_it(
    tmp_path: Path, call: Call, *, done: bool
) -> None:
    async def work() -> None:
        for times in (1, 2, 3):
            machine = Machine(tmp_path / str(times))
            machine.store.lose(call, done=done, times=times)
            await machine.table.change(wanted())
            machine.store.up()
            for _ in range(4):
                with contextlib.suppress(StreamsUnavailable):
                    await machine.table.merge_back()
            told = await read_flags(machine.streams)
            assert killed(told, "predict", "route")
            assert machine.file.read() == told
            assert [each.about for each in await changes(machine.streams)] == [SWITCH]

    run(work())


def test_two_machines_that_changed_things_alone_agree_afterwards(tmp_path: Path) -> None:
    async def work() -> None:
        one = Machine(tmp_path / "one")
        two = Machine(tmp_path / "two", one.store)
        await one.table.change(wanted("shared", at_s=1.0))
        two.file.keep(await read_flags(two.streams))
        one.store.down()
        await one.table.change(wanted("of.one", at_s=2.0))
        await two.table.change(wanted("of.two", at_s=3.0))
        one.store.up()
        for machine in (one, two):
            await machine.table.merge_back()
        told = await read_flags(one.streams)
        assert set(told.flags) == {"shared", "of.one", "of.two"}
        for machine in (one, two):
            assert (await machine.table.read())[0] == told

    run(work())


def test_a_broker_whose_store_is_new_gets_what_the_machine_knew(tmp_path: Path) -> None:
    async def work() -> None:
        before = (await Machine(tmp_path).table.change(wanted())).flags
        anew = Machine(tmp_path)
        changed = await anew.table.change(wanted("other", at_s=20.0))
        assert changed.flags.generation > before.generation
        assert set((await read_flags(anew.streams)).flags) == {SWITCH, "other"}

    run(work())


def test_what_is_refused_changes_nothing_with_and_without_the_broker(tmp_path: Path) -> None:
    async def work() -> None:
        machine = Machine(tmp_path)
        for away in (False, True):
            if away:
                machine.store.down()
            with pytest.raises(NotKnown, match="no flag"):
                await machine.table.change(wanted(unset=True))
        assert machine.file.read() in (None, Flags())

    run(work())


def test_the_chore_of_a_run_merges_back_and_says_so(tmp_path: Path) -> None:
    async def work() -> None:
        machine, told, clock = Machine(tmp_path), list[str](), VirtualClock()
        machine.store.down()
        await machine.table.change(wanted())
        chores = flag_chores(machine.streams, tmp_path, clock=clock, tell=told.append)
        import asyncio  # noqa: PLC0415 - only here

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(chore) for chore in chores]
            await clock.wait(3 * MERGE_S)
            assert told == []
            machine.store.up()
            await clock.wait(3 * MERGE_S)
            assert killed(await read_flags(machine.streams), "predict", "route")
            for task in tasks:
                task.cancel()
        assert told == [f"{SWITCH}: changed by ann while the broker was away, merged back"]

    run(work())


# ---- the file


def test_an_older_table_never_takes_the_place_of_a_newer_one(tmp_path: Path) -> None:
    file = FlagsFile(tmp_path)
    old, new = Flags(generation=1), Flags(generation=2, flags={"a": Flag(value=1)})
    assert file.keep(new) == new
    assert file.keep(old) == new
    assert FlagsFile(tmp_path).read() == new


def test_a_file_that_is_damaged_is_none_and_is_written_anew(tmp_path: Path) -> None:
    file = FlagsFile(tmp_path)
    file.keep(Flags(generation=1))
    file.path.write_bytes(b'{"generation": 9, "fla')
    assert file.read() is None
    assert file.keep(Flags(generation=2)) == Flags(generation=2)
    assert file.read() == Flags(generation=2)


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = FlagsFile(tmp_path)
    file.keep(Flags(generation=1))
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700


def throw(folder: Path, number: int) -> None:
    """Throw switches in a process of its own, as commands do."""
    file = FlagsFile(folder)
    for each in range(5):
        name = f"kill.zone{number}.switch{each}"
        file.change(lambda table, name=name: edit_offline(table, wanted(name)))  # type: ignore[misc]
        file.keep(Flags(generation=number))


def test_no_switch_is_lost_where_processes_write_the_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=throw, args=(tmp_path, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    kept = FlagsFile(tmp_path).read()
    assert kept is not None
    names = {f"kill.zone{number}.switch{each}" for number in range(4) for each in range(5)}
    assert set(kept.flags) == set(kept.offline) == names
