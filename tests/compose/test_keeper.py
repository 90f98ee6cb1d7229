"""A zone's process that dies is started again, more and more slowly, and that is told.

The processes are real: in a project without a plan each of them says so, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from control.world import make_plan
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.memory import MemoryJournal
from firedoor.compose.children import Child
from firedoor.compose.deploys import Deploy
from firedoor.compose.keeper import Keeper
from firedoor.compose.project import Project
from firedoor.compose.restarts import RestartPolicy
from firedoor.wire.records import Order

WAIT_S = 60.0
FOREVER_S = 3_600.0
"""A wait that a test cannot sit out."""


class Kept:
    """A keeper, and what it told."""

    def __init__(self, folder: Path, policy: RestartPolicy) -> None:
        self.project = Project.at(folder)
        self.project.create()
        self.told: list[str] = []
        self.deaths: list[str] = []
        self.journal = MemoryJournal()
        self.on_told: Callable[[str], None] = lambda _line: None
        self.on_death: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()
        self.keeper = Keeper(
            zone=make_plan().zone("clean"), project=self.project, clock=SystemClock(),
            tell=self._tell, settle=self._settle, died=self._died, policy=policy,
            journal=self.journal,
        )  # fmt: skip

    def _tell(self, line: str) -> None:
        self.told.append(line)
        self.on_told(line)
        self._changed.set()

    async def _settle(self, deploy: Deploy) -> None:
        raise AssertionError(deploy)

    async def _died(self, zone: str) -> None:
        self.deaths.append(zone)
        self.on_death()

    async def lines(self, count: int) -> None:
        """Wait until so many lines were told."""
        while len(self.told) < count:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def running(folder: Path, policy: RestartPolicy) -> AsyncIterator[Kept]:
    """Keep a zone at work."""
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        kept = Kept(folder, policy)
        kept.keeper.open()
        group.create_task(kept.keeper.run())
        try:
            yield kept
        finally:
            kept.keeper.leave()


def test_a_zone_that_dies_backs_off_is_called_a_crash_loop_and_starts_at_once_when_told_to(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        policy = RestartPolicy(wait_min_s=FOREVER_S, wait_max_s=FOREVER_S, loop_deaths=1)
        async with running(tmp_path, policy) as kept:
            keeper = kept.keeper
            await kept.lines(1)
            assert "ended with exit code 2; a crash loop: see" in kept.told[0]
            assert str(kept.project.log_file("clean")) in kept.told[0]
            assert "| firedoor: no pipeline has run in" in kept.told[0], "its last words are told"
            assert (keeper.looping, keeper.up) == (True, False)
            known = keeper.kept()
            assert (known.looping, known.deaths, known.up) == (True, 1, False)
            assert known.last == "ended with exit code 2"
            assert kept.deaths == ["clean"], "what it held is let go of before another one starts"
            (noted,) = kept.journal.of("process.died")
            assert (noted.zone, noted.code) == ("clean", "crash_loop")
            assert noted.facts["deaths"] == 1
            assert "no pipeline has run in" in str(noted.facts["said"])

            keeper.hear({}, Order(generation=1, by="ann"), None)  # `firedoor zone resume`
            assert not keeper.looping, "a person says that the cause is removed"
            await kept.lines(2)
            assert "process" in kept.told[1]
            assert keeper.kept().deaths == 2
        assert len(kept.told) == 2

    asyncio.run(main())


def test_a_process_that_cannot_be_started_for_now_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, RestartPolicy(wait_min_s=0.01, wait_max_s=0.01)) as kept:
            log = kept.project.log_file("clean")

            def break_log() -> None:
                log.rename(log.with_name("before.log"))
                log.mkdir()
                kept.on_death = lambda: None

            def mend(line: str) -> None:
                if "could not be started" in line:
                    with contextlib.suppress(OSError):
                        log.rmdir()

            kept.on_death, kept.on_told = break_log, mend
            await kept.lines(3)
            dead, refused, dead_again = kept.told[:3]
            assert "ended with exit code 2; started again (1 so far)" in dead
            assert "its process could not be started: Is a directory" in refused
            assert "tried again (2 so far)" in refused
            assert "(3 so far)" in dead_again

    asyncio.run(main())


def test_the_very_first_process_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        kept = Kept(tmp_path, RestartPolicy())
        kept.project.log_file("clean").mkdir()
        with pytest.raises(ExceptionGroup) as raised:
            await kept.keeper.run()
        assert raised.group_contains(IsADirectoryError)
        assert kept.told == []

    asyncio.run(main())


def test_a_zone_that_is_to_be_drained_is_not_started_until_it_is_wanted_again(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        policy = RestartPolicy(wait_min_s=FOREVER_S, wait_max_s=FOREVER_S)
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
            kept = Kept(tmp_path, policy)
            keeper = kept.keeper
            keeper.open()
            keeper.hear({}, Order(want="drain"), None)
            group.create_task(keeper.run())
            for _ in range(20):
                await asyncio.sleep(0)
            assert (keeper.up, kept.told) == (False, [])
            keeper.hear({}, Order(want="run", generation=1), None)
            await kept.lines(1)
            keeper.leave()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("order", "drained"),
    [
        (Order(want="drain"), True),
        (Order(want="run", generation=1), True),
        (Order(want="run"), False),
    ],
    ids=["drained", "and wanted again", "nobody asked"],
)
def test_a_process_that_ends_by_an_order_which_it_read_first_has_not_died(
    tmp_path: Path, order: Order, *, drained: bool
) -> None:
    async def main() -> None:
        kept = Kept(tmp_path, RestartPolicy(wait_min_s=0.0, wait_max_s=0.0))
        process = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.DEVNULL)
        ended = Child(zone="clean", version="1", process=process, began_s=0.0)
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
            judged = group.create_task(kept.keeper._account(ended))
            await process.wait()
            for heard in (Order(), order):
                assert not judged.done(), "judged by what was wanted before"
                await asyncio.sleep(0)
                kept.keeper.hear({}, heard, None)
        assert kept.deaths == ([] if drained else ["clean"])
        assert kept.keeper.kept().deaths == (0 if drained else 1)

    asyncio.run(main())
