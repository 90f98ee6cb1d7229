"""The order of work on a batch, and what is written about it."""

from __future__ import annotations

import pytest

from data.runner_world import (
    CLOCK,
    CUT_S,
    LINE,
    ROWS,
    Work,
    World,
    batch_name,
    decode,
    edge,
    encode,
    plan_of,
    rows_of,
    run_through,
    running,
    until,
)
from firedoor.testing.loop import run
from firedoor.wire.envelope import PAYLOAD_MAX
from firedoor.wire.records import Attempts


def test_every_batch_goes_through_once_and_is_acknowledged() -> None:
    async def main() -> None:
        world, work = World(), Work()
        await world.put(range(20))
        await run_through(world, world.runner(work=work), 20)
        assert sorted(work.handled) == [batch_name(number) for number in range(20)]
        assert world.store.attempts == {}
        out = await world.drained("mid:out")
        assert sorted(delivery.envelope.batch for delivery in out) == world.recorded()
        by_name = {delivery.envelope.batch: decode(delivery.payload) for delivery in out}
        assert by_name[batch_name(7)] == [2 * row for row in rows_of(7)]

    run(main())


def test_the_output_travels_under_the_envelope_of_its_input() -> None:
    async def main() -> None:
        world = World()
        await world.put([4], bad=3, parent="src-000001", deadline_s=7.0, weight=2.5)
        await run_through(world, world.runner(), 1)
        (delivery,) = await world.drained("mid:out")
        out = delivery.envelope
        assert (out.batch, out.rows, out.zone, out.zone_version) == (
            batch_name(4), ROWS - 3, "mid", "mid-1",
        )  # fmt: skip
        assert (out.schema, out.frame_bytes) == ("s1", len(delivery.payload))
        assert (out.cut_s, out.deadline_s, out.attempt) == (CUT_S, 7.0, 1)
        assert (out.parent, out.weight, out.only) == ("src-000001", 2.5, ())
        assert (out.lookups, out.traceparent) == ({"weather": "7"}, "00-aa-bb-01")

    run(main())


def test_the_record_adds_up_and_says_where_rows_went() -> None:
    async def main() -> None:
        world = World()
        await world.put([4], bad=3)
        await run_through(world, world.runner(), 1)
        record = world.record(4)
        assert record is not None
        assert (record.rows_in, record.passed, record.dead, record.rows_out) == (10, 7, 3, 7)
        assert (record.edge, record.published) == ("src:mid", {"mid:out": 7})
        assert (record.signatures, record.sink) == ({"negative": 3}, "wrote src-000004")
        assert (record.deliveries, record.attempts, record.cut_s) == (1, {}, CUT_S)
        assert record.began_s < record.ended_s
        assert record.lookups == {"weather": "7"}
        entry, payload = world.store.dead["mid", batch_name(4)]
        assert decode(payload) == rows_of(4, bad=3)[:3]
        assert (entry.rows, entry.edge, entry.zone_version) == (3, "src:mid", "mid-1")
        assert (entry.sensitive, entry.cut_s) == (("tail",), CUT_S)

    run(main())


def test_a_batch_without_rows_left_is_published_nowhere() -> None:
    async def main() -> None:
        world = World()
        await world.put([0], bad=ROWS)
        await run_through(world, world.runner(), 1)
        record = world.record(0)
        assert record is not None
        assert (record.dead, record.published) == (ROWS, {})
        assert world.waiting("mid:out") == 0

    run(main())


def test_a_recorded_batch_is_acknowledged_and_not_done_again() -> None:
    async def main() -> None:
        world, work = World(), Work()
        await world.put([0])
        await run_through(world, world.runner(work=work), 1)
        world.store.restart()
        await world.put([0])
        assert world.waiting() == 1
        async with running(world.runner(work=work)):
            await until(lambda: world.waiting() == 0)
        assert work.handled == [batch_name(0)]

    run(main())


def test_only_names_the_readers_that_a_replay_may_go_to() -> None:
    async def main() -> None:
        plan = plan_of(edge("src:mid"), edge("mid:a"), edge("mid:b"))
        world = World(plan)
        await world.put([0])
        await world.put([1], only=("b", "c"))
        await run_through(world, world.runner(), 2)
        assert (world.waiting("mid:a"), world.waiting("mid:b")) == (1, 2)
        record = world.record(1)
        assert record is not None
        assert (record.published, record.only) == ({"mid:b": ROWS}, ("b", "c"))

    run(main())


def test_a_reader_by_several_ways_gets_ids_that_tell_the_way() -> None:
    async def main() -> None:
        plan = plan_of(edge("src:mid"), edge("mid:a"), edge("mid:b", by_way=True))
        world = World(plan)
        await world.put([0])
        await run_through(world, world.runner(), 1)
        (plain,), (marked,) = await world.drained("mid:a"), await world.drained("mid:b")
        assert plain.envelope.batch == "src-000000"
        assert marked.envelope.batch == "src-000000@mid"

    run(main())


def test_several_inboxes_take_turns() -> None:
    async def main() -> None:
        world = World(plan_of(edge("src:mid"), edge("two:mid"), edge("mid:out")))
        work = Work()
        await world.put(range(30))
        await world.put(range(100, 110), into="two:mid")
        async with running(world.runner(work=work)):
            await until(lambda: len(world.recorded()) == 40)
        first = {batch_name(number) for number in range(100, 110)} & set(work.handled[:24])
        assert len(first) == 10, "an inbox waited for the other to be empty"

    run(main())


def test_the_stage_is_kept_busy_up_to_the_concurrency_and_no_further() -> None:
    async def main() -> None:
        world, work = World(), Work(takes_s=1.0)
        await world.put(range(12))
        began_s = CLOCK.now_s()
        await run_through(world, world.runner(work=work, concurrency=3), 12)
        assert work.most_at_once == 3
        assert CLOCK.now_s() - began_s < 5.0

    run(main())


def test_a_batch_that_takes_minutes_is_not_given_to_another() -> None:
    async def main() -> None:
        world = World()
        slow, other = Work(takes_s=200.0), Work()
        await world.put([0])
        first = world.runner(work=slow)
        second = world.runner(work=other, replica="there-2")
        async with running(first):
            await until(lambda: slow.at_once == 1)
            async with running(second):
                await until(lambda: world.waiting() == 0)
        assert (slow.handled, other.handled) == ([batch_name(0)], [])
        record = world.record(0)
        assert record is not None
        assert record.deliveries == 1

    run(main())


def test_what_waits_ready_is_kept_too_while_a_slow_batch_is_worked_on() -> None:
    async def main() -> None:
        world, slow = World(), Work(takes_s=70.0)
        await world.put(range(3))
        await run_through(world, world.runner(work=slow, concurrency=1), 3)
        deliveries = [record.deliveries for record in world.store.records.values()]
        assert deliveries == [1, 1, 1]

    run(main())


def test_two_processes_of_a_zone_share_its_batches() -> None:
    async def main() -> None:
        world, works = World(), [Work(takes_s=0.5), Work(takes_s=0.5)]
        await world.put(range(20))
        runners = [
            world.runner(work=work, replica=f"here-{number}") for number, work in enumerate(works)
        ]
        async with running(*runners):
            await until(lambda: len(world.recorded()) == 20)
        assert all(len(work.handled) > 5 for work in works)
        assert sum(len(work.handled) for work in works) == 20

    run(main())


def test_workers_deaths_are_durable_before_the_stage_goes_on_and_recorded_after() -> None:
    async def main() -> None:
        world, seen = World(), list[Attempts | None]()
        work = Work(deaths={batch_name(0): 2}, sees=lambda: seen.append(world.attempts(0)))
        await world.put([0])
        await run_through(world, world.runner(work=work), 1)
        assert seen == [Attempts(counts={"crash": 2}, last="rows 1: crash")]
        record = world.record(0)
        assert record is not None
        assert record.attempts == {"crash": 2}
        assert world.attempts(0) is None

    run(main())


def test_an_output_that_is_too_large_halts_the_zone_and_keeps_its_input() -> None:
    async def main() -> None:
        world = World()
        await world.put([0])
        runner = world.runner(work=Work(padding=PAYLOAD_MAX))
        async with running(runner):
            await until(lambda: runner.status().state == "halted")
            status = runner.status()
        assert status.code == "output_too_large"
        assert "batch_rows" in status.cause
        assert (world.recorded(), world.waiting(), world.waiting("mid:out")) == ([], 1, 0)

    run(main())


def test_an_output_of_just_the_bound_passes() -> None:
    async def main() -> None:
        world = World()
        await world.put([0])
        padding = PAYLOAD_MAX - len(encode([2 * row for row in rows_of(0)]))
        await run_through(world, world.runner(work=Work(padding=padding)), 1)
        (delivery,) = await world.drained("mid:out")
        assert len(delivery.payload) == PAYLOAD_MAX

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_what_is_ready_at_once_gives_the_same(seed: int) -> None:
    async def main() -> None:
        world = World(seed=seed)
        await world.put(range(10), bad=2)
        mid, out = world.runner(), world.runner("out")
        async with running(mid, out):
            await until(lambda: len(world.recorded("out")) == 10)
        assert world.waiting("mid:out") == 0
        passed = {key: record.passed for key, record in world.store.records.items()}
        assert passed == {(zone, batch_name(n)): 8 for zone in ("mid", "out") for n in range(10)}

    run(main(), seed=seed)


def test_a_sink_publishes_nothing_and_records_what_it_wrote() -> None:
    async def main() -> None:
        world = World(LINE)
        await world.put([0], into="mid:out")
        async with running(world.runner("out")):
            await until(lambda: bool(world.recorded("out")))
        record = world.record(0, "out")
        assert record is not None
        assert (record.published, record.sink, record.edge) == ({}, "wrote src-000000", "mid:out")

    run(main())


def test_calls_for_a_batch_that_is_late_are_not_made_twice() -> None:
    async def main() -> None:
        world, work = World(), Work()
        now_s = CLOCK.utc_s()
        await world.put([0], deadline_s=now_s + 600.0)
        await world.put([1], deadline_s=now_s - 1.0)
        await world.put([2])
        await run_through(world, world.runner(work=work), 3)
        assert work.attempts == {batch_name(0): [1], batch_name(1): [2], batch_name(2): [1]}

    run(main())
