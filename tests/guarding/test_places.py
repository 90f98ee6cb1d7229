"""Places: never more than the limit, waiting by class, grown and cut by what calls show."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import firedoor as fd
from firedoor.guarding.guard import Guard
from firedoor.guards import events
from firedoor.guards.shedding import PRIORITIES, Priority
from firedoor.testing.loop import run
from guarding.world import World


def loop_guard(**more: Any) -> Guard:
    return Guard("serve->features", clock=lambda: asyncio.get_running_loop().time(), **more)


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("seed", range(20))
def test_places_are_given_by_class_and_never_more_than_there_are(seed: int) -> None:
    async def main() -> None:
        guard = loop_guard(limit=10, shedding=True)
        inside: dict[str, int] = dict.fromkeys(PRIORITIES, 0)
        most, ends = 0, {"good": 0, "refused": 0}

        async def one(name: Priority, at_s: float) -> None:
            nonlocal most
            await pause(at_s)

            async def work() -> None:
                nonlocal most
                inside[name] += 1
                most = max(most, sum(inside.values()))
                await pause(0.05)
                inside[name] -= 1

            try:
                with fd.priority(name):
                    await guard.acall(work)
                ends["good"] += 1
            except fd.Overloaded:
                ends["refused"] += 1

        async with asyncio.TaskGroup() as group:
            for i in range(200):
                group.create_task(one(PRIORITIES[(i * 7 + seed) % 4], (i * 13 % 97) / 300))
        told = guard.explain()
        assert most <= 10
        assert ends["good"] + ends["refused"] == 200
        assert ends["refused"] > 0
        assert (told.inflight, told.waiting) == (0, 0)
        assert (told.totals.good, told.totals.refused) == (ends["good"], ends["refused"])

    run(main(), seed=seed)


def test_the_least_important_are_refused_first() -> None:
    async def main() -> None:
        guard = loop_guard(limit=10, shedding=fd.SheddingPolicy(queue_max=0))
        leave = asyncio.Event()
        let_in = dict.fromkeys(PRIORITIES, 0)

        async def one(name: Priority) -> None:
            try:
                with fd.priority(name):
                    await guard.acall(leave.wait)
            except fd.Overloaded:
                return
            let_in[name] += 1

        async with asyncio.TaskGroup() as group:
            for name in reversed(PRIORITIES):
                for _ in range(10):
                    group.create_task(one(name))
            await pause(0.1)
            leave.set()
        assert let_in == {"sheddable": 5, "batch": 2, "default": 2, "critical": 1}

    run(main())


def test_a_call_waits_a_little_and_is_then_refused() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        guard = loop_guard(limit=1, shedding=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(guard.acall(pause, 10.0))
            await pause(0.0)
            with pytest.raises(fd.Overloaded):
                await guard.acall(pause, 0.0)
            assert loop.time() == pytest.approx(0.1)
            waits = group.create_task(guard.acall(pause, 0.0))
            await pause(0.01)
            assert guard.explain().waiting == 1
            waits.cancel()
        assert guard.explain().waiting == 0
        assert guard.explain().inflight == 0

    run(main())


def test_a_thread_waits_for_a_place_and_gets_it() -> None:
    guard = Guard("a->b", limit=1, shedding=fd.SheddingPolicy(interval_s=5.0))
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        inside.set()
        leave.wait(5)

    got: list[str] = []
    holder = threading.Thread(target=guard.call, args=(hold,))
    holder.start()
    inside.wait(5)
    waiter = threading.Thread(target=lambda: got.append(guard.call(lambda: "got it")))
    waiter.start()
    while guard.explain().waiting == 0:
        threading.Event().wait(0.001)
    leave.set()
    waiter.join(5)
    holder.join(5)
    assert got == ["got it"]
    assert guard.explain().inflight == 0


def test_a_thread_that_gets_no_place_is_refused_in_time() -> None:
    guard = Guard("a->b", limit=1, shedding=fd.SheddingPolicy(interval_s=0.02))
    with guard, pytest.raises(fd.Overloaded) as refused:
        guard.call(lambda: None)
    assert refused.value.retry_after_s == 0.05
    assert guard.explain().waiting == 0


def test_slow_calls_cut_the_limit_and_a_used_limit_grows_again() -> None:
    world = World()
    guard = world.guard(timeout_s=1.0, limit=fd.LimitPolicy(initial=10))
    guard.call(world.work, "late", 0.8)
    assert guard.explain().limit == 7
    assert world.of(events.LimitCut) == [events.LimitCut(limit=7, before=10)]
    for _ in range(200):
        guard.call(world.work)
    assert guard.explain().limit == 7  # one call at once says nothing about seven

    async def main() -> None:
        adaptive = loop_guard(timeout_s=1.0, limit=fd.LimitPolicy(initial=10))
        for _ in range(20):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(adaptive.acall(pause, 0.01))
        limit = adaptive.explain().limit
        assert limit is not None
        assert limit > 12

    run(main())


def test_a_limit_that_is_cut_below_what_is_under_way_takes_the_places_as_they_come_back() -> None:
    async def main() -> None:
        guard = loop_guard(timeout_s=1.0, limit=fd.LimitPolicy(initial=10))
        async with asyncio.TaskGroup() as group:
            for _ in range(9):
                group.create_task(guard.acall(pause, 0.2))
            group.create_task(guard.acall(pause, 0.1))
            await pause(0.01)
            assert guard.explain().inflight == 10
        async with asyncio.TaskGroup() as group:
            for seconds in (0.6, *[0.7] * 9):
                group.create_task(guard.acall(pause, seconds))
        told = guard.explain()
        assert told.inflight == 0
        assert told.limit == 7

    run(main())


def test_shedding_is_told_when_it_begins_and_when_it_ends() -> None:
    world = World()
    guard = world.guard(limit=1)
    with guard:
        for _ in range(3):
            with pytest.raises(fd.Overloaded):
                guard.call(world.work)
    began = events.SheddingBegan(priority="default", inflight=1, limit=1, waiting=0)
    assert world.told == [began, events.SheddingEnded(refused=3)]
