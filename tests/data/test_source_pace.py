"""A drill has a source read faster, or its batches come late; then it is as before."""

from __future__ import annotations

import random

from data.drilled_world import fault_of, hear, injection_of
from data.runner_world import CLOCK, edge, until
from data.source_world import FakeReader, Script, SourceWorld, plan_of, working
from firedoor.adapters.memory import MemoryStreams
from firedoor.compose.injection import Injection
from firedoor.data.source import SourceRunner
from firedoor.drill.fault import LEASE_S, Fault
from firedoor.testing.loop import run

PACED = plan_of(edge("src:out"), rate=10.0)
"""Of batches of ten rows: one a second."""


def source(world: SourceWorld, injection: Injection) -> SourceRunner:
    return SourceRunner(
        world.plan.zone("src"),
        world.plan,
        MemoryStreams(world.store, CLOCK),
        FakeReader(world.script),
        CLOCK,
        replica="here-1",
        chance=random.Random(1),
        faults=injection,
    )


def wanted(name: str, **asked: object) -> Fault:
    return fault_of(name, "src", "source", **asked)


def test_ten_times_the_rows_come_as_long_as_the_fault_holds() -> None:
    async def main() -> None:
        world = SourceWorld(PACED, Script(batches=1_000))
        injection = injection_of("src", "source")
        async with working(source(world, injection)):
            await CLOCK.wait(5.5)
            before = len(world.records())
            hear(injection, wanted("volume", intensity=10.0))
            await CLOCK.wait(5.0)
            more = len(world.records()) - before
            assert 38 <= more <= 52, "ten a second, once the next one was due anyway"
            await CLOCK.wait(LEASE_S)
            before = len(world.records())
            await CLOCK.wait(5.0)
            assert len(world.records()) - before <= 6
        records = world.records()
        assert [record.batch for record in records] == sorted(record.batch for record in records)

    run(main())


def test_a_source_without_a_rate_lets_through_at_once_what_it_has_held_back() -> None:
    async def main() -> None:
        world = SourceWorld(plan_of(edge("src:out")), Script(batches=100_000))
        injection = injection_of("src", "source")
        async with working(source(world, injection)):
            await until(lambda: len(world.records()) > 5)
            hear(injection, wanted("volume", intensity=5.0))
            held, largest = 0, 0.0
            before, since_s = len(world.records()), CLOCK.now_s()
            while CLOCK.now_s() - since_s < LEASE_S - 1.0:
                await CLOCK.wait(0.5)
                now = len(world.records())
                held, largest = held + (now == before), max(largest, now - before)
                before = now
            assert held >= 10, "most of the time nothing comes"
            assert largest >= 5
            await CLOCK.wait(3.0)
            before = len(world.records())
            await CLOCK.wait(1.0)
            assert len(world.records()) > before, "it is not held back any more"

    run(main())


def test_late_batches_say_that_they_were_cut_long_ago_and_are_marked() -> None:
    async def main() -> None:
        world = SourceWorld(PACED, Script(batches=1_000))
        injection = injection_of("src", "source")
        async with working(source(world, injection)):
            await CLOCK.wait(2.5)
            hear(injection, wanted("late", intensity=60.0))
            await CLOCK.wait(3.0)
        late = [record for record in world.records() if record.fault]
        assert len(late) == 3
        assert all(record.ended_s - record.cut_s >= 60.0 for record in late)
        assert {record.fault for record in late} == {"d1-1"}
        usual = [record for record in world.records() if not record.fault]
        assert all(record.ended_s - record.cut_s < 1.0 for record in usual)

    run(main())
