"""Defects that breakers for Python have had, each shown on a small naive guard that has it.

A test holds if the naive guard shows the defect and ours does not: so it is known to bite.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from firedoor import GuardOpen
from firedoor.guarding.guard import Guard
from guarding.world import World, trip


class NaiveOpen(Exception):
    pass


class Naive:
    """Five failures in a row open it, time half-opens it, a success closes it. Nothing else."""

    def __init__(self, clock: Callable[[], float], *, locked: bool = False) -> None:
        self.clock, self.state, self.failures, self.since_s = clock, "closed", 0, 0.0
        self.lock = threading.RLock() if locked else None
        self.error = NaiveOpen("open")

    def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        if self.lock is not None:
            with self.lock:
                return self._call(fn, *args)
        return self._call(fn, *args)

    def _call(self, fn: Callable[..., Any], *args: Any) -> Any:
        self.admit()
        try:
            result = fn(*args)
        except Exception:
            self.end(good=False)
            raise
        self.end(good=True)
        return result

    async def acall(self, fn: Callable[..., Any]) -> Any:
        self.admit()
        try:
            result = await fn()
        except Exception:
            self.end(good=False)
            raise
        self.end(good=True)
        return result

    def admit(self) -> None:
        if self.state == "open":
            if self.clock() - self.since_s < 1.0:
                raise self.error
            self.state = "half-open"

    def end(self, *, good: bool) -> None:
        if good:
            self.state, self.failures = "closed", 0
            return
        self.failures += 1
        if self.failures >= 5:
            self.state, self.since_s = "open", self.clock()


class SingleProbe(Naive):
    """Lets one probe through, and waits for it for ever."""

    def admit(self) -> None:
        if self.state == "half-open":
            raise self.error
        super().admit()


class Counting(Naive):
    """Opens after five failures in a minute, however many calls there were."""

    def end(self, *, good: bool) -> None:
        self.failures += not good
        if self.failures >= 5:
            self.state, self.since_s = "open", self.clock()


def naive_tripped(world: World, kind: type[Naive] = Naive) -> Naive:
    naive = kind(world.clock)
    world.fail(5)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            naive.call(world.work)
    assert naive.state == "open"
    return naive


def ours_tripped(world: World) -> Guard:
    guard = world.guard(timeout_s=1.0)
    trip(world, guard)
    return guard


def flood(world: World, acall: Callable[..., Any]) -> int:
    """Return how many of fifty calls at once reach a dependency that does not answer."""

    async def main() -> int:
        reached = 0
        never = asyncio.Event()

        async def hang() -> None:
            nonlocal reached
            reached += 1
            await never.wait()

        tasks = [asyncio.ensure_future(acall(hang)) for _ in range(50)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()
        return reached

    world.now_s += 5.0
    return asyncio.run(main())


def test_half_open_lets_one_of_fifty_calls_through() -> None:
    world = World()
    assert flood(world, naive_tripped(world).acall) == 50
    world = World()
    assert flood(world, ours_tripped(world).acall) == 1


def late_success(world: World, guard: Naive | Guard, tripping: int) -> str:
    """Begin a call, let others trip the breaker, then end it well; return the state."""

    def others_fail() -> str:
        world.fail(tripping)
        for _ in range(tripping):
            with pytest.raises(ConnectionError):
                guard.call(world.work)
        assert guard.state == "open"
        return "late"

    assert guard.call(others_fail) == "late"
    return guard.state


def test_a_success_that_comes_late_closes_nothing() -> None:
    world = World()
    assert late_success(world, Naive(world.clock), 5) == "closed"
    assert late_success(world, world.guard(), 10) == "open"


def test_a_late_failure_of_a_closed_time_does_not_lengthen_an_opening() -> None:
    world = World()
    guard = world.guard()

    def others_fail() -> None:
        trip(world, guard)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        guard.call(others_fail)
    assert guard.explain().consecutive == 10


def test_a_late_failure_does_not_end_a_probe() -> None:
    world = World()
    guard = world.guard()

    def others_fail_and_time_passes() -> None:
        trip(world, guard)
        world.now_s += 5.0
        probe.append(guard.call(late_failure_during_the_probe))
        raise ConnectionError

    def late_failure_during_the_probe() -> str:
        return "probed"

    probe: list[str] = []
    with pytest.raises(ConnectionError):
        guard.call(others_fail_and_time_passes)
    assert probe == ["probed"]
    assert guard.state == "closed"
    assert guard.explain().bad == 0


def hung_probe(world: World, guard: Naive | Guard, refusal: type[Exception]) -> str:
    """Begin a probe, and call again and again while it hangs, for eighteen virtual seconds."""
    world.now_s += 5.0

    def hang() -> None:
        for _ in range(6):
            world.now_s += 3.0
            try:
                outcome.append(guard.call(world.work))
            except refusal:
                outcome.append("refused")

    outcome: list[object] = []
    try:
        guard.call(hang)
    except refusal:
        outcome.append("refused")
    return " ".join(map(str, outcome))


def test_a_probe_that_hangs_does_not_shut_everybody_out_for_ever() -> None:
    world = World()
    assert hung_probe(world, naive_tripped(world, SingleProbe), NaiveOpen) == " ".join(
        ["refused"] * 6
    )
    world = World()
    # After ten seconds the lease is over: a failed probe, and 1.5 s later the next is made.
    guard = world.guard()
    trip(world, guard)
    assert hung_probe(world, guard, GuardOpen) == " ".join(["refused"] * 4 + ["fresh"] * 2)
    assert guard.state == "closed"


def at_once(call: Callable[..., Any]) -> bool:
    """Return whether two threads are in the work at the same time."""
    both = threading.Barrier(2)
    met: list[bool] = []

    def work() -> None:
        try:
            both.wait(timeout=0.3)
        except threading.BrokenBarrierError:
            return
        met.append(True)

    threads = [threading.Thread(target=call, args=(work,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=5)
    return len(met) == 2


def test_no_lock_is_held_during_the_call() -> None:
    world = World()
    assert not at_once(Naive(world.clock, locked=True).call)
    assert at_once(world.guard(timeout_s=1.0, retry=2, limit=5).call)


def frames_after(refuse: Callable[[], object], kind: type[Exception]) -> int:
    """Return the length of the traceback of the thousandth refusal."""
    length = 0
    for i in range(1_000):
        try:
            refuse()
        except kind as error:
            if i == 999:
                length = sum(1 for _ in traceback.walk_tb(error.__traceback__))
    return length


def test_refusals_do_not_pile_up_in_memory() -> None:
    world = World()
    naive, guard = naive_tripped(world), ours_tripped(world)
    assert frames_after(lambda: naive.call(world.work), NaiveOpen) >= 1_000
    assert frames_after(lambda: guard.call(world.work), GuardOpen) <= 10
    before = sys.getallocatedblocks()
    frames_after(lambda: guard.call(world.work), GuardOpen)
    assert sys.getallocatedblocks() - before < 1_000


def refused_of(world: World, guard: Naive | Guard, refusal: type[Exception]) -> int:
    """Return how many of 2,000 calls are refused when one in a hundred fails."""
    refused = 0
    for i in range(2_000):
        world.now_s += 0.001
        if i % 100 == 99:
            world.fail()
        try:
            guard.call(world.work)
        except ConnectionError:
            pass
        except refusal:
            refused += 1
            world.script.clear()
    return refused


def test_one_failure_in_a_hundred_opens_nothing_however_many_calls_there_are() -> None:
    world = World()
    assert refused_of(world, Counting(world.clock), NaiveOpen) > 1_000
    assert refused_of(world, world.guard(), GuardOpen) == 0


def test_a_dependency_that_is_slow_instead_of_failing_is_noticed() -> None:
    world = World()
    naive, guard = Naive(world.clock), world.guard(timeout_s=1.0)
    for _ in range(5):
        naive.call(world.work, "late", 0.8)
        guard.call(world.work, "late", 0.8)
    assert naive.state == "closed"
    assert guard.state == "open"
    assert guard.explain().slow >= 5
