"""More requests than a version can answer: who is answered by it, and who is not."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

from firedoor.gateway.path import ServicePath
from firedoor.spec.service_plan import FallbackPlan, ServiceLimits
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act
from firedoor.wire.serving import Ask
from gateway.served import CHAMPION, OLD, Stage, ask, plan, route, serving

ROW_S = 0.005
CLOCK = VirtualClock()
CLIENTS = ["critical"] * 10 + ["default"] * 40 + ["sheddable"] * 50
CALM_S, END_S = 6.0, 16.0


class Busy:
    """A worker that takes all that waits as one batch, 5 ms a row."""

    def __init__(self) -> None:
        self.batch_ends_s = self.next_rows = 0.0

    def __call__(self, _ask: Ask, _number: int) -> Act:
        now_s = CLOCK.now_s()
        if now_s >= self.batch_ends_s:
            waited = max(self.next_rows, 1.0)
            self.batch_ends_s, self.next_rows = now_s + waited * ROW_S, 0.0
        self.next_rows += 1
        return Act("answer", self.batch_ends_s + self.next_rows * ROW_S - now_s)


def test_under_overload_the_version_goes_on_and_the_critical_are_answered_by_it() -> None:
    answers: dict[str, Counter[str]] = {name: Counter() for name in set(CLIENTS)}

    async def client(path: ServicePath, number: int, priority: str) -> None:
        turn = number / 1_000
        await CLOCK.wait(turn)
        while CLOCK.now_s() < END_S:
            turn += 1
            request = ask(math.floor(turn * 1_000), priority=priority)
            answer = await path.answer(request)
            if CLOCK.now_s() > CALM_S:
                answers[priority][answer.arm] += 1
            await CLOCK.wait(0.0 if answer.arm == "champion" else 0.1)

    async def main() -> float:
        stage = Stage()
        stage.scripts[CHAMPION] = Busy()
        fallback = FallbackPlan(constant={"score": 0.5}, cached_max_s=None)
        async with serving(stage, route(), of=plan(fallback=fallback)) as path:
            async with asyncio.TaskGroup() as group:
                for number, priority in enumerate(CLIENTS):
                    group.create_task(client(path, number, priority))
            return path.facts().limit

    limit = run(main())
    by_model = sum(found["champion"] for found in answers.values())
    assert by_model > 0.7 * (END_S - CALM_S) / ROW_S, (answers, limit)
    critical = answers["critical"]
    assert critical["champion"] > 0.95 * critical.total(), (answers, limit)


def test_nobody_is_refused_for_a_champion_that_is_late_while_the_version_before_has_room() -> None:
    answers: Counter[tuple[int, str]] = Counter()
    asked_s = [-math.inf]

    def late_but_when_probed(_ask: Ask, _number: int) -> Act:
        alone = CLOCK.now_s() - asked_s[-1] > 0.1
        asked_s.append(CLOCK.now_s())
        return Act("answer", 0.002) if alone else Act("hang")

    async def main() -> None:
        stage = Stage()
        stage.scripts[CHAMPION] = late_but_when_probed
        of = plan(fallback=FallbackPlan(cached_max_s=None), limits=ServiceLimits(attempt_s=0.3))

        async def one(path: ServicePath, number: int) -> None:
            answer = await path.answer(ask(number))
            answers[answer.status, answer.arm] += 1

        async with serving(stage, route(previous=OLD), of=of) as path, asyncio.TaskGroup() as group:
            for number in range(2_700):
                group.create_task(one(path, number))
                await CLOCK.wait(1 / 300)

    run(main())
    assert answers.total() == 2_700
    assert {status for status, _ in answers} == {200}, answers
    assert answers[200, "previous"] > 2_000, answers
