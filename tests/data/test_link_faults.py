"""A link that a drill disturbs loses nothing and doubles nothing, and is as before afterwards."""

from __future__ import annotations

import asyncio

import pytest

from data.drilled_world import (
    MarkingWork,
    StruckWork,
    drilled,
    fault_of,
    hear,
    injection_of,
)
from data.runner_world import (
    CLOCK,
    ROWS,
    Work,
    World,
    batch_name,
    edge,
    plan_of,
    run_through,
    running,
    until,
)
from firedoor.adapters.memory import MemoryStreams
from firedoor.adapters.memory.box import ACK_WAIT_S
from firedoor.adapters.memory.streams import MemoryDelivery
from firedoor.data.link_faults import LinkFaults
from firedoor.drill.fault import LEASE_S
from firedoor.errors import StepAtFault, StreamsUnavailable
from firedoor.spec.plan import ShedPlan
from firedoor.testing.loop import run

BATCHES = 20
SHARE = 0.5


@pytest.mark.parametrize("name", ["latency", "jitter", "drop", "duplicate", "reorder"])
def test_every_batch_goes_through_once_whatever_the_link_does(name: str) -> None:
    async def main() -> None:
        world, work, injection = World(), Work(), injection_of("mid", "transform")
        await world.put(range(BATCHES))
        hear(injection, fault_of(name, share=SHARE))
        await run_through(world, drilled(world, injection, work), BATCHES)

        out = [delivery.envelope.batch for delivery in await world.drained("mid:out")]
        assert sorted(out) == [batch_name(number) for number in range(BATCHES)]
        assert len(work.handled) == BATCHES, "a batch that comes again is recognised"
        assert injection._hits > 0, "and nothing was injected at all"

    run(main())


def test_a_reordered_batch_is_overtaken_by_others() -> None:
    async def main() -> None:
        world, work, injection = World(), Work(), injection_of("mid", "transform")
        await world.put(range(BATCHES))
        hear(injection, fault_of("reorder", share=0.2))
        await run_through(world, drilled(world, injection, work), BATCHES)
        assert work.handled != sorted(work.handled)

    run(main())


def test_latency_makes_each_call_that_is_about_a_batch_so_much_slower() -> None:
    async def main() -> None:
        took_s = []
        for asked in (None, 0.5):
            world, injection = World(), injection_of("mid", "transform")
            await world.put(range(3))
            if asked is not None:
                hear(injection, fault_of("latency", intensity=asked))
            began_s = CLOCK.now_s()
            await run_through(world, drilled(world, injection), 3)
            took_s.append(CLOCK.now_s() - began_s)
        assert took_s[1] - took_s[0] > 3 * 0.5

    run(main())


def test_a_full_stream_blocks_the_zone_and_all_goes_out_when_it_is_over() -> None:
    async def main() -> None:
        world, injection = World(), injection_of("mid", "transform")
        await world.put(range(4))
        hear(injection, fault_of("stream_full"))
        runner = drilled(world, injection)
        async with running(runner):
            await until(lambda: runner.status().code == "inbox_full")
            assert world.waiting("mid:out") == 0
            await until(lambda: world.waiting("mid:out") == 4, within_s=LEASE_S + 10)
            await until(lambda: runner.status().state == "running")

    run(main())


def test_a_batch_that_waits_in_a_full_stream_is_known_there_and_not_shed() -> None:
    async def main() -> None:
        plan = plan_of(edge("src:mid"), edge("mid:out", "shed", shed=ShedPlan(keep=0.5)))
        world, injection = World(plan), injection_of("mid", "transform")
        await world.put([0])
        world.store.lose("record", done=False, times=10**6)
        async with asyncio.TaskGroup() as group:
            dies = group.create_task(world.runner().run())
            await until(lambda: world.waiting("mid:out") == 1)
            dies.cancel()
        world.store.lose("record", done=False, times=-world.store._lost[False]["record"])
        await CLOCK.wait(ACK_WAIT_S - 2.0)
        hear(injection, fault_of("stream_full"))
        async with running(drilled(world, injection)):
            await until(lambda: len(world.recorded()) == 1)
        record = world.record(0)
        assert record is not None
        assert (record.published, record.shed) == ({"mid:out": ROWS}, {})

    run(main())


def test_an_edge_that_would_be_cut_for_good_is_full_again_and_again_and_never_cut() -> None:
    async def main() -> None:
        plan = plan_of(edge("src:mid"), edge("mid:out", "detach"))
        world, injection = World(plan), injection_of("mid", "transform")
        await world.put(range(40))
        hear(injection, fault_of("stream_full"))
        runner = drilled(world, injection, detaching=["mid:out"])
        async with running(runner):
            await until(lambda: runner.status().code == "inbox_full")
            await CLOCK.wait(LEASE_S - 1.0)
            assert 2 <= world.waiting("mid:out") < 40
            await until(lambda: world.waiting("mid:out") == 40)
        assert not [key for key in world.store.values if key.startswith("detached")]

    run(main())


def test_a_zone_that_is_cut_off_waits_and_goes_on_when_the_lease_is_over() -> None:
    async def main() -> None:
        world, injection = World(), injection_of("mid", "transform")
        runner = drilled(world, injection)
        async with running(runner):
            await until(lambda: runner.status().state == "running")
            hear(injection, fault_of("partition"))
            began_s = CLOCK.now_s()
            await until(lambda: runner.status().code == "broker_away")
            await world.put(range(4))
            await until(lambda: len(world.recorded()) == 4, within_s=LEASE_S + 20)
            assert CLOCK.now_s() - began_s >= LEASE_S

    run(main())


def test_without_a_fault_deliveries_are_the_brokers_own() -> None:
    async def main() -> None:
        world, injection = World(), injection_of("mid", "transform")
        await world.put(range(2))
        inbox = LinkFaults(MemoryStreams(world.store, CLOCK), injection, CLOCK).inbox("src:mid")
        assert isinstance((await inbox.fetch(1, 1.0))[0], MemoryDelivery)
        hear(injection, fault_of("latency"))
        assert not isinstance((await inbox.fetch(1, 1.0))[0], MemoryDelivery)

    run(main())


def test_a_zone_that_a_drill_has_halted_goes_on_by_itself_when_it_is_over() -> None:
    async def main() -> None:
        world, injection = World(), injection_of("mid", "transform")
        work = StruckWork()
        work.injection = injection
        work.failure = StepAtFault("no column", code="wrong_schema", signature="wrong_schema")
        await world.put(range(4))
        runner = drilled(world, injection, work)
        async with running(runner):
            hear(injection, fault_of("schema_rename"))
            await until(lambda: runner.status().state == "halted")
            assert "injected by drill fault d1-1" in runner.status().cause
            assert world.recorded() == []
            await until(lambda: len(world.recorded()) == 4, within_s=LEASE_S + 10)
            notes = [transition.cause for transition in runner.status().transitions]
            assert any("drill fault d1-1 is over" in note for note in notes)
            record = world.record(0)
            assert record is not None
            assert record.fault == "", "the attempt that came through was not hit"

    run(main())


def test_a_zone_that_is_halted_for_another_reason_stays_halted_when_a_drill_is_over() -> None:
    async def main() -> None:
        world, injection = World(), injection_of("mid", "transform")
        work = StruckWork(faults={"": [StepAtFault("a bug", code="contrast", signature="x")]})
        work.injection = injection
        work.failure = StepAtFault("no column", code="wrong_schema", signature="wrong_schema")
        await world.put(range(4))
        runner = drilled(world, injection, work)
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            hear(injection, fault_of("schema_rename"))
            await CLOCK.wait(LEASE_S + 5)
            assert runner.status().state == "halted"

    run(main())


def test_a_record_says_by_which_fault_its_batch_was_hit() -> None:
    async def main() -> None:
        world, work, injection = World(), MarkingWork(), injection_of("mid", "transform")
        work.injection, work.marks = injection, batch_name(1)
        await world.put(range(3))
        hear(injection, fault_of("unit_change"))
        await run_through(world, drilled(world, injection, work), 3)
        found = [world.record(number) for number in range(3)]
        assert [record.fault for record in found if record] == ["", "d1-1", ""]

    run(main())


def test_a_link_that_is_cut_hands_out_no_batch() -> None:
    async def main() -> None:
        world, injection = World(), injection_of("mid", "transform")
        hear(injection, fault_of("partition"))
        await world.put(range(2))
        inbox = LinkFaults(MemoryStreams(world.store, CLOCK), injection, CLOCK).inbox("src:mid")
        with pytest.raises(StreamsUnavailable, match="cut by drill fault d1-1"):
            await inbox.fetch(1, 1.0)
        assert world.out() == 0

    run(main())
