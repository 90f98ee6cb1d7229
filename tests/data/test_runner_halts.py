"""What halts or pauses a zone, what ends that, and what stays where it is meanwhile."""

from __future__ import annotations

import itertools

import pytest

from data.runner_world import (
    CLOCK,
    LINE,
    ROWS,
    Work,
    World,
    batch_name,
    edge,
    plan_of,
    running,
    until,
)
from firedoor.data.runner import Runner
from firedoor.errors import (
    DependencyDown,
    FiredoorError,
    StepAtFault,
    StepUnloadable,
    WorkersUnavailable,
)
from firedoor.spec.plan import GatePolicy
from firedoor.testing.loop import run

GATE = GatePolicy(throttle_share=0.1, dead_max=0.3, window_rows=100, rows_min=20)


def contrast(signature: str = "KeyError at steps.py:12") -> StepAtFault:
    return StepAtFault("it is the step", code="contrast", signature=signature)


def states(runner: Runner) -> list[str]:
    return [transition.state for transition in runner.status().transitions]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (contrast(), "contrast", "src-000000: it is the step"),
        (StepUnloadable("no module"), "step_unloadable", "no module"),
        (FiredoorError("odd"), "error", "src-000000: odd"),
        (ZeroDivisionError("by zero"), "error", "src-000000: ZeroDivisionError: by zero"),
    ],
)
def test_a_fault_halts_the_zone_with_its_input_unacknowledged(
    error: Exception, code: str, said: str
) -> None:
    async def main() -> None:
        world, work = World(), Work(faults={"": [error]})
        await world.put(range(5))
        runner = world.runner(work=work, concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            await CLOCK.wait(300.0)
            status = runner.status()
            assert (status.state, status.code) == ("halted", code)
            assert said in status.cause
            assert status.next_command == "firedoor why mid"
            assert (world.recorded(), world.store.dead, world.waiting()) == ([], {}, 5)
            assert world.store.boxes["src:mid"].depth().unacknowledged == 0
            assert world.waiting("mid:out") == 0

    run(main())


def test_a_halted_zone_tries_again_only_under_a_higher_generation() -> None:
    async def main() -> None:
        world, work = World(), Work(faults={"": [contrast()]})
        await world.order("run", 4)
        await world.put(range(3))
        runner = world.runner(work=work, concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            await world.order("run", 4, because="again the same")
            await CLOCK.wait(60.0)
            assert world.recorded() == []
            await world.order("run", 5)
            await until(lambda: len(world.recorded()) == 3)
            assert runner.status().state == "running"
        assert all(record.attempts == {} for record in world.store.records.values())

    run(main())


def test_what_was_in_flight_when_the_zone_halted_finishes() -> None:
    async def main() -> None:
        world = World()
        work = Work(faults={batch_name(0): [contrast()]}, takes_s=1.0)
        await world.put([0])
        runner = world.runner(work=work, concurrency=3)
        async with running(runner):
            await until(lambda: work.at_once == 1)
            await CLOCK.wait(0.5)
            await world.put([1, 2])
            await until(lambda: runner.status().state == "halted")
            assert work.at_once == 2
            await until(lambda: len(world.recorded()) == 2)
            assert runner.status().state == "halted"
            assert world.waiting() == 1

    run(main())


QUICK = [1.0, 1.5, 2.25, 3.375, 4.0, 4.0]
"""Waits between two tries where a dependency is away."""
SLOW = [2.0, 4.0, 8.0, 16.0, 32.0, 60.0]


@pytest.mark.parametrize(
    ("error", "state", "code", "expected"),
    [
        (DependencyDown("the database is away"), "paused", "dependency_down", QUICK),
        (
            DependencyDown("the service is full", retry_after_s=7.0),
            "paused",
            "dependency_down",
            [7.0] * 6,
        ),
        (contrast("hang in lookup (steps.py)"), "halted", "contrast", SLOW),
        (WorkersUnavailable("no memory to fork"), "halted", "workers_unavailable", SLOW),
    ],
)
def test_what_may_be_a_dependency_is_probed_with_one_batch_at_a_time(
    error: Exception, state: str, code: str, expected: list[float]
) -> None:
    async def main() -> None:
        times: list[float] = []
        world = World()
        work = Work(faults={"": [error] * 7}, sees=lambda: times.append(CLOCK.now_s()))
        tried: list[float] = []
        await world.put(range(4))
        runner = world.runner(work=work, concurrency=1)
        faults = work.faults[""]
        async with running(runner):
            for left in range(6, -1, -1):
                await until(lambda left=left: len(faults) == left)  # type: ignore[misc]
                tried.append(CLOCK.now_s())
                await until(lambda: runner.status().state == state)
                assert (runner.status().code, world.recorded()) == (code, [])
            await until(lambda: len(world.recorded()) == 4)
            assert runner.status().state == "running"
        waits = [later - earlier for earlier, later in itertools.pairwise(tried)]
        assert waits == pytest.approx(expected, abs=0.1)
        assert work.most_at_once == 1
        (tries,) = (tries for tries in work.attempts.values() if len(tries) > 1)
        assert tries == list(range(1, 9)), "the step is not told which attempt it is"
        records = world.store.records.values()
        assert all(record.attempts == {} for record in records), "an attempt was counted"
        assert max(record.deliveries for record in records) >= 8

    run(main())


def test_a_trouble_that_comes_back_at_once_is_probed_less_and_less() -> None:
    async def main() -> None:
        world = World()
        down = DependencyDown("away")
        work = Work(faults={batch_name(1): [down], batch_name(2): [down], batch_name(3): [down]})
        await world.put(range(5))
        runner = world.runner(work=work, concurrency=1)
        began_s = CLOCK.now_s()
        async with running(runner):
            await until(lambda: len(world.recorded()) == 5)
        assert CLOCK.now_s() - began_s > 1 + 1.5 + 2.25

    run(main())


def test_a_damaged_batch_halts_the_zone_and_stays() -> None:
    async def main() -> None:
        world = World()
        await world.put(range(2))
        world.store.boxes["src:mid"].messages[1].payload = b"[1]"
        runner = world.runner(concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            status = runner.status()
            assert status.code == "damaged"
            assert "not the one that was published" in status.cause
            assert "src:mid" in status.cause
            await CLOCK.wait(100.0)
            assert world.waiting() >= 1

    run(main())


def test_the_batch_that_tips_the_gate_is_neither_buried_nor_published_nor_recorded() -> None:
    async def main() -> None:
        world = World(plan_of(edge("src:mid"), edge("mid:out"), gate=GATE))
        await world.put(range(4))
        await world.put([4], bad=ROWS)
        await world.put([5], bad=ROWS)
        runner = world.runner(concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            status = runner.status()
            assert status.code == "dead_max"
            assert "negative" in status.cause
            assert "20 of the latest 60 rows" in status.cause
            assert len(world.recorded()) == 5
            assert set(world.store.dead) == {("mid", batch_name(4))}
            assert world.waiting() == 1
            assert world.waiting("mid:out") == 4

    run(main())


def test_after_a_new_generation_the_window_starts_empty() -> None:
    async def main() -> None:
        world = World(plan_of(edge("src:mid"), edge("mid:out"), gate=GATE))
        await world.put([0, 1], bad=ROWS // 2)
        await world.put([2, 3, 4])
        runner = world.runner(concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            assert world.recorded() == [batch_name(0)]
            await world.order("run", 1)
            await until(lambda: len(world.recorded()) > 1)
            assert batch_name(1) in world.recorded()

    run(main())


def test_many_bad_rows_slow_the_pull_and_fewer_let_it_go_again() -> None:
    async def main() -> None:
        world = World(plan_of(edge("src:mid"), edge("mid:out"), gate=GATE))
        await world.put(range(4), bad=2)
        runner = world.runner(concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "throttled")
            began_s = CLOCK.now_s()
            await until(lambda: len(world.recorded()) == 4)
            assert CLOCK.now_s() - began_s > 5.0
            await world.put(range(4, 20))
            await until(lambda: len(world.recorded()) == 20)
            assert runner.status().state == "running"
        assert "throttled" in states(runner)
        assert len(world.store.dead) == 4

    run(main())


def test_full_dead_letters_pause_the_zone_and_lose_nothing() -> None:
    async def main() -> None:
        world = World(plan_of(edge("src:mid"), edge("mid:out"), dead_bytes_max=500))
        await world.put(range(6), bad=2)
        runner = world.runner(concurrency=2)
        async with running(runner):
            await until(lambda: runner.status().state == "paused")
            status = runner.status()
            assert (status.code, status.next_command) == ("dead_letters_full", "firedoor dlq")
            await CLOCK.wait(120.0)
            before = len(world.recorded())
            assert before < 6
            assert world.waiting() == 6 - before
            world.store.dead_bytes_max = 2**20
            await until(lambda: len(world.recorded()) == 6)
            assert runner.status().state == "running"
        assert len(world.store.dead) == 6
        assert all(record.deliveries <= 2 for record in world.store.records.values())

    run(main())


def test_a_pause_holds_until_the_order_changes_and_says_why() -> None:
    async def main() -> None:
        world, work = World(LINE), Work()
        await world.order("pause", because="ann looks at it")
        await world.put(range(3))
        runner = world.runner(work=work)
        async with running(runner):
            await until(lambda: runner.status().state == "paused")
            await CLOCK.wait(60.0)
            status = runner.status()
            assert (status.code, status.cause) == ("ordered", "ann looks at it")
            assert status.next_command == "firedoor zone resume mid"
            assert work.handled == []
            await world.order("run")
            await until(lambda: len(world.recorded()) == 3)

    run(main())
