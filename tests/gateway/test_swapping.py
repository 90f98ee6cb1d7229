"""Routes that change which version answers: swaps, rollbacks, promotions."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from firedoor.spec.service_plan import FallbackPlan, ServiceLimits
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, always, score_of
from gateway.served import (
    CANDIDATE,
    CHAMPION,
    NEXT,
    OLD,
    Stage,
    arm,
    ask,
    body,
    canary,
    plan,
    route,
    score,
    serving,
    shadow,
    truthful,
)

CLOCK = VirtualClock()


def test_a_thousand_hot_swaps_under_load_fail_no_request() -> None:
    async def main() -> None:
        stage = Stage()
        swaps, answers, wrong = 1_000, Counter[tuple[int, str]](), []
        for version in range(2, swaps + 2):
            stage.options[arm(version)] = {"loading_s": 0.005}
            stage.scripts[arm(version)] = always(Act("answer", 0.004))
        arms = [arm(version) for version in range(2, swaps + 2)]
        async with serving(stage, route(champion=arms[0])) as path:
            done = False

            async def load(client: int) -> None:
                number = client
                while not done:
                    number += 4
                    request = ask(number)
                    answer = await path.answer(request)
                    answers[answer.status, answer.degraded] += 1
                    if not truthful(request, answer, [arm(int(answer.version))]):
                        wrong.append(answer)

            async with asyncio.TaskGroup() as group:
                for client in range(4):
                    group.create_task(load(client))
                for generation, champion in enumerate(arms[1:], start=2):
                    path.set_route(route(generation, champion=champion))
                    await CLOCK.wait(0.012)
                done = True
            assert set(answers) == {(200, "")}
            assert not wrong
            assert sum(answers.values()) > 10_000
            assert len(path.facts().variants) == 1, "memory is flat: the others are closed"
        assert {variant.facts.state for _, _, variant in stage.opened} == {"closed"}

    run(main())


def test_the_old_champion_answers_until_the_new_one_is_ready() -> None:
    async def main() -> None:
        stage = Stage()
        stage.options[NEXT] = {"loading_s": 5.0}
        async with serving(stage, route()) as path:
            path.set_route(route(2, champion=NEXT))
            assert (await path.answer(ask(1))).version == "2"
            assert "delays@4 is loading" in path.facts().because
            assert path.facts().ready
            await CLOCK.wait(5.1)
            assert (await path.answer(ask(1))).version == "4"
            assert path.facts().because == ""
            assert stage.of(CHAMPION).facts.state == "closed"

    run(main())


@pytest.mark.parametrize("how", ["fails", "refuses"])
def test_a_champion_that_cannot_be_opened_keeps_the_old_one_and_this_is_said(how: str) -> None:
    async def main() -> None:
        stage = Stage()
        if how == "fails":
            stage.options[NEXT] = {"fails": "the hash is wrong"}
        else:
            stage.refuses[NEXT] = "the hash is wrong"
        async with serving(stage, route()) as path:
            path.set_route(route(2, champion=NEXT))
            for _ in range(20):
                await CLOCK.wait(1)
                assert (await path.answer(ask(1))).version == "2"
                assert "delays@4 cannot be opened" in path.facts().because
                assert "the hash is wrong" in path.facts().because
            assert "the hash is wrong" in path.evidence(0.0).variants["delays@4"]
            tries = sum(known == NEXT for known, _, _ in stage.opened)
            assert tries <= 5, "it is not opened again and again without a pause"
            stage.options.clear()
            stage.refuses.clear()
            await CLOCK.wait(120)
            assert (await path.answer(ask(1))).version == "4", "and is tried again"

    run(main())


def test_what_once_failed_as_champion_may_load_as_candidate() -> None:
    async def main() -> None:
        stage = Stage()
        stage.refuses[CANDIDATE] = "no such file"
        async with serving(stage, route()) as path:
            path.set_route(route(2, champion=CANDIDATE))
            path.set_route(route(3))
            stage.refuses.clear()
            path.set_route(canary(4, weight=1.0))
            await CLOCK.wait(0.1)
            assert path.evidence(0.0).trips == {}
            assert (await path.answer(ask(1))).arm == "candidate"

    run(main())


def test_a_version_that_is_let_go_has_time_to_finish_the_longest_request() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 7.0))
        limits = ServiceLimits(timeout_s=8.0, attempt_s=8.0)
        async with serving(stage, route(), of=plan(limits=limits)) as path:
            task = asyncio.ensure_future(path.answer(ask(1)))
            await CLOCK.wait(0.1)
            path.set_route(route(2, champion=NEXT))
            await CLOCK.wait(0.1)
            assert (await path.answer(ask(2))).version == "4"
            assert score(await task) == score_of(CHAMPION, body(1))

    run(main())


def test_a_rollback_takes_over_at_once_and_needs_nothing_of_the_candidate() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CANDIDATE] = always(Act("hang"))
        async with serving(stage, canary(weight=1.0)) as path:
            async with asyncio.TaskGroup() as group:
                waiting = [group.create_task(path.answer(ask(n))) for n in range(5)]  # type: ignore[arg-type, var-annotated]
                await CLOCK.wait(0.05)
                path.set_route(route(2))
                answer = await path.answer(ask(9))
                assert (answer.arm, answer.degraded) == ("champion", "")
            assert {task.result().status for task in waiting} == {200}
            await CLOCK.wait(6)
            assert stage.of(CANDIDATE).facts.state == "closed"

    run(main())


def test_a_promotion_answers_at_once_and_then_by_workers_that_yield_to_nobody() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, shadow()) as path:
            stage.options[CANDIDATE] = {"loading_s": 3.0}
            path.set_route(route(2, champion=CANDIDATE, previous=CHAMPION))
            answer = await path.answer(ask(1))
            assert (answer.arm, answer.version) == ("champion", "3")
            opened = [(nice, v) for known, nice, v in stage.opened if known == CANDIDATE]
            (_, yields), (nice, fresh) = opened
            assert nice == 0
            await CLOCK.wait(3.1)
            before = fresh.number
            await path.answer(ask(2))
            assert fresh.number == before + 1
            await CLOCK.wait(1)
            assert yields.facts.state == "closed"
            path.set_route(route(3, champion=CHAMPION))
            assert (await path.answer(ask(3))).version == "2", "the way back is warm"

    run(main())


def test_a_candidate_keeps_its_workers_from_the_first_copy_to_the_last_step() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, shadow()) as path:
            nices = {known: nice for known, nice, _ in stage.opened}
            assert nices[CANDIDATE] > nices[CHAMPION] == 0
            path.set_route(canary(2, weight=1.0))
            assert (await path.answer(ask(1))).version == "3"
            await CLOCK.wait(2)
            assert (await path.answer(ask(2))).version == "3"
            assert [known for known, _, _ in stage.opened].count(CANDIDATE) == 1

    run(main())


def test_a_request_whose_champion_was_replaced_meanwhile_is_answered_by_the_new_one() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("hang"))
        nothing = plan(fallback=FallbackPlan(cached_max_s=None))
        async with serving(stage, route(), of=nothing) as path:
            task = asyncio.ensure_future(path.answer(ask(1)))
            await CLOCK.wait(0.1)
            path.set_route(route(2, champion=NEXT))
            answer = await task
            assert (answer.status, answer.arm, answer.version) == (200, "champion", "4")
            assert answer.degraded == ""

    run(main())


def test_a_champion_that_waits_for_its_successor_is_not_its_own_way_back() -> None:
    async def main() -> None:
        stage = Stage()
        stage.options[NEXT] = {"loading_s": 5.0}
        stage.scripts[CHAMPION] = always(Act("raise"))
        nothing = plan(fallback=FallbackPlan(cached_max_s=None))
        async with serving(stage, route(), of=nothing) as path:
            path.set_route(route(2, champion=NEXT, previous=CHAMPION))
            assert (await path.answer(ask(1))).status == 503
            await CLOCK.wait(5.1)
            stage.scripts = {NEXT: always(Act("raise"))}
            answer = await path.answer(ask(2))
            assert (answer.arm, answer.version) == ("previous", "2")

    run(main())


def test_an_older_route_is_ignored() -> None:
    async def main() -> None:
        stage = Stage()
        async with serving(stage, route(5)) as path:
            assert not path.set_route(route(4, champion=NEXT))
            assert not path.set_route(route(5))
            assert (await path.answer(ask(1))).version == "2"
            assert path.evidence(0.0).generation == 5

    run(main())


def test_answers_of_a_version_that_was_taken_back_are_not_given_from_the_cache() -> None:
    async def main() -> None:
        stage = Stage()
        fallback = FallbackPlan(constant={"score": 0.5}, cached_max_s=300.0)
        async with serving(stage, route(1, champion=NEXT), of=plan(fallback=fallback)) as path:
            await path.answer(ask(1))
            path.set_route(route(2, champion=CHAMPION))
            await CLOCK.wait(0.1)
            stage.scripts[CHAMPION] = always(Act("raise"))
            assert (await path.answer(ask(1))).arm == "constant"

    run(main())


def test_the_loop_is_left_alone_when_the_path_is_closed() -> None:
    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = always(Act("answer", 0.1))
        async with serving(stage, route(previous=OLD)) as path:
            task = asyncio.ensure_future(path.answer(ask(1)))
            await CLOCK.wait(0.01)
        assert (await task).status == 200, "what was begun is finished"
        assert score(await task) == score_of(CHAMPION, body(1))
        assert {variant.facts.state for _, _, variant in stage.opened} == {"closed"}

    run(main())
