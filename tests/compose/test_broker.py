"""A broker that dies, or lives and stores nothing, is told of once and mended, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from control.world import make_plan
from firedoor.adapters.memory import MemoryJournal
from firedoor.compose.broker import Broker
from firedoor.compose.project import Endpoint, Project
from firedoor.errors import StoreRefused
from firedoor.testing.loop import VirtualClock, run

FULL = "the disk is full: free some"


class Machine:
    """A broker's process, and the disk under it. See ``compose.broker.Server``."""

    def __init__(self) -> None:
        self.pid = 1
        self.lives = True
        self.full = False
        self.failed = False
        """A write failed: nothing is stored until it is started again."""
        self.refusals: list[Exception] = []
        self.dies_after_start = 0
        self.starts_s: list[float] = []
        self.stopped = False

    def alive(self) -> bool:
        return self.lives

    def fault(self) -> str | None:
        return FULL if self.failed else None

    def no_room(self) -> str | None:
        return FULL if self.full else None

    def restart(self) -> None:
        self.starts_s.append(VirtualClock().now_s())
        if self.refusals:
            raise self.refusals.pop(0)
        assert not self.full, "there is no room to start"
        self.pid += 1
        self.lives = self.dies_after_start <= 0
        self.dies_after_start -= 1
        self.failed = False

    def stop(self) -> None:
        self.stopped = True

    def fill(self) -> None:
        self.full = self.failed = True


async def at_once(work: Callable[[], None]) -> None:
    """Do in virtual time what takes a thread else."""
    work()


def kept(
    tmp_path: Path, story: Callable[[Broker, Machine, VirtualClock, list[str]], Awaitable[None]]
) -> tuple[Machine, list[str]]:
    """Have a broker kept at work while a story happens to its machine; return what was told."""
    machine, told, clock = Machine(), list[str](), VirtualClock()

    async def main() -> None:
        broker = Broker(
            project=Project.at(tmp_path), plan=make_plan(), clock=clock, tell=told.append,
            local=machine, in_thread=at_once,
        )  # fmt: skip
        keeping = asyncio.ensure_future(broker.keep())
        await story(broker, machine, clock, told)
        keeping.cancel()

    run(main())
    return machine, told


def test_one_that_dies_is_started_again_within_a_moment_and_told_of(tmp_path: Path) -> None:
    async def story(
        broker: Broker, machine: Machine, clock: VirtualClock, _told: list[str]
    ) -> None:
        await clock.wait(60)
        machine.lives = False
        await clock.wait(1)
        assert machine.lives
        assert (broker.fault, broker.gone) == ("", "")

    machine, told = kept(tmp_path, story)
    assert len(machine.starts_s) == 1
    assert machine.starts_s[0] - 60 < 0.5
    assert told == ["the broker (process 1) has died; started again (1 so far), nothing is lost"]


def test_a_full_disk_is_told_once_and_waited_for_however_long(tmp_path: Path) -> None:
    async def story(broker: Broker, machine: Machine, clock: VirtualClock, told: list[str]) -> None:
        machine.fill()
        await clock.wait(5)
        assert broker.fault == FULL
        assert len(told) == 1
        assert all(
            part in told[0] for part in (FULL, "nothing is lost", "as soon as there is room")
        )
        await clock.wait(3_600)
        assert broker.fault == FULL
        assert (machine.starts_s, len(told)) == ([], 1), "a broker that reads is left at work"
        machine.full = False
        await clock.wait(5)
        assert broker.fault == ""

    machine, told = kept(tmp_path, story)
    assert len(machine.starts_s) == 1, "it stores nothing until it is started again"
    assert told[1:] == ["the broker can store again; started again (1 so far), nothing is lost"]


def test_a_disk_that_is_full_again_soon_is_told_of_as_well_if_that_lasts(tmp_path: Path) -> None:
    async def story(
        _broker: Broker, machine: Machine, clock: VirtualClock, told: list[str]
    ) -> None:
        for lasts_s in (3, 60, 3):
            machine.fill()
            await clock.wait(lasts_s)
            machine.full = False
            await clock.wait(3)
        assert machine.lives
        assert len(told) == 4

    machine, told = kept(tmp_path, story)
    assert len(machine.starts_s) == 3
    assert told[0] == told[2]
    assert "started again (2 so far, 2 in a row)" in told[3]


def test_one_that_dies_on_a_full_disk_is_started_once_there_is_room(tmp_path: Path) -> None:
    async def story(broker: Broker, machine: Machine, clock: VirtualClock, told: list[str]) -> None:
        machine.fill()
        machine.lives = False
        await clock.wait(600)
        assert (broker.fault, broker.gone) == ("", FULL)
        assert told == [f"the broker has died and does not start: {FULL}; it is tried again"]
        machine.full = False
        await clock.wait(5)
        assert machine.lives

    machine, _ = kept(tmp_path, story)
    assert len(machine.starts_s) == 1


def test_a_start_that_fails_is_tried_again_and_again_and_told_once(tmp_path: Path) -> None:
    refused = StoreRefused("its folder cannot be written")
    full = OSError(28, "No space left on device")

    async def story(broker: Broker, machine: Machine, clock: VirtualClock, told: list[str]) -> None:
        machine.refusals = [refused, full, *[refused] * 18]
        machine.lives = False
        await clock.wait(30)
        assert (broker.fault, broker.gone) == ("", str(refused))
        assert len(told) == 1
        assert str(refused) in told[0]
        await clock.wait(120)
        assert machine.lives

    machine, told = kept(tmp_path, story)
    waits = [round(b - a, 3) for a, b in zip(machine.starts_s, machine.starts_s[1:], strict=False)]
    assert len(machine.starts_s) == 21
    assert waits == sorted(waits), "each wait is longer, up to a bound"
    assert max(waits) <= 5.5
    assert len(told) == 2


def test_one_that_dies_again_and_again_backs_off_and_is_told_when_that_is_plain(
    tmp_path: Path,
) -> None:
    async def story(
        _broker: Broker, machine: Machine, clock: VirtualClock, told: list[str]
    ) -> None:
        machine.dies_after_start = 20
        machine.lives = False
        await clock.wait(300)
        assert machine.lives
        assert [line for line in told if "in a row" in line], told
        await clock.wait(60)
        machine.lives = False  # long after: a new beginning
        await clock.wait(1)

    machine, told = kept(tmp_path, story)
    assert len(machine.starts_s) == 22
    assert len(told) == 3, told
    assert "8 in a row" in told[1]
    assert "22 so far)" in told[2]


def test_one_that_is_somewhere_already_is_written_down_for_every_zone_and_left_alone(
    tmp_path: Path,
) -> None:
    project, told = Project.at(tmp_path), list[str]()
    project.create()
    there = Endpoint(url="nats://broker:4222", user="ann", password="secret")  # noqa: S106
    broker = Broker(
        project=project, plan=make_plan(), clock=VirtualClock(), tell=told.append, external=there
    )

    async def main() -> None:
        assert await broker.start() == there
        await broker.keep()  # returns: it is not ours to keep
        await broker.stop()

    run(main())
    assert project.endpoint() == there
    assert {project.endpoint(zone.name).url for zone in make_plan().zones} == {there.url}
    assert told == []


@pytest.mark.parametrize("works", [True, False])
def test_it_is_ended_with_the_run_whatever_it_was_doing(tmp_path: Path, *, works: bool) -> None:
    async def story(
        broker: Broker, machine: Machine, clock: VirtualClock, _told: list[str]
    ) -> None:
        if not works:
            machine.fill()
        await clock.wait(5)
        await broker.stop()

    machine, _ = kept(tmp_path, story)
    assert machine.stopped


def test_its_deaths_and_returns_are_noted_while_nobody_is_there_to_take_them(
    tmp_path: Path,
) -> None:
    machine, journal, clock = Machine(), MemoryJournal(), VirtualClock()

    async def main() -> None:
        broker = Broker(
            project=Project.at(tmp_path), plan=make_plan(), clock=clock, tell=lambda _line: None,
            local=machine, in_thread=at_once, journal=journal,
        )  # fmt: skip
        keeping = asyncio.ensure_future(broker.keep())
        await clock.wait(60)
        machine.lives = False
        await clock.wait(60)
        machine.fill()
        await clock.wait(60)
        machine.full = False
        await clock.wait(60)
        keeping.cancel()

    run(main())
    told = [(one.kind, one.code, one.cause) for one in journal.noted]
    assert told == [
        ("broker", "died", "broker"), ("broker", "started", ""),
        ("broker", "cannot_store", "broker"), ("broker", "started", ""),
    ]  # fmt: skip
    assert "process 1" in journal.noted[0].text
    assert FULL in journal.noted[2].text
