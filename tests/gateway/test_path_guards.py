"""What protects versions from requests: limits, priorities, breakers, budgets of retries."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from firedoor.gateway.exchange import Answer
from firedoor.spec.service_plan import FallbackPlan, ServiceLimits
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, always
from firedoor.wire.route import Arm
from gateway.served import (
    CANDIDATE,
    CHAMPION,
    Stage,
    ask,
    canary,
    plan,
    route,
    serving,
)

CONSTANT = FallbackPlan(constant={"score": 0.125}, cached_max_s=300.0)
CLOCK = VirtualClock()


def test_less_important_requests_are_refused_first_and_told_when_to_come_back() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 0.2))
        limits = ServiceLimits(concurrency=20)
        answers: dict[str, list[Answer]] = {}
        async with serving(stage, route(), of=plan(limits=limits)) as path:

            async def one(priority: Any, number: int) -> None:
                answers.setdefault(priority, []).append(
                    await path.answer(ask(number, priority=priority))
                )

            async with asyncio.TaskGroup() as group:
                for number in range(17):
                    group.create_task(one("default", number))
                await CLOCK.wait(0.01)
                for number in range(5):
                    group.create_task(one("sheddable", 100 + number))
                for number in range(3):
                    group.create_task(one("critical", 200 + number))
            assert {answer.status for answer in answers["default"]} == {200}
            assert {answer.status for answer in answers["critical"]} == {200}
            assert {answer.status for answer in answers["sheddable"]} <= {429, 503}
            said = answers["sheddable"][-1].message
            assert said.startswith("predict has no room for a sheddable request: of ")
            assert said.endswith(
                "send it again after 1 s, or as more important (X-Firedoor-Priority)"
            )
            assert all(answer.retry_after_s for answer in answers["sheddable"])
            assert path.facts().shed == 5
            assert (await path.answer(ask(1, priority="sheddable"))).status == 200

    run(main())


@pytest.mark.parametrize("act", [Act("hang"), Act("busy"), Act("answer", 0.24)])
def test_the_limit_is_cut_for_a_champion_that_has_too_much_and_not_for_a_candidate(
    act: Act,
) -> None:
    async def limit(at_fault: Arm) -> tuple[float, float]:
        stage = Stage()
        stage.scripts[at_fault] = always(act)
        async with serving(stage, canary(weight=0.5), of=plan(fallback=CONSTANT)) as path:
            before = path.facts().limit
            for number in range(20):
                await path.answer(ask(number))
                await CLOCK.wait(0.3)
            return before, path.facts().limit

    before, after = run(limit(CHAMPION))
    assert after < before / 2
    before, after = run(limit(CANDIDATE))
    assert after == before


def test_a_caller_that_hangs_up_gives_its_place_back() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 0.2))
        async with serving(stage, route(), of=plan(limits=ServiceLimits(concurrency=2))) as path:
            for number in range(10):
                task = asyncio.ensure_future(path.answer(ask(number)))
                await CLOCK.wait(0.05)
                task.cancel()
                await asyncio.wait([task])
            assert (await path.answer(ask(99))).status == 200

    run(main())


def test_the_breaker_of_a_candidate_spares_it_and_the_callers_wait() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("hang"))
        async with serving(stage, canary(weight=1.0)) as path:
            for number in range(30):
                assert (await path.answer(ask(number))).arm == "champion"
            given = len(stage.of(CANDIDATE).asks)
            assert given < 15
            began_s = CLOCK.now_s()
            await path.answer(ask(31))
            assert CLOCK.now_s() == began_s
            stage.scripts.clear()
            await CLOCK.wait(10)
            answers = [await path.answer(ask(number)) for number in range(40, 45)]
            assert {answer.arm for answer in answers} == {"candidate"}, "a probe closes it"

    run(main())


def test_a_caller_that_hangs_up_on_a_probe_lets_the_next_one_probe() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("raise"))
        async with serving(stage, canary(weight=1.0)) as path:
            for number in range(30):
                await path.answer(ask(number))
            await CLOCK.wait(5)
            stage.scripts[CANDIDATE] = always(Act("answer", 0.2))
            probe = asyncio.ensure_future(path.answer(ask(40)))
            await CLOCK.wait(0.01)
            probe.cancel()
            await asyncio.wait([probe])
            stage.scripts.clear()
            assert (await path.answer(ask(41))).arm == "candidate"

    run(main())


def test_an_outage_of_the_champion_is_not_doubled_by_retries() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("die", 0.001))
        async with serving(stage, route(), of=plan(fallback=CONSTANT)) as path:
            for number in range(300):
                answer = await path.answer(ask(number))
                assert answer.arm == "constant"
            # The first of each, ten retries that the budget has, and probes.
            assert len(stage.of(CHAMPION).asks) < 40

    run(main())


def test_a_full_gateway_asks_no_version() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 0.2))
        async with serving(stage, route(), of=plan(limits=ServiceLimits(concurrency=1))) as path:
            first = asyncio.ensure_future(path.answer(ask(1)))
            await CLOCK.wait(0.01)
            full = await path.answer(ask(2, priority="critical"))
            assert full.status == 503
            assert len(stage.of(CHAMPION).asks) == 1
            assert (await first).status == 200

    run(main())


def test_what_the_breaker_of_an_arm_refuses_counts_as_failed() -> None:
    """Or a version that fails for a minute at a time would look as if it had failed ten times."""

    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("raise"))
        async with serving(stage, canary(weight=1.0)) as path:
            for number in range(40):
                assert (await path.answer(ask(number))).arm == "champion"
            counts = path.evidence(0.0).arms["candidate"]
            assert (counts.n, counts.error) == (40, 40)
            assert stage.of(CANDIDATE).number < 40

    run(main())


def test_what_a_drill_made_a_version_say_and_fail_at_is_forgotten_when_it_is_over() -> None:
    async def main() -> None:
        stage = Stage()
        drilled = True

        def act(_ask: object, number: int) -> Act:
            return Act(("answer" if number == 0 else "die") if drilled else "answer")

        stage.scripts[CHAMPION] = act
        async with serving(stage, route(), of=plan(fallback=CONSTANT)) as path:
            assert (await path.answer(ask(1))).arm == "champion"
            assert (await path.answer(ask(1))).arm == "cached"
            drilled = False
            path.absolve(CHAMPION.digest)
            drilled = True
            assert (await path.answer(ask(1))).arm == "constant", (
                "what it said then is kept no more"
            )
            path.absolve(CHAMPION.digest)
            drilled = False
            await CLOCK.wait(5)  # the breaker finds out by itself
            await path.answer(ask(2))
            answer = await path.answer(ask(1))
            assert answer.arm == "champion"
            assert not stage.of(CHAMPION).asks[-1].suspect, "it need not be run alone"

    run(main())


def test_a_version_that_a_drill_had_fail_is_opened_at_once_when_it_is_over() -> None:
    async def main() -> None:
        stage = Stage()
        stage.options[CHAMPION] = {"fails": "its files are another version's", "loading_s": 0.1}
        async with serving(stage, route()) as path:
            await CLOCK.wait(40)
            opened = len(stage.opened)
            assert opened >= 3, "it was tried again, ever more slowly"
            stage.options.clear()
            path.absolve(CHAMPION.digest)
            await CLOCK.wait(0.1)
            assert len(stage.opened) > opened
            assert (await path.answer(ask(1))).arm == "champion"

    run(main())
