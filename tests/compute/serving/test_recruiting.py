"""How soon there is a worker again once what they died of is over. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import SimpleNamespace
from typing import Any, cast

import pytest

from firedoor.compute.recruiting import Recruiter
from firedoor.isolation.narrow import Failure
from firedoor.isolation.relapse import RelapsePolicy
from firedoor.testing.loop import run

HANG_S = 0.5
"""How long a worker is held before it is ended."""


class Starts(Executor):
    """Threads in which each start takes so long."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        done: Future[Any] = Future()
        told = fn(*args)
        asyncio.get_running_loop().call_later(self.start_s, done.set_result, told)
        return done


class Office:
    """An employer of two workers that hang at once for as long as a fault lasts."""

    def __init__(self, over_s: float, start_s: float, tasks: asyncio.TaskGroup) -> None:
        self.loop = asyncio.get_running_loop()
        self.over_s = self.loop.time() + over_s
        self.alive = self.deaths = 0
        self.back = asyncio.Event()
        launcher = SimpleNamespace(launch=self.launch, stop=lambda: None)
        self.recruiter = Recruiter(
            cast("Any", launcher), self, tasks=tasks, threads=Starts(start_s),
            policy=RelapsePolicy(),
        )  # fmt: skip

    def launch(self, way: str, _limit_s: float) -> object:
        ready = SimpleNamespace(examples=2, notes=())
        return SimpleNamespace(ready=ready, process=SimpleNamespace(way=way), end=int)

    def missing(self, starting: int) -> int:
        return 2 - self.alive - starting

    def admit(self, launched: object) -> None:  # noqa: ARG002 - one worker is as good as another
        self.alive += 1
        if self.loop.time() < self.over_s:
            self.loop.call_later(HANG_S, self.hung)
        else:
            self.back.set()

    def hung(self) -> None:
        self.alive -= 1
        self.deaths += 1
        self.recruiter.relapsed("it hangs")
        self.recruiter.fill()

    def died_loading(self, failure: Failure) -> None:
        raise AssertionError(failure)

    def gave_up(self) -> None:
        raise AssertionError(self.recruiter.failed)


async def ill(over_s: float, start_s: float) -> tuple[float, int]:
    """Return after how long a worker stays once the fault is over, and how many died of it."""
    async with asyncio.TaskGroup() as tasks:
        office = Office(over_s, start_s, tasks)
        office.recruiter.fill()
        await office.back.wait()
        await office.recruiter.close()
    return office.loop.time() - office.over_s, office.deaths


@pytest.mark.parametrize("over_s", [1.0, 5.0, 9.0, 13.0, 60.0, 600.3])
def test_a_version_is_back_within_2_s_however_long_it_was_ill(over_s: float) -> None:
    back_s, _ = run(ill(over_s, start_s=0.1))
    assert 0 <= back_s <= 2.0


def test_a_version_that_never_stops_hanging_starts_few_workers() -> None:
    _, deaths = run(ill(600.0, start_s=0.1))
    assert deaths <= 2 * 600 / 1.5 + 8


def test_a_start_that_takes_long_is_repeated_less_often() -> None:
    back_s, deaths = run(ill(600.0, start_s=6.0))
    assert 0 <= back_s <= 3 * 6.0 + HANG_S
    assert deaths <= 2 * 600 / (3 * 6.0) + 8
