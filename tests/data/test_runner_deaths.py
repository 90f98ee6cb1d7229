"""A runner may die between any two steps; the next one goes on, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio

import pytest

from data.runner_world import (
    CLOCK,
    ROWS,
    Work,
    World,
    batch_name,
    decode,
    edge,
    plan_of,
    rows_of,
    running,
    until,
)
from firedoor.adapters.memory.store import Call
from firedoor.data.runner import Runner
from firedoor.testing.loop import run
from firedoor.wire.records import Attempts

BATCHES = 3
BAD = 2
CALLS_MAX = 100
PLAN = plan_of(edge("src:mid"), edge("mid:a"), edge("mid:b", by_way=True))
BESIDE = {"fetch", "get", "beat", "beats", "depth", "working"}
"""Calls that are not about one batch."""


class Dying:
    """A link on which the runner ends at its ``at``-th call about a batch.

    With ``after`` what was asked for took effect, and the answer never arrived.
    """

    def __init__(self, at: int, *, after: bool) -> None:
        self.at = at
        self.after = after
        self.calls: list[Call] = []
        self.dead = asyncio.Event()

    async def ask(self, call: Call) -> None:
        await CLOCK.wait(0.001)
        if call in BESIDE:
            return
        self.calls.append(call)
        if len(self.calls) == self.at and not self.after:
            await self._die()

    async def answer(self, call: Call) -> None:
        if call not in BESIDE and len(self.calls) >= self.at and self.after:
            await self._die()

    async def _die(self) -> None:
        self.dead.set()
        await asyncio.Event().wait()


async def run_to_death(runner: Runner, link: Dying, world: World) -> bool:
    """Run until the link ends the runner (True), or everything is done (False)."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await until(lambda: link.dead.is_set() or is_done(world))
        task.cancel()
    return link.dead.is_set()


def is_done(world: World) -> bool:
    return len(world.recorded()) == BATCHES and world.waiting() == 0


async def check(world: World) -> None:
    """Every row is where it belongs, once for every reader that looks at (zone, batch)."""
    names = [batch_name(number) for number in range(BATCHES)]
    assert world.recorded() == names
    for record in world.store.records.values():
        assert record.rows_in == record.passed + record.dead == ROWS
        assert set(record.published.values()) == {ROWS - BAD}
    for name, mark in (("mid:a", ""), ("mid:b", "@mid")):
        found = await world.drained(name)
        assert {delivery.envelope.batch for delivery in found} == {n + mark for n in names}
        for delivery in found:
            number = int(delivery.envelope.batch[4:10])
            assert decode(delivery.payload) == [2 * r for r in rows_of(number, bad=BAD)[BAD:]]
    assert {batch for _, batch in world.store.dead} == set(names)
    for number in range(BATCHES):
        _, payload = world.store.dead["mid", batch_name(number)]
        assert decode(payload) == rows_of(number, bad=BAD)[:BAD]
    assert world.store.attempts == {}


@pytest.mark.parametrize("broker_restarts", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_a_death_at_any_call_loses_and_doubles_nothing(
    after: bool,  # noqa: FBT001 - a column
    broker_restarts: bool,  # noqa: FBT001 - a column
) -> None:
    async def once(at: int) -> tuple[bool, list[Call]]:
        world, link = World(PLAN), Dying(at, after=after)
        await world.put(range(BATCHES), bad=BAD)
        died = await run_to_death(world.runner(link=link, concurrency=1), link, world)
        if broker_restarts:
            world.store.restart()
        async with running(world.runner(replica="there-2")):
            await until(lambda: is_done(world))
        await check(world)
        return died, link.calls

    seen: set[Call] = set()
    for at in range(1, CALLS_MAX):
        died, calls = run(once(at))
        seen.update(calls)
        if not died:
            break
    else:
        pytest.fail("there was no end of calls")
    assert seen == {"recorded", "publish", "bury", "record", "ack"}
    assert at > BATCHES * len(seen)


@pytest.mark.parametrize("seed", range(10))
def test_runner_after_runner_that_dies_still_gets_everything_done(seed: int) -> None:
    async def main() -> None:
        world = World(PLAN)
        await world.put(range(BATCHES), bad=BAD)
        for times in range(40):
            link = Dying(4 + seed + times % 5, after=bool(times % 2))
            await run_to_death(world.runner(link=link, concurrency=3), link, world)
            if is_done(world):
                break
        async with running(world.runner(replica="there-2")):
            await until(lambda: is_done(world))
        await check(world)

    run(main(), seed=seed)


def test_order_of_the_calls_is_publish_bury_record_acknowledge() -> None:
    async def main() -> None:
        world, link = World(), Dying(CALLS_MAX, after=False)
        await world.put([0], bad=1)
        async with running(world.runner(link=link)):
            await until(lambda: world.waiting() == 0)
        assert link.calls == ["recorded", "publish", "bury", "record", "ack"]

    run(main())


def test_order_of_the_calls_of_a_batch_that_came_before_notes_and_forgets_attempts() -> None:
    async def main() -> None:
        world, link = World(), Dying(CALLS_MAX, after=False)
        await world.put([0])
        await kill_with_in_hand(world)
        async with running(world.runner(link=link)):
            await until(lambda: world.waiting() == 0)
        assert link.calls == [
            "recorded", "attempts", "note_attempts", "publish", "record", "note_attempts", "ack",
        ]  # fmt: skip
        record = world.record(0)
        assert record is not None
        assert (record.deliveries, record.attempts) == (2, {"runner": 1})

    run(main())


async def kill_with_in_hand(world: World, number: int = 0) -> Work:
    """Have a runner die with a batch at work."""
    work = Work(stuck={batch_name(number)})
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.runner(work=work).run())
        await until(lambda: work.at_once == 1 and batch_name(number) in work.together)
        await CLOCK.wait(1.0)
        task.cancel()
    return work


def test_a_batch_whose_runner_died_twice_is_worked_on_alone() -> None:
    async def main() -> None:
        world = World()
        await world.put([0])
        for _ in range(2):
            await kill_with_in_hand(world)
        await world.put(range(1, 9))
        work = Work(takes_s=1.0)
        await CLOCK.wait(31.0)
        async with running(world.runner(work=work, concurrency=4)):
            await until(lambda: len(world.recorded()) == 9)
        assert work.together[batch_name(0)] == 1
        first = work.handled.index(batch_name(0))
        assert work.most_at_once == 4
        during = [work.together[name] for name in work.handled[first + 1 :]]
        assert during, "nothing came after it"
        record = world.record(0)
        assert record is not None
        assert record.attempts == {"runner": 2}

    run(main())


def test_after_eight_runners_the_zone_halts_and_names_the_batch() -> None:
    async def main() -> None:
        world = World()
        await world.put([0])
        for times in range(8):
            assert (world.attempts(0) or Attempts()).counts.get("runner", 0) == max(0, times - 1)
            await kill_with_in_hand(world)
        work = Work()
        runner = world.runner(work=work)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            status = runner.status()
            assert (status.code, work.handled) == ("runner_dies", [])
            assert batch_name(0) in status.cause
            assert "8 runners" in status.cause
            assert world.waiting() == 1
            await CLOCK.wait(100.0)
            assert runner.status().state == "halted"
            await world.order("run", 1)
            await until(lambda: world.waiting() == 0)
        assert world.recorded() == [batch_name(0)]

    run(main())


def test_what_was_given_back_on_purpose_counts_for_nobody() -> None:
    async def main() -> None:
        world = World()
        await world.put(range(3))
        for generation in range(12):
            runner = world.runner(work=Work(takes_s=5.0), concurrency=1)
            async with running(runner):
                await until(lambda: world.out() >= min(2, world.waiting()))
                await world.order("pause", generation)
                await CLOCK.wait(1.0)
            await world.order("run", generation)
            if not world.waiting():
                break
        assert [record.attempts for record in world.store.records.values()] == [{}, {}, {}]
        assert max(record.deliveries for record in world.store.records.values()) > 1

    run(main())


def test_a_batch_that_comes_again_while_it_is_in_hand_is_not_done_twice() -> None:
    async def main() -> None:
        world, work = World(), Work(takes_s=100.0)
        await world.put([0])
        runner = world.runner(work=work)
        async with running(runner):
            await until(lambda: work.at_once == 1)
            for message in world.store.boxes["src:mid"].messages.values():
                message.due_s = 0.0  # as after an outage in which nobody could say "working"
            world.store.boxes["src:mid"].wake()
            await until(lambda: world.waiting() == 0)
        assert work.handled == [batch_name(0)]
        record = world.record(0)
        assert record is not None
        assert (record.deliveries, record.attempts) == (2, {})

    run(main())


def test_a_cancelled_runner_leaves_what_is_not_recorded() -> None:
    async def main() -> None:
        world = World()
        await world.put(range(4))
        await kill_with_in_hand(world, 1)
        left = {batch_name(number) for number in range(4)} - set(world.recorded())
        assert world.waiting() == len(left) >= 1
        assert batch_name(1) in left

    run(main())
