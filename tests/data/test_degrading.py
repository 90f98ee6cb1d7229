"""A zone under pressure samples, then pulls more slowly; it says so, and it goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from data.degrading_world import (
    BOTH,
    KEEP,
    SAMPLE,
    SLOWER,
    Joins,
    runner_of,
    sampled,
    with_ladder,
)
from data.runner_world import (
    CLOCK,
    ROWS,
    Work,
    World,
    batch_name,
    decode,
    edge,
    rows_of,
    running,
    until,
)
from data.test_runner_deaths import Dying
from firedoor.data.runner import Runner
from firedoor.errors import DependencyDown, StepAtFault, StreamFull
from firedoor.flow.ladder import LadderState
from firedoor.ports.stage import Parcel
from firedoor.quality.grades import Demand, Grade
from firedoor.spec.plan import LadderPlan, Plan, ShedPlan
from firedoor.testing.loop import run
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import Attempts, BatchRecord, Degraded

BELOW = Demand(below="zone", otherwise="spare")
ROUTED = (edge("mid:best"), edge("mid:spare"))


def degraded(runner: Runner) -> Degraded:
    found = runner.status().degraded
    return Degraded() if found is None else found


def told(runner: Runner) -> list[str]:
    return [step.cause for step in runner.status().transitions if "degrading" in step.cause]


async def press(world: World, numbers: Iterator[int], seconds: int) -> None:
    """Keep an inbox as full as it can be."""
    number = next(numbers)
    for _ in range(seconds * 4):
        try:
            await world.put([number])
            number = next(numbers)
        except StreamFull:
            pass
        await CLOCK.wait(0.25)


def recorded(world: World) -> list[BatchRecord]:
    return [record for (zone, _), record in world.store.records.items() if zone == "mid"]


def test_under_pressure_rows_are_sampled_counted_and_weighed_and_later_taken_again() -> None:
    async def main() -> None:
        world, numbers = World(with_ladder(SAMPLE)), iter(range(10_000))
        runner = runner_of(world, Work(takes_s=1.0))
        async with running(runner):
            await press(world, numbers, 20)
            assert degraded(runner).rungs == ("sample",)
            assert degraded(runner).weight == 1 / KEEP
            assert "the pressure was high for 5 s, and is " in degraded(runner).why
            assert degraded(runner).since_s < CLOCK.utc_s() - 5
            await until(lambda: degraded(runner).rungs == ())
            assert CLOCK.now_s() > 20 + 60, "it is taken back when it was low for a minute"
            await world.put([9_999])
            await until(lambda: world.record(9_999) is not None)
        assert [cause.split(":")[1].split(" (")[0] for cause in told(runner)] == [
            " takes the step sample", " ends the step sample",
        ]  # fmt: skip
        records = recorded(world)
        weights = {record.weight for record in records}
        assert weights == {1.0, 1 / KEEP}
        assert records[0].weight == records[-1].weight == 1.0
        for record in records:
            assert record.rows_in == ROWS == record.passed + sum(record.dropped.values())
            assert record.published.get("mid:out", 0) == record.passed
        arrived = {d.envelope.batch: d for d in await world.drained("mid:out")}
        for record in records:
            number = int(record.batch[4:10])
            rows = rows_of(number) if record.weight == 1 else sampled(rows_of(number))
            assert record.dropped == ({"sampled": ROWS - len(rows)} if record.weight > 1 else {})
            assert (record.batch in arrived) == bool(rows)
            if rows:
                assert decode(arrived[record.batch].payload) == [2 * row for row in rows]
                assert arrived[record.batch].envelope.weight == record.weight

    run(main())


def test_a_longer_pressure_slows_the_pull_and_the_longer_of_two_waits_holds() -> None:
    async def main() -> None:
        world, numbers = World(with_ladder(BOTH)), iter(range(10_000))
        runner = runner_of(world, Work(takes_s=2.0))
        async with running(runner):
            await press(world, numbers, 30)
            status = runner.status()
            assert status.degraded is not None
            assert status.degraded.rungs == ("sample", "slower")
            assert (status.state, status.code) == ("throttled", "degraded")
            assert status.cause == "under pressure: 7.0 s between batches"
            before = len(world.recorded())
            await press(world, numbers, 70)
            assert len(world.recorded()) - before == 10
            await until(lambda: degraded(runner).rungs == ())
            assert runner.status().state == "running"

    run(main())


def test_a_zone_that_may_only_be_slower_samples_nothing() -> None:
    async def main() -> None:
        world, numbers = World(with_ladder(SLOWER)), iter(range(10_000))
        runner = runner_of(world, Work(takes_s=2.0))
        async with running(runner):
            await press(world, numbers, 30)
            assert degraded(runner).rungs == ("slower",)
        assert {record.weight for record in recorded(world)} == {1.0}

    run(main())


def test_a_batch_that_waits_too_long_for_what_is_promised_is_pressure_too() -> None:
    async def main() -> None:
        world = World(with_ladder(SAMPLE, bytes_max=2**28, slo=10.0))
        await world.put(range(40))
        runner = runner_of(world, Work(takes_s=1.0))
        async with running(runner):
            await until(lambda: degraded(runner).rungs == ("sample",))
            assert CLOCK.now_s() == pytest.approx(7 + 5, abs=1.5)

    run(main())


def test_a_dependency_that_is_away_fills_the_inbox_and_takes_no_step() -> None:
    async def main() -> None:
        world, numbers = World(with_ladder(SAMPLE)), iter(range(10_000))
        work = Work(faults={"": [DependencyDown("away")] * 1_000})
        runner = runner_of(world, work)
        async with running(runner):
            await press(world, numbers, 60)
            assert runner.status().state == "paused"
            assert degraded(runner).rungs == ()
        assert told(runner) == []

    run(main())


def test_a_broker_that_is_away_takes_no_step_either() -> None:
    async def main() -> None:
        world = World(with_ladder(SAMPLE))
        runner = runner_of(world, Work(takes_s=100.0))
        async with running(runner):
            await press(world, iter(range(100)), 2)
            world.store.down("it was killed")
            await CLOCK.wait(60.0)
            assert degraded(runner).rungs == ()
            world.store.up()
            await until(lambda: degraded(runner).rungs == ("sample",))

    run(main())


def sampling_at_once(world: World, work: Work, **options: object) -> Runner:
    """Return a runner that has taken the step already."""
    runner = runner_of(world, work, **options)
    runner._degrading._state = LadderState(rung=1)
    return runner


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_call_while_sampling_gives_the_same_rows(*, after: bool) -> None:
    plan = with_ladder(SAMPLE, edge("mid:a"), edge("mid:b"), bytes_max=2**28)

    async def once(at: int) -> bool:
        world, link = World(plan), Dying(at, after=after)
        await world.put(range(2))
        first = sampling_at_once(world, Work(), link=link)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(first.run())
            await until(lambda: link.dead.is_set() or len(world.recorded()) == 2)
            task.cancel()
        world.store.restart()
        async with running(runner_of(world, replica="there-2")):
            await until(lambda: len(world.recorded()) == 2 and world.waiting() == 0)
        for edge_name in ("mid:a", "mid:b"):
            arrived = {d.envelope.batch: d for d in await world.drained(edge_name)}
            for record in recorded(world):
                number = int(record.batch[4:10])
                rows = sampled(rows_of(number)) if record.weight > 1 else rows_of(number)
                assert decode(arrived[record.batch].payload) == [2 * row for row in rows], at
                assert record.rows_in == record.passed + record.dropped.get("sampled", 0)
        assert world.store.attempts == {}
        return link.dead.is_set()

    at = 1
    while run(once(at)):
        at += 1
    assert at > 10, "every call was tried"


def test_a_batch_that_may_be_published_whole_is_not_sampled_when_it_comes_again() -> None:
    async def main() -> None:
        world = World(with_ladder(SAMPLE))
        await world.put([1, 2])
        for delivery in await world.streams.inbox("src:mid").fetch(1, 0.1):
            await delivery.give_back()
        async with running(sampling_at_once(world, Work())):
            await until(lambda: len(world.recorded()) == 2)
        weights = {record.batch: record.weight for record in recorded(world)}
        assert weights == {batch_name(1): 1.0, batch_name(2): 1 / KEEP}

    run(main())


def test_what_was_noted_holds_also_where_there_is_no_pressure_any_more() -> None:
    async def main() -> None:
        world = World(with_ladder(SAMPLE))
        await world.put([1])
        for delivery in await world.streams.inbox("src:mid").fetch(1, 0.1):
            await world.streams.note_attempts("mid", batch_name(1), Attempts(keep=0.8))
            await delivery.give_back()
        async with running(runner_of(world)):
            await until(lambda: len(world.recorded()) == 1)
        assert recorded(world)[0].weight == 1 / 0.8
        assert recorded(world)[0].passed == len(sampled(rows_of(1), 0.8))

    run(main())


def test_a_replay_is_never_sampled_for_somebody_asked_for_these_rows() -> None:
    async def main() -> None:
        world = World(with_ladder(SAMPLE))
        await world.put([1], parent="src-000000", weight=4.0)
        async with running(sampling_at_once(world, Work())):
            await until(lambda: len(world.recorded()) == 1)
        record = recorded(world)[0]
        assert (record.weight, record.passed, record.dropped) == (4.0, ROWS, {})

    run(main())


def test_weights_multiply_along_the_way_and_go_with_the_dead() -> None:
    async def main() -> None:
        world = World(with_ladder(SAMPLE))
        await world.put([1], bad=5, weight=4.0, quality={"sky": Grade("older", 9.0)})
        async with running(sampling_at_once(world, Work())):
            await until(lambda: len(world.recorded()) == 1)
        record = recorded(world)[0]
        assert record.weight == 8.0
        assert record.rows_in == ROWS == record.passed + record.dead + record.dropped["sampled"]
        ((entry, _),) = world.store.dead.values()
        assert (entry.weight, entry.quality) == (8.0, {"sky": Grade("older", 9.0)})

    run(main())


def test_a_batch_of_which_nothing_is_kept_is_recorded_and_goes_nowhere() -> None:
    async def main() -> None:
        ladder = LadderPlan(sample=ShedPlan(keep=0.0001, key=("tail",)))
        world, work = World(with_ladder(ladder)), Work()
        await world.put([1])
        async with running(sampling_at_once(world, work)):
            await until(lambda: len(world.recorded()) == 1 and world.waiting() == 0)
        record = recorded(world)[0]
        assert (record.passed, record.dropped, work.handled) == (0, {"sampled": ROWS}, [])
        assert await world.drained("mid:out") == []

    run(main())


def test_a_ladder_that_cannot_sample_says_so_and_takes_every_row() -> None:
    def unable(payload: bytes, envelope: Envelope, plan: ShedPlan) -> Parcel:
        del payload, envelope, plan
        raise StepAtFault("no column 'tail' to shed by", code="wrong_schema", signature="no column")

    async def main() -> None:
        world = World(with_ladder(SAMPLE))
        await world.put([1, 2])
        runner = sampling_at_once(world, Work(), shed=unable)
        async with running(runner):
            await until(lambda: len(world.recorded()) == 2)
            assert degraded(runner).why == "no column 'tail' to shed by"
            assert degraded(runner).weight == 1.0
        assert told(runner) == ["degrading: it cannot sample: no column 'tail' to shed by"]
        assert {record.weight for record in recorded(world)} == {1.0}

    run(main())


def test_quality_travels_and_only_gets_worse_and_a_change_of_it_is_told() -> None:
    async def main() -> None:
        world = World(with_ladder(None))
        work = Joins()
        runner = runner_of(world, work)
        async with running(runner):
            await world.put([1], quality={"fees": Grade("default", None), "sky": Grade("live", 8)})
            await until(lambda: world.record(1) is not None)
            assert degraded(runner).rungs == ()
            assert degraded(runner).quality == {"sky": Grade("live", 5.0)}
            work.grades = {"sky": Grade("older", 130.0)}
            await world.put([2])
            await until(lambda: world.record(2) is not None)
            assert degraded(runner).rungs == ("older",)
            assert degraded(runner).why == "sky is older, 130 s old, and was live"
            work.grades = {}  # as a guard that was not called
            await world.put([3])
            await until(lambda: world.record(3) is not None)
            assert degraded(runner).rungs == ()
        assert [cause.split(",")[0] for cause in told(runner)] == [
            "degrading: sky is older", "degrading: sky is live",
        ]  # fmt: skip
        first, second, _ = await world.drained("mid:out")
        assert first.envelope.quality == {"fees": Grade("default", None), "sky": Grade("live", 8.0)}
        assert second.envelope.quality == {"sky": Grade("older", 130.0)}
        found = world.record(1)
        assert found is not None
        assert found.quality == first.envelope.quality

    run(main())


def routed() -> Plan:
    """``mid`` publishes to ``best``, or to ``spare`` what is not live."""
    plan = with_ladder(None, *ROUTED)
    edges = tuple(
        msgspec.structs.replace(e, demand=BELOW)
        if e.reader == "best"
        else msgspec.structs.replace(e, instead_of=("best",))
        if e.reader == "spare"
        else e
        for e in plan.edges
    )
    return msgspec.structs.replace(plan, edges=edges)


def test_a_batch_below_what_a_reader_requires_goes_to_the_zone_beside_it_instead() -> None:
    async def main() -> None:
        world, work = World(routed()), Joins()
        async with running(runner_of(world, work)):
            await world.put([1])
            await until(lambda: world.record(1) is not None)
            work.grades = {"sky": Grade("older", 130.0)}
            await world.put([2])
            await until(lambda: world.record(2) is not None)
        live, older = recorded(world)
        assert (live.published, live.elsewhere) == ({"mid:best": ROWS}, {})
        assert (older.published, older.elsewhere) == ({"mid:spare": ROWS}, {"mid:best": ROWS})
        assert [d.envelope.batch for d in await world.drained("mid:best")] == [batch_name(1)]
        assert [d.envelope.batch for d in await world.drained("mid:spare")] == [batch_name(2)]

    run(main())


def test_where_a_batch_goes_is_decided_once_whatever_it_is_made_of_the_second_time() -> None:
    async def once(at: int, first: Grade, then: Grade) -> bool:
        world, link, work = World(routed()), Dying(at, after=True), Joins(grades={"sky": first})
        await world.put([1])
        async with asyncio.TaskGroup() as group:
            task = group.create_task(runner_of(world, work, link=link).run())
            await until(lambda: link.dead.is_set() or world.record(1) is not None)
            task.cancel()
        work.grades = {"sky": then}
        world.store.restart()
        async with running(runner_of(world, work, replica="there-2")):
            await until(lambda: world.record(1) is not None and world.waiting() == 0)
        arrived = [len(await world.drained(name)) for name in ("mid:best", "mid:spare")]
        assert sum(arrived) == 1, f"at {at} it went to both"
        return link.dead.is_set()

    live, older = Grade("live", 1.0), Grade("older", 130.0)
    for first, then in ((live, older), (older, live)):
        at = 1
        while run(once(at, first, then)):
            at += 1
        assert at > 4


def test_a_backfill_that_is_meant_for_one_reader_goes_there() -> None:
    async def main() -> None:
        world = World(routed())
        work = Joins(grades={"sky": Grade("older", 130.0)})
        async with running(runner_of(world, work)):
            await world.put([1], only=("mid", "best"))
            await until(lambda: world.record(1) is not None)
            await world.put([2], only=("mid", "best", "spare"))
            await until(lambda: world.record(2) is not None)
        assert [record.published for record in recorded(world)] == [
            {"mid:best": ROWS}, {"mid:spare": ROWS},
        ]  # fmt: skip

    run(main())
