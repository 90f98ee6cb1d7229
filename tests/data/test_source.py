"""A source: what it publishes, buries and records, and where it goes on."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

import pytest

from data.runner_world import CLOCK, edge, until
from data.source_world import (
    FILE_BATCHES,
    LINE,
    ROWS,
    Script,
    SourceWorld,
    fresh_of,
    plan_of,
    working,
)
from firedoor.adapters.memory.store import Call
from firedoor.data.reader import ReaderDied
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.spec.plan import GatePolicy
from firedoor.testing.loop import run


def names(count: int, first: int = 0) -> list[str]:
    return [f"src-{number:06d}" for number in range(first, first + count)]


def test_a_bounded_source_publishes_everything_once_says_so_and_is_done() -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=8))
        runner = world.runner()
        await runner.run()
        assert await world.published() == names(8)
        assert [record.batch for record in world.records()] == names(8)
        assert world.note() == {"ended": True, "batches": 8}
        assert runner.status().state == "done"
        assert (await world.beat()).state == "done"
        assert world.script.closed >= 1

    run(main())


def test_a_record_says_what_became_of_every_line_and_where_to_go_on() -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=1, bad=2, blank=3), plan=plan_of(
            edge("src:out"), sensitive=("tail",)))  # fmt: skip
        await world.runner(lookups=lambda: {"weather": "7"}).run()
        (record,) = world.records()
        assert (record.rows_in, record.passed, record.dead) == (ROWS, ROWS - 5, 2)
        assert (record.dropped, record.published) == ({"blank": 3}, {"src:out": ROWS - 5})
        assert record.signatures == {"rule x|min": 2}
        fresh = fresh_of(0)
        assert (record.segments, record.position) == ((fresh.segment,), fresh.position)
        (delivery,) = await world.streams.inbox("src:out").fetch(1, 0.1)
        envelope = delivery.envelope
        assert (envelope.zone, envelope.zone_version, envelope.schema) == ("src", "src-1", "s1")
        assert (envelope.lookups, envelope.firedoor) == ({"weather": "7"}, "0.1")
        assert envelope.cut_s == record.cut_s > 0
        (entry, payload) = world.store.dead["src", "src-000000"]
        assert (entry.rows, entry.edge, entry.sensitive) == (2, "", ("tail",))
        assert payload == b"dead"

    run(main())


def test_a_batch_without_rows_is_recorded_and_not_published() -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=2, bad=4, blank=6))
        await world.runner().run()
        assert await world.published() == []
        assert [record.published for record in world.records()] == [{}, {}]

    run(main())


@pytest.mark.parametrize("seed", range(25))
def test_killed_anywhere_it_loses_and_doubles_nothing(seed: int) -> None:
    async def main() -> None:
        chance = random.Random(seed)
        plan = plan_of(edge("src:out"), edge("src:other"))
        world = SourceWorld(plan=plan, script=Script(batches=10, bad=1))
        for _ in range(6):
            task = asyncio.ensure_future(world.runner().run())
            await CLOCK.wait(chance.random() * 0.6)
            task.cancel()
            await asyncio.wait([task])
        await world.runner().run()
        assert [record.batch for record in world.records()] == names(10)
        for name in ("src:out", "src:other"):
            assert await world.published(name) == names(10)
        positions = [record.position for record in world.records()]
        assert positions == [fresh_of(number).position for number in range(10)]
        assert world.note() == {"ended": True, "batches": 10}

    run(main(), seed=seed)


class Dies:
    """A link whose runner is gone once the broker has done one thing, before it hears so."""

    def __init__(self, call: Call, after: int) -> None:
        self._call = call
        self._after = after

    async def ask(self, call: Call) -> None:
        del call
        await CLOCK.wait(0.0)

    async def answer(self, call: Call) -> None:
        if call == self._call:
            self._after -= 1
            if self._after < 0:
                await asyncio.Event().wait()


@pytest.mark.parametrize("call", ["publish", "bury", "record", "put"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_what_was_under_way_is_cut_again_under_the_same_id(call: Call, after: int) -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=6, bad=1))
        task = asyncio.ensure_future(world.runner(link=Dies(call, after)).run())
        await CLOCK.wait(5.0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        done = len(world.records())
        await world.runner().run()
        assert world.script.begun[-1][0] == done
        assert await world.published() == names(6)
        assert [record.batch for record in world.records()] == names(6)
        assert sorted(world.store.dead) == [("src", name) for name in names(6)]

    run(main())


def test_a_file_is_noted_before_its_first_batch_is_published() -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=2 * FILE_BATCHES))
        task = asyncio.ensure_future(world.runner(link=Dies("publish", FILE_BATCHES)).run())
        await CLOCK.wait(5.0)
        task.cancel()
        await asyncio.wait([task])
        assert len(world.records()) == FILE_BATCHES
        assert json.loads(world.store.values["source.src.files.0"]) == [
            "/in/0.jsonl",
            "/in/1.jsonl",
        ]
        await world.runner().run()
        assert world.script.begun[-1] == (FILE_BATCHES, ("/in/0.jsonl", "/in/1.jsonl"))

    run(main())


def test_a_source_that_had_ended_takes_up_what_has_come_since() -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=3))
        await world.runner().run()
        await world.runner().run()
        assert world.note() == {"ended": True, "batches": 3}
        world.script.batches = 5
        world.script.stays_silent = True
        async with working(world.runner()):
            await until(lambda: len(world.records()) == 5)
            assert world.note() == {"ended": False, "batches": 3}
        assert await world.published() == names(5)

    run(main())


def test_a_reader_that_dies_is_replaced_and_goes_on_at_the_same_place() -> None:
    async def main() -> None:
        died: list[Exception] = [ReaderDied("the reader was killed by SIGSEGV") for _ in range(4)]
        world = SourceWorld(script=Script(batches=6, faults={2: died[:2], 4: died[2:]}))
        runner = world.runner()
        await runner.run()
        assert [number for number, _ in world.script.begun] == [0, 2, 2, 4, 4]
        assert await world.published() == names(6)
        status = runner.status()
        assert (status.workers_lost, status.state) == (4, "done")
        assert any("SIGSEGV" in transition.cause for transition in status.transitions)

    run(main())


def test_three_deaths_at_one_place_halt_the_source_and_name_the_lines() -> None:
    async def main() -> None:
        died: list[Exception] = [ReaderDied("the reader was killed by SIGSEGV") for _ in range(3)]
        world = SourceWorld(script=Script(batches=6, faults={5: died}))
        runner = world.runner()
        async with working(runner):
            await until(lambda: runner.status().state == "halted")
            status = runner.status()
            assert status.code == "reader_dies"
            assert "/in/1.jsonl, lines 11 to 20, or after" in status.cause
            assert "SIGSEGV" in status.cause
            assert len(world.records()) == 5
            await CLOCK.wait(120.0)
            assert runner.status().state == "halted"
            await world.order("run", generation=1)
            await until(lambda: len(world.records()) == 6)
        assert await world.published() == names(6)

    run(main())


def test_a_reader_that_dies_of_a_probe_is_replaced_as_any_other() -> None:
    async def main() -> None:
        away, died = DependencyDown("the bucket is away"), ReaderDied("killed by SIGKILL")
        world = SourceWorld(script=Script(batches=6, faults={2: [away, died, away, died]}))
        runner = world.runner()
        async with working(runner):
            await until(lambda: runner.status().state == "paused")
            await until(lambda: len(world.records()) == 6)
        assert await world.published() == names(6)

    run(main())


def test_a_fault_of_the_file_halts_at_once_with_the_position_unmoved() -> None:
    async def main() -> None:
        fault = StepAtFault("/in/0.jsonl was changed", code="changed", signature="changed")
        world = SourceWorld(script=Script(batches=6, faults={3: [fault]}))
        runner = world.runner()
        async with working(runner):
            await until(lambda: runner.status().state == "halted")
            status = runner.status()
            assert (status.code, len(world.records())) == ("changed", 3)
            assert "src-000003: /in/0.jsonl was changed" in status.cause
            assert world.script.begun == [(0, ())]
            await world.order("run", generation=1)
            await until(lambda: len(world.records()) == 6)
            assert world.script.begun[-1] == (3, ("/in/0.jsonl",))

    run(main())


def test_an_iterable_that_raises_is_tried_again_before_it_halts() -> None:
    async def main() -> None:
        fault = StepAtFault("no route", code="raised", signature="raised")
        raised: list[Exception] = [fault] * 5
        world = SourceWorld(script=Script(batches=4, faults={1: raised[:2], 3: raised[2:]}))
        runner = world.runner()
        async with working(runner):
            await until(lambda: runner.status().state == "halted")
            assert len(world.records()) == 3
            assert "no route" in runner.status().cause

    run(main())


def test_too_many_bad_lines_over_a_window_halt_it_and_bury_nothing_of_the_batch() -> None:
    async def main() -> None:
        gate = GatePolicy(dead_max=0.15, throttle_share=1.0, rows_min=ROWS)
        world = SourceWorld(plan=plan_of(edge("src:out"), gate=gate), script=Script(bad=1))
        runner = world.runner()
        async with working(runner):
            await until(lambda: len(world.records()) == 2)
            world.script.bad = 5
            await until(lambda: runner.status().state == "halted")
            assert runner.status().code == "dead_max"
            assert "from line" in runner.status().cause
            assert len(world.store.dead) == len(world.records())

    run(main())


def test_the_rate_is_kept() -> None:
    async def main() -> None:
        world = SourceWorld(plan=plan_of(edge("src:out"), rate=20.0), script=Script(batches=9))
        began_s = CLOCK.now_s()
        await world.runner().run()
        took_s = CLOCK.now_s() - began_s
        assert 8 * ROWS / 20 <= took_s <= 9 * ROWS / 20 + 1

    run(main())


def test_a_full_inbox_blocks_the_source_and_loses_nothing() -> None:
    async def main() -> None:
        size = len(fresh_of(0).parcel.payload)
        plan = plan_of(edge("src:out", bytes_max=3 * (size + 600)))
        world = SourceWorld(plan=plan, script=Script(batches=30))
        runner = world.runner()
        async with working(runner):
            await until(lambda: runner.status().state == "blocked")
            found: list[str] = []
            while len(found) < 30:
                for delivery in await world.streams.inbox("src:out").fetch(10, 1.0):
                    found.append(delivery.envelope.batch)
                    await delivery.ack()
        assert Counter(found) == Counter(names(30))

    run(main())


def test_no_room_for_dead_lines_pauses_the_source_and_loses_nothing() -> None:
    async def main() -> None:
        plan = plan_of(edge("src:out"), dead_bytes_max=1)
        world = SourceWorld(plan=plan, script=Script(batches=3, bad=1))
        runner = world.runner()
        async with working(runner):
            await until(lambda: runner.status().state == "paused")
            assert runner.status().code == "dead_letters_full"
            assert world.records() == []
            world.store.dead_bytes_max = 2**20
            await until(lambda: len(world.records()) == 3)
        assert await world.published() == names(3)
        assert len(world.store.dead) == 3

    run(main())


def test_a_paused_source_publishes_nothing_and_a_resumed_one_goes_on() -> None:
    async def main() -> None:
        world = SourceWorld(plan=plan_of(edge("src:out"), rate=10.0), script=Script(batches=20))
        runner = world.runner()
        async with working(runner):
            await until(lambda: len(world.records()) == 2)
            await world.order("pause")
            await until(lambda: runner.status().state == "paused")
            count = len(world.records())
            await CLOCK.wait(30.0)
            assert len(world.records()) == count
            await world.order("run")
            await until(lambda: len(world.records()) == 20)

    run(main())


def test_a_source_that_waits_for_its_reader_drains_at_once() -> None:
    async def main() -> None:
        world = SourceWorld(script=Script(batches=2, stays_silent=True))
        runner = world.runner()
        async with working(runner):
            await until(lambda: len(world.records()) == 2)
            await CLOCK.wait(10.0)
            began_s = CLOCK.now_s()
        assert CLOCK.now_s() - began_s < 3
        assert runner.status().state == "stopped"
        assert world.note() is None
        assert world.script.closed >= 1

    run(main())


def test_a_broker_that_is_away_is_waited_for() -> None:
    async def main() -> None:
        world = SourceWorld(plan=LINE, script=Script(batches=12))
        runner = world.runner()
        async with working(runner):
            await until(lambda: len(world.records()) == 3)
            world.store.down()
            await until(lambda: runner.status().code == "broker_away")
            world.store.up()
            await until(lambda: len(world.records()) == 12)
        assert await world.published() == names(12)

    run(main())
