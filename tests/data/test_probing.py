"""Several processes of one zone while what it needs is away: one pause, one prober."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import msgspec
import pytest

from data.runner_world import CLOCK, Work, World, batch_name, running, until
from firedoor.errors import DependencyDown
from firedoor.ports.stage import Handled, Journal
from firedoor.testing.loop import run
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardOrder, Order

LONGEST_S = 4.0
"""Between two probes."""


@dataclass
class Service(Work):
    """A stage whose dependency is away for a while."""

    away: bool = False
    asked: list[float] = field(default_factory=list)
    """When it was asked, away or not."""

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        self.asked.append(CLOCK.now_s())
        if self.away:
            raise DependencyDown("the service is away")
        return await super().handle(envelope, payload, journal)


def go(main: Callable[[], Coroutine[object, object, None]]) -> None:
    run(main())


def asked_in(work: list[Service], from_s: float, to_s: float) -> list[float]:
    return sorted(at_s for one in work for at_s in one.asked if from_s <= at_s < to_s)


def test_of_three_processes_one_probes_and_all_resume() -> None:
    async def main() -> None:
        world = World()
        work = [Service(away=True) for _ in range(3)]
        runners = [
            world.runner(work=one, replica=f"here-{number}", concurrency=1)
            for number, one in enumerate(work)
        ]
        await world.put(range(30))
        async with running(*runners):
            await until(lambda: all(r.status().state == "paused" for r in runners))
            settled_s = CLOCK.now_s() + 10.0
            await CLOCK.wait(100.0)
            assert world.recorded() == []
            probes = asked_in(work, settled_s, CLOCK.now_s())
            gaps = [later - earlier for earlier, later in itertools.pairwise(probes)]
            assert len(probes) == pytest.approx(90 / LONGEST_S, abs=4), "not one for all of them"
            assert min(gaps) > LONGEST_S / 2
            back_s = CLOCK.now_s()
            for one in work:
                one.away = False
            await until(lambda: all(r.status().state == "running" for r in runners))
            assert CLOCK.now_s() - back_s < 5.0, "some go on waiting"
            await until(lambda: len(world.recorded()) == 30)
        assert all(record.attempts == {} for record in world.store.records.values())
        assert world.store.dead == {}

    go(main)


def test_a_prober_that_dies_is_followed_by_another() -> None:
    async def main() -> None:
        world = World()
        first, second = Service(away=True), Service(away=True)
        await world.put(range(4))
        gone = asyncio.create_task(world.runner(work=first, replica="gone", concurrency=1).run())
        await until(lambda: len(first.asked) > 3)
        async with running(world.runner(work=second, replica="here", concurrency=1)):
            await CLOCK.wait(5.0)
            gone.cancel()
            died_s = CLOCK.now_s()
            await until(lambda: bool(second.asked) and second.asked[-1] > died_s)
            assert CLOCK.now_s() - died_s < 10 + LONGEST_S
            second.away = False
            await until(lambda: len(world.recorded()) == 4)

    go(main)


def test_nobody_gets_a_batch_while_the_pull_is_paused() -> None:
    async def main() -> None:
        world = World()
        work = Service(away=True)
        await world.put(range(4))
        async with running(world.runner(work=work, concurrency=1)):
            await until(lambda: len(work.asked) == 4)
            await CLOCK.wait(0.5)
            assert await world.streams.inbox("src:mid").fetch(1, 1.0) == []
            work.away = False
            await until(lambda: len(world.recorded()) == 4)

    go(main)


def test_a_pause_ends_though_who_asked_for_it_is_gone() -> None:
    async def main() -> None:
        world = World()
        await world.put(range(4))
        async with running(world.runner(work=Service(away=True), concurrency=1)):
            await until(lambda: world.store.boxes["src:mid"].paused_until_s > CLOCK.utc_s())
        began_s = CLOCK.now_s()
        async with running(world.runner(replica="another")):
            await until(lambda: len(world.recorded()) == 4)
        assert CLOCK.now_s() - began_s < 5.0

    go(main)


@pytest.mark.parametrize("call", ["claim", "beats", "pause"])
def test_a_process_that_hears_nothing_from_the_broker_probes_by_itself(call: str) -> None:
    async def main() -> None:
        world = World()
        work = Service(away=True)
        await world.put(range(2))
        async with running(world.runner(work=work, concurrency=1)):
            await until(lambda: len(work.asked) == 1)
            world.store.lose(call, done=False, times=1_000)  # type: ignore[arg-type]
            await CLOCK.wait(60.0)
            assert len(work.asked) > 60 / (LONGEST_S + 1)
            work.away = False
            await until(lambda: len(world.recorded()) == 2, within_s=6.0)

    go(main)


def test_an_order_for_a_guard_reaches_the_stage_and_has_it_try_at_once() -> None:
    async def main() -> None:
        world = World()
        work = Service(away=True)
        runner = world.runner(work=work, concurrency=1)
        await world.put(range(2))
        async with running(runner):
            await until(lambda: len(work.asked) == 6)
            work.away = False
            await CLOCK.wait(0.1)
            order = GuardOrder(
                guard="mid->service", want="close", number=1, because="it is back", by="ann"
            )
            await world.streams.put("order.mid", msgspec.json.encode(Order(guards=(order,))))
            asked_s = CLOCK.now_s()
            await until(lambda: len(world.recorded()) == 2)
            assert CLOCK.now_s() - asked_s < 1.5
            assert work.ordered == [(order,)]
            causes = [step.cause for step in runner.status().transitions]
            assert "ann: close guard mid->service: it is back" in causes

    go(main)


def test_an_order_that_was_given_before_the_start_is_followed_once() -> None:
    async def main() -> None:
        world = World()
        work = Service()
        order = GuardOrder(guard="mid->service", want="open", number=3)
        await world.streams.put("order.mid", msgspec.json.encode(Order(guards=(order,))))
        await world.put(range(2))
        async with running(world.runner(work=work)):
            await until(lambda: batch_name(1) in world.recorded())
            await CLOCK.wait(5.0)
        assert work.ordered == [(order,)]

    go(main)
