"""What a zone counts of its promises, whose fault the rest is, and what it tells who listens."""

from __future__ import annotations

import itertools

import msgspec
import pytest

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
from firedoor.data.runner import Runner
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.events.metrics import LABELS
from firedoor.events.objective import Objectives
from firedoor.events.trace import Place, read, write
from firedoor.events.work import BatchWorked, RequestAnswered
from firedoor.ports.stage import DeadRows, Handled, Parcel
from firedoor.quality.grades import Grade
from firedoor.testing.loop import run
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import DeadGroup

EDGES = (edge("src:mid"), edge("mid:out"))
PROMISED = plan_of(*EDGES, slo={"latency_p99_s": 1.0, "freshness_s": 5.0})
UPSTREAM = write(Place(7, 8, sampled=True))


class Ear:
    """Listens, and gives spans numbers. See ``ports.telemetry.Telemetry``."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.heard: list[BatchWorked] = []
        self._sampled = sampled
        self._spans = itertools.count(100)

    def begin(self, parent: str = "") -> str:
        above = read(parent)
        trace = 1 if above is None else above.trace
        return write(Place(trace, next(self._spans), self._sampled))

    def batch(self, worked: BatchWorked) -> None:
        self.heard.append(worked)

    def request(self, answered: RequestAnswered) -> None:
        raise AssertionError(answered)


class Schooled(Work):
    """Buries negative rows as what came in against the schema."""

    def _result(self, envelope: Envelope, payload: bytes) -> Handled:
        found = super()._result(envelope, payload)
        assert found.dead is not None
        ways = (("schema", "rule x|min", 2), ("exception", "KeyError", 1))
        groups = tuple(
            DeadGroup(code=code, signature=signature, rows=rows, first_row=0, message="")
            for code, signature, rows in ways
        )
        dead = DeadRows(found.dead.payload, 1, 3, groups)
        return Handled(found.parcel, dead)


class Varied(Work):
    """Buries the rows of a batch, each for a reason of its own."""

    def _result(self, envelope: Envelope, payload: bytes) -> Handled:
        found = super()._result(envelope, payload)
        assert found.dead is not None
        groups = tuple(
            DeadGroup(code=f"{envelope.batch}-{n}", signature="", rows=1, first_row=n, message="")
            for n in range(found.dead.rows)
        )
        return Handled(found.parcel, DeadRows(found.dead.payload, 1, len(groups), groups))


def told(runner: Runner) -> Objectives:
    return runner.freshness.told()


def test_rows_that_came_through_and_rows_that_died_are_counted_once() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner()
        await world.put(range(3), bad=2)
        await run_through(world, runner, 3)
        kept = told(runner)
        assert (kept.availability.good, kept.availability.own) == (24, 6)
        assert kept.availability.inherited == {}
        assert (kept.latency.good, kept.latency.own, kept.dead) == (24, 0, 6)
        assert sum(kept.latency_s.values()) == 3
        work = runner.status().work
        assert (work.fates, work.codes) == ({"good": 3}, {"rule": 6})

    run(main())


def test_what_rows_died_of_has_a_bounded_number_of_names() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner(work=Varied())
        await world.put(range(9), bad=9)
        await run_through(world, runner, 9)
        codes = runner.status().work.codes
        assert len(codes) == LABELS["code"][1]
        assert (codes["other"], sum(codes.values())) == (31, 81)

    run(main())


def test_rows_that_came_in_against_the_schema_are_their_publishers_fault() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner(work=Schooled())
        await world.put([1], bad=3)
        await run_through(world, runner, 1)
        kept = told(runner).availability
        assert (kept.good, kept.own, kept.inherited) == (7, 1, {"src": 2})

    run(main())


def test_a_pause_for_a_dependency_makes_batches_late_by_its_fault() -> None:
    async def main() -> None:
        world = World(PROMISED)
        away: list[Exception] = [DependencyDown("it is away", dependency="db")] * 2
        runner = world.runner(work=Work(faults={"": away}), concurrency=1)
        await world.put([1])
        await run_through(world, runner, 1)
        kept = told(runner)
        assert kept.latency.inherited == {"dependency:db": ROWS}
        assert kept.latency.own == 0
        assert kept.availability.good == ROWS
        assert set(kept.freshness.inherited) == {"dependency:db"}
        assert kept.freshness.own == 0

    run(main())


def test_a_slow_step_makes_batches_late_by_its_own_fault() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner(work=Work(takes_s=2.0))
        await world.put([1])
        await run_through(world, runner, 1)
        kept = told(runner).latency
        assert (kept.good, kept.own, kept.inherited) == (0, ROWS, {})
        assert runner.status().work.fates == {"late": 1}
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.cause == "mid"

    run(main())


def test_seconds_in_which_a_zone_is_halted_are_its_own_fault_or_its_publishers() -> None:
    async def main() -> None:
        for of_input, expected in ((False, (True, {})), (True, (False, {"src"}))):
            world = World(PROMISED)
            fault = StepAtFault("no", code="wrong_schema", signature="s", of_input=of_input)
            runner = world.runner(work=Work(faults={"": [fault]}))
            await world.put([1])
            async with running(runner):
                await CLOCK.wait(6.0)
                assert runner.status().state == "halted"
                kept = told(runner).freshness
                own, inherited = expected
                assert (kept.own > 0, set(kept.inherited)) == (own, set(inherited))
                assert told(runner).blamed == ("src" if of_input else "mid")

    run(main())


def test_seconds_in_which_a_reader_has_no_room_are_the_readers_fault() -> None:
    async def main() -> None:
        small = plan_of(edge("src:mid"), edge("mid:out", bytes_max=800), slo={"freshness_s": 60})
        world = World(small)
        runner = world.runner()
        await world.put(range(6))
        async with running(runner):
            await until(lambda: runner.status().state == "blocked")
            await CLOCK.wait(4.0)
            kept = told(runner)
            assert kept.freshness.inherited["out"] >= 3
            assert kept.blamed == "out"
            await world.drained("mid:out")

    run(main())


def test_what_a_person_ordered_is_no_event() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner()
        async with running(runner):
            await CLOCK.wait(3.0)
            await world.order("pause")
            await until(lambda: runner.status().state == "paused")
            await CLOCK.wait(1.5)
            before = told(runner).freshness
            await world.put([1])
            await CLOCK.wait(60.0)
            assert told(runner).freshness == before
            assert told(runner).blamed == ""
            await world.order("run")

    run(main())


@pytest.mark.parametrize(
    ("state", "blamed", "expected"),
    [
        ("running", "", None),
        ("halted", "src", "src"),
        ("paused", "dependency:db", "dependency:db"),
        ("done", "", None),
    ],
)
def test_who_gets_nothing_blames_whom_the_publisher_blames(
    state: str, blamed: str, expected: str | None
) -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner()
        async with running(runner):
            for _ in range(20):
                word = Objectives(
                    zone="src", process="there-1", boot="b", at_s=CLOCK.utc_s(), state=state,
                    blamed=blamed,
                )  # fmt: skip
                await world.streams.beat("objective.src.there-1", msgspec.json.encode(word))
                await CLOCK.wait(0.5)
            kept = told(runner).freshness
            assert set(kept.inherited) == ({expected} if expected else set())
            assert kept.own == 0

    run(main())


def test_a_publisher_that_was_heard_and_fell_silent_is_blamed() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner()
        async with running(runner):
            word = Objectives(
                zone="src", process="there-1", boot="b", at_s=CLOCK.utc_s(), state="running"
            )
            await world.streams.beat("objective.src.there-1", msgspec.json.encode(word))
            await CLOCK.wait(20.0)
            kept = told(runner).freshness
            assert set(kept.inherited) == {"src"}
            assert 10 <= kept.inherited["src"] <= 16

    run(main())


def test_what_still_waits_after_a_pause_waits_by_the_fault_of_that() -> None:
    async def main() -> None:
        world = World(PROMISED)
        away: list[Exception] = [DependencyDown("it is away", dependency="db")] * 4
        runner = world.runner(work=Work(faults={"": away}, takes_s=1.0), concurrency=1)
        await world.put(range(12))
        await run_through(world, runner, 12)
        kept = told(runner).freshness
        assert set(kept.inherited) == {"dependency:db"}
        assert kept.own == 0
        assert kept.inherited["dependency:db"] > 10

    run(main())


def test_where_nobody_listens_the_trace_of_others_goes_on_untouched() -> None:
    async def main() -> None:
        world, work = World(PROMISED), Work()
        await world.put([1], traceparent=UPSTREAM)
        await run_through(world, world.runner(work=work), 1)
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.traceparent == UPSTREAM

    run(main())


def test_a_listener_is_told_of_a_batch_under_the_span_that_came_with_it() -> None:
    async def main() -> None:
        world, ear = World(PROMISED), Ear()
        await world.put([1], bad=2, traceparent=UPSTREAM, sent_s=CLOCK.utc_s() - 4.0)
        await run_through(world, world.runner(telemetry=ear), 1)
        (worked,) = ear.heard
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.traceparent == worked.traceparent
        assert (worked.zone, worked.batch, worked.edge) == ("mid", batch_name(1), "src:mid")
        assert worked.parent == UPSTREAM
        assert read(worked.traceparent) == Place(7, 100, sampled=True)
        assert (worked.rows_in, worked.passed, worked.fate) == (ROWS, ROWS - 2, "good")
        assert [(died.code, died.rows) for died in worked.dead] == [("rule", 2)]
        assert worked.waited_s == pytest.approx(4.0, abs=0.1)
        assert worked.began_s + worked.seconds == pytest.approx(CLOCK.utc_s(), abs=1.0)

    run(main())


def test_a_batch_that_comes_to_nothing_is_told_as_bad_and_again_when_it_came_through() -> None:
    async def main() -> None:
        world, ear = World(PROMISED), Ear()
        away: list[Exception] = [DependencyDown("away", dependency="db")]
        await world.put([1])
        await run_through(world, world.runner(work=Work(faults={"": away}), telemetry=ear), 1)
        bad, good = ear.heard
        assert (bad.fate, bad.trouble, bad.cause) == ("bad", "dependency_down", "dependency:db")
        assert (good.fate, good.deliveries) == ("late", 2)
        assert good.cause == "dependency:db"

    run(main())


def test_what_is_not_sampled_is_not_told_and_travels_on_as_such() -> None:
    async def main() -> None:
        world, ear = World(PROMISED), Ear(sampled=False)
        await world.put([1], traceparent=UPSTREAM)
        await run_through(world, world.runner(telemetry=ear), 1)
        (sent,) = await world.drained("mid:out")
        assert ear.heard == []
        assert read(sent.envelope.traceparent) == Place(7, 100, sampled=False)

    run(main())


def test_rows_made_of_something_worse_say_from_what_and_stay_good() -> None:
    async def main() -> None:
        class Stale(Work):
            def _result(self, envelope: Envelope, payload: bytes) -> Handled:
                del envelope
                grade = {"weather": Grade("older", 60.0)}
                return Handled(Parcel(payload, len(payload), ROWS, "s1"), quality=grade)

        world, ear = World(PROMISED), Ear()
        runner = world.runner(work=Stale(), telemetry=ear)
        await world.put([1])
        await run_through(world, runner, 1)
        kept = told(runner)
        assert (kept.availability.good, kept.degraded) == (ROWS, ROWS)
        (sent,) = await world.drained("mid:out")
        assert sent.envelope.cause == "dependency:weather"
        assert [(worked.fate, worked.cause) for worked in ear.heard] == [
            ("degraded", "dependency:weather")
        ]

    run(main())


def test_a_process_that_stood_still_has_not_kept_those_seconds() -> None:
    async def main() -> None:
        world = World(PROMISED)
        runner = world.runner()
        async with running(runner):
            await CLOCK.wait(3.5)
            before = told(runner).freshness
            runner.freshness._looked_s -= 20.0
            await runner.freshness.look(20.0)
            kept = told(runner).freshness
            assert kept.own - before.own == 20

    run(main())


def test_objectives_are_said_each_second() -> None:
    async def main() -> None:
        world = World(PROMISED)
        async with running(world.runner()):
            await world.put([1])
            await until(lambda: world.waiting() == 0)
            await CLOCK.wait(1.5)
            said = await world.objectives()
            assert said is not None
            assert (said.zone, said.process, said.state) == ("mid", "here-1", "running")
            assert CLOCK.utc_s() - said.at_s <= 1.0
            assert said.availability.good == ROWS

    run(main())
