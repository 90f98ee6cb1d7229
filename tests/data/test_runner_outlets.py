"""What a publisher does when an inbox is full: block, shed, detach."""

from __future__ import annotations

import asyncio
import json

from data.runner_world import (
    CLOCK,
    ROWS,
    Work,
    World,
    batch_name,
    decode,
    edge,
    encode,
    envelope_of,
    plan_of,
    running,
    until,
)
from firedoor.data.runner import Runner
from firedoor.ports.stage import Parcel
from firedoor.spec.plan import Plan, ShedPlan
from firedoor.testing.loop import run
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import BatchRecord

ONE = 440
"""Bytes of an inbox with room for one batch."""


def halve(payload: bytes, envelope: Envelope, plan: ShedPlan) -> Parcel:
    rows = decode(payload)
    kept = encode(rows[: round(len(rows) * plan.keep)])
    del envelope
    return Parcel(kept, len(kept), round(len(rows) * plan.keep), "s1")


def two_readers(**options: object) -> Plan:
    full = {"bytes_max": ONE, **options}
    return plan_of(edge("src:mid"), edge("mid:a"), edge("mid:b", **full))  # type: ignore[arg-type]


SHED = two_readers(when_full="shed", shed=ShedPlan(keep=0.5, key=("tail",)), bytes_max=3_450)
PADDING = 2_000
"""With it an inbox of 3,450 bytes has room for a batch and the half of one."""
DETACH = two_readers(when_full="detach")


def test_a_full_inbox_blocks_its_publisher_until_there_is_room() -> None:
    async def main() -> None:
        world = World(two_readers())
        await world.put(range(5))
        runner = world.runner()
        async with running(runner):
            await until(lambda: runner.status().state == "blocked")
            await CLOCK.wait(600.0)
            status = runner.status()
            assert (status.code, status.cause) == ("inbox_full", "full: mid:b")
            assert status.next_command == "firedoor why b"
            assert (len(world.recorded()), world.waiting()) == (1, 4)
            for _ in range(20):
                await world.drained("mid:b")
                await CLOCK.wait(1.0)
            assert len(world.recorded()) == 5
            await until(lambda: runner.status().state == "running")
        assert all(record.deliveries == 1 for record in world.store.records.values())
        assert all(
            record.published == {"mid:a": ROWS, "mid:b": ROWS}
            for record in world.store.records.values()
        )

    run(main())


def test_a_blocked_publisher_knocks_less_and_less_but_each_second() -> None:
    async def main() -> None:
        world = World(two_readers())
        await world.put(range(2))
        runner = world.runner(concurrency=1)
        async with running(runner):
            await until(lambda: runner.status().state == "blocked")
            await CLOCK.wait(60.0)
            await world.drained("mid:b")
            freed_s = CLOCK.now_s()
            await until(lambda: len(world.recorded()) == 2)
            assert CLOCK.now_s() - freed_s <= 1.1

    run(main())


def test_shedding_publishes_a_share_with_its_weight_and_counts_the_rest() -> None:
    async def main() -> None:
        world = World(SHED)
        await world.put([0], weight=3.0)
        await world.put([1], weight=3.0)
        runner = world.runner(work=Work(padding=PADDING), shed=halve, concurrency=1)
        async with running(runner):
            await until(lambda: len(world.recorded()) == 2)
            assert runner.status().state == "running"
        record = world.record(1)
        assert record is not None
        assert record.published == {"mid:a": ROWS, "mid:b": ROWS // 2}
        assert record.shed == {"mid:b": ROWS - ROWS // 2}
        assert record.rows_out == ROWS
        first, second = await world.drained("mid:b")
        assert (first.envelope.weight, first.envelope.rows) == (3.0, ROWS)
        assert (second.envelope.weight, second.envelope.rows) == (6.0, ROWS // 2)
        assert len(decode(second.payload)) == ROWS // 2
        assert [whole.envelope.rows for whole in await world.drained("mid:a")] == [ROWS, ROWS]

    run(main())


def test_rows_shed_by_priority_keep_their_weight() -> None:
    async def main() -> None:
        shed = ShedPlan(keep=0.5, priority="fare")
        world = World(two_readers(when_full="shed", shed=shed, bytes_max=3_500))
        await world.put(range(2))
        async with running(world.runner(work=Work(padding=PADDING), shed=halve, concurrency=1)):
            await until(lambda: len(world.recorded()) == 2)
        found = await world.drained("mid:b")
        assert [(d.envelope.rows, d.envelope.weight) for d in found] == [(10, 1.0), (5, 1.0)]

    run(main())


def test_where_not_even_a_share_fits_the_batch_is_shed_whole_after_the_patience() -> None:
    async def main() -> None:
        world = World(two_readers(when_full="shed", shed=ShedPlan(keep=0.5), bytes_max=ONE))
        await world.put(range(6))
        began_s = CLOCK.now_s()
        runner = world.runner(shed=halve, concurrency=1)
        async with running(runner):
            await until(lambda: len(world.recorded()) == 6)
            assert 5.0 <= CLOCK.now_s() - began_s < 8.0, "patience is for the inbox, not a batch"
            assert runner.status().state == "running"
            await world.drained("mid:b")
            await world.put([6])
            await until(lambda: len(world.recorded()) == 7)
        records = list(world.store.records.values())
        assert [record.shed for record in records] == [{}] + [{"mid:b": ROWS}] * 5 + [{}]
        assert records[3].published == {"mid:a": ROWS}

    run(main())


def test_what_was_shed_before_a_death_is_shed_again_after_it() -> None:
    async def main() -> None:
        world, work = World(SHED), Work(padding=PADDING)
        payload = b" " * (PADDING + 50)
        await world.streams.publish("mid:b", envelope_of("src-000099", payload, 0), payload)
        await world.put([0])
        await die_before_recording(world, world.runner(work=work, shed=halve))
        _, first = await world.drained("mid:b")
        assert first.envelope.rows == ROWS // 2
        world.store.restart()
        async with running(world.runner(work=work, shed=halve)):
            await until(lambda: len(world.recorded()) == 1)
        (again,) = await world.drained("mid:b")
        assert again.envelope.rows == ROWS // 2, "there was room, and yet it must be the same"
        record = world.record(0)
        assert record is not None
        assert (record.published["mid:b"], record.shed["mid:b"]) == (ROWS // 2, ROWS // 2)
        assert world.attempts(0) is None

    run(main())


def test_a_batch_that_its_reader_has_taken_is_not_shed_when_it_comes_again() -> None:
    async def main() -> None:
        world = World(SHED)
        await publish_take_and_forget(world, 0)
        payload = b" " * (PADDING + 50)
        await world.streams.publish("mid:b", envelope_of("src-000099", payload, 0), payload)
        async with running(world.runner(work=Work(padding=PADDING), shed=halve)):
            await until(lambda: len(world.recorded()) == 1)
        record = world.record(0)
        assert record is not None
        assert (record.published, record.shed) == ({"mid:a": ROWS, "mid:b": ROWS}, {})

    run(main())


def test_a_batch_that_its_reader_has_taken_is_not_missed_and_cuts_no_edge() -> None:
    async def main() -> None:
        world = World(DETACH)
        await publish_take_and_forget(world, 0)
        other = encode([0] * ROWS)
        await world.streams.publish("mid:b", envelope_of("src-000099", other, ROWS), other)
        runner = world.runner()
        async with running(runner):
            await until(lambda: len(world.recorded()) == 1)
            assert runner.status().state == "running"
        record = world.record(0)
        assert record is not None
        assert (record.published, record.missed) == ({"mid:a": ROWS, "mid:b": ROWS}, ())
        assert "detached.mid.b" not in world.store.values

    run(main())


def test_a_batch_that_its_reader_has_taken_is_not_missed_where_the_edge_was_cut_since() -> None:
    async def main() -> None:
        world = World(DETACH)
        await publish_take_and_forget(world, 0)
        other = encode([0] * ROWS)
        await world.streams.publish("mid:b", envelope_of("src-000099", other, ROWS), other)
        await world.streams.put("detached.mid.b", b'{"since_s": 1.0}')
        async with running(world.runner()):
            await until(lambda: len(world.recorded()) == 1)
        record = world.record(0)
        assert record is not None
        assert (record.published, record.missed) == ({"mid:a": ROWS, "mid:b": ROWS}, ())

    run(main())


async def publish_take_and_forget(world: World, number: int) -> None:
    """Have a batch be published by a runner that dies, taken by its reader, and forgotten."""
    await world.put([number])
    await die_before_recording(world, world.runner())
    (taken,) = await world.drained("mid:b")
    kept = BatchRecord(
        zone="b", batch=taken.envelope.batch, zone_version="v1", edge="mid:b", rows_in=ROWS,
        rows_out=ROWS, passed=ROWS, dead=0, began_s=0.0, ended_s=0.0, cut_s=0.0,
    )  # fmt: skip
    await world.streams.record(kept)
    world.store.restart()


async def die_before_recording(world: World, runner: Runner) -> None:
    """Have a runner publish, and end before it records."""
    world.store.lose("record", done=False, times=10**6)
    published = world.store.boxes["mid:a"]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(runner.run())
        await until(lambda: published.depth().messages == 1)
        await CLOCK.wait(1.0)
        task.cancel()
    world.store.lose("record", done=False, times=-world.store._lost[False]["record"])


def test_an_edge_that_stays_full_is_cut_and_its_sibling_goes_on() -> None:
    async def main() -> None:
        world = World(DETACH)
        await world.put(range(6))
        began_s = CLOCK.now_s()
        runner = world.runner()
        async with running(runner):
            await until(lambda: runner.status().state == "blocked")
            await until(lambda: len(world.recorded()) == 6)
            assert 5.0 <= CLOCK.now_s() - began_s < 7.0
            assert runner.status().state == "running"
            note = json.loads(world.store.values["detached.mid.b"])
            assert note["since_s"] > 0
            assert "mid:b was full for 5 s" in note["because"].replace("the inbox ", "")
            causes = [transition.cause for transition in runner.status().transitions]
            assert any("mid:b was cut" in cause and "backfill" in cause for cause in causes)
        records = list(world.store.records.values())
        assert [record.missed for record in records] == [()] + [("mid:b",)] * 5
        assert world.waiting("mid:a") == 6

    run(main())


def test_a_cut_edge_gets_nothing_until_it_is_attached_even_with_room() -> None:
    async def main() -> None:
        world = World(DETACH)
        await world.streams.put("detached.mid.b", b'{"since_s": 1.0, "because": "x"}')
        runner = world.runner()
        await world.put(range(3))
        async with running(runner):
            await until(lambda: len(world.recorded()) == 3)
            assert world.waiting("mid:b") == 0
            await world.streams.put("detached.mid.b", b"")
            await CLOCK.wait(2.0)
            await world.put([3])
            await until(lambda: len(world.recorded()) == 4)
            assert world.waiting("mid:b") == 1
            causes = [transition.cause for transition in runner.status().transitions]
            assert "mid:b is attached again" in causes
        record = world.record(3)
        assert record is not None
        assert record.missed == ()

    run(main())


def test_another_process_of_the_zone_learns_that_an_edge_is_cut() -> None:
    async def main() -> None:
        world = World(DETACH)
        other = world.runner(replica="there-2")
        async with running(other):
            await CLOCK.wait(3.0)
            await world.streams.put("detached.mid.b", b'{"since_s": 1.0}')
            await CLOCK.wait(1.0)
            await world.put([0])
            await until(lambda: len(world.recorded()) == 1)
        record = world.record(0)
        assert record is not None
        assert record.missed == ("mid:b",)

    run(main())


def test_a_batch_that_was_published_before_its_edge_was_cut_is_not_missed() -> None:
    async def main() -> None:
        world = World(DETACH)
        await world.put([0])
        await die_before_recording(world, world.runner())
        await world.streams.put("detached.mid.b", b'{"since_s": 1.0}')
        async with running(world.runner()):
            await until(lambda: len(world.recorded()) == 1)
        record = world.record(0)
        assert record is not None
        assert (record.missed, record.published) == ((), {"mid:a": ROWS, "mid:b": ROWS})
        assert world.waiting("mid:b") == 1

    run(main())


def test_a_draining_zone_waits_for_a_full_inbox_only_so_long() -> None:
    async def main() -> None:
        world = World(two_readers())
        await world.put(range(3))
        runner = world.runner(work=Work(), concurrency=1)
        async with asyncio.timeout(60):
            async with running(runner):
                await until(lambda: runner.status().state == "blocked")
        assert runner.status().state == "stopped"
        assert world.recorded() == [batch_name(0)]
        assert world.waiting() == 2
        await world.drained("mid:b")
        async with running(world.runner(concurrency=1)):
            await until(lambda: world.waiting() == 1)
            await world.drained("mid:b")
            await until(lambda: world.waiting() == 0)
        assert [record.attempts for record in world.store.records.values()] == [{}, {}, {}]

    run(main())
