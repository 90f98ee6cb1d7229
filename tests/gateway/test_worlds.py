"""Worlds drawn from seeds: versions that do anything, routes that change, people who kill."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args

import pytest

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.path import ServicePath
from firedoor.guards.shedding import PRIORITIES
from firedoor.spec.service_plan import FallbackPlan, ServiceLimits, ServicePlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.variants import Act, Kind, ScriptedVariant
from firedoor.wire.flags import Flag, Flags
from firedoor.wire.route import Arm, Cutoffs, Route
from firedoor.wire.serving import FAILURES, Ask, Outcome, Told
from gateway.served import Stage, arm, ask, plan, quickest, serving, truthful

CLOCK = VirtualClock()
KINDS: tuple[Kind, ...] = get_args(Kind)
ARMS = [arm(version) for version in range(1, 7)]
COUNTED = FAILURES | {Outcome.OK}
SEEDS = 20
SOAK_SEEDS = 1_000


@dataclass
class World:
    """What is drawn, and what was seen."""

    seed: int
    stage: Stage = field(default_factory=Stage)
    told: list[tuple[Request, Answer, float, float]] = field(default_factory=list)
    attempts: Counter[tuple[Arm, Outcome]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.health = {known: self.chance.choice((0.0, 0.0, 0.05, 0.5, 1.0)) for known in ARMS}
        self.kinds = {known: self.chance.sample(KINDS, 3) for known in ARMS}
        for known in ARMS:
            self.stage.scripts[known] = self._script(known)
            loading_s = self.chance.choice((0.0, 0.0, 0.3, 3.0))
            fails = "it is broken" if self.chance.random() < 0.1 else ""
            self.stage.options[known] = {"loading_s": loading_s, "fails": fails}
        if self.chance.random() < 0.1:
            self.stage.refuses[self.chance.choice(ARMS)] = "no such file"

    def _script(self, known: Arm) -> Any:
        def act(_ask: Ask, _number: int) -> Act:
            seconds = self.chance.choice((0.0, 0.001, 0.01, 0.1, 0.4))
            if self.chance.random() < self.health[known]:
                return Act(self.chance.choice(self.kinds[known]), seconds)
            return Act("answer", min(seconds, 0.01))

        return act

    def plan(self) -> ServicePlan:
        chance = self.chance
        fallback = FallbackPlan(
            constant={"score": 0.125} if chance.random() < 0.5 else None,
            previous=chance.random() < 0.8,
            cached_max_s=chance.choice((None, 1.0, 300.0)),
            cached_bytes=4_096,
        )
        limits = ServiceLimits(
            timeout_s=chance.choice((0.2, 1.0)), attempt_s=chance.choice((0.1, 0.25)),
            concurrency=chance.choice((4, 64, 1_024)),
        )  # fmt: skip
        return plan(
            key=chance.choice(("", "tailnum")), slices=chance.choice(((), ("carrier",))),
            fallback=fallback, limits=limits,
        )  # fmt: skip

    def route(self, generation: int) -> Route:
        chance = self.chance
        champion, candidate, previous = chance.sample(ARMS, 3)
        mode = chance.choice(("steady", "shadow", "canary", "canary"))
        return Route(
            service="predict",
            generation=generation,
            champion=champion,
            candidate=candidate if mode != "steady" else None,
            previous=chance.choice((None, previous)),
            mode=mode,  # type: ignore[arg-type] # one of them
            rollout="" if mode == "steady" else f"predict-{generation}",
            weight=chance.choice((0.0, 0.01, 0.5, 1.0)),
            mirror=chance.choice((0.0, 0.5, 1.0)),
            salt=f"salt-{generation}",
            held_slices=chance.choice(((), ("carrier=UA",))),
            cutoffs=Cutoffs(q95_s=0.01, q99_s=0.1),
            lease_s=chance.choice((None, 2.0)),
        )

    def request(self) -> Request:
        chance = self.chance
        row: dict[str, object] = {
            "carrier": chance.choice(("UA", "AA", "DL")), "tailnum": f"N{chance.randrange(20)}",
        }  # fmt: skip
        return ask(
            chance.randrange(100),
            row=row,
            key=chance.choice(("", "", f"k{chance.randrange(9)}")),
            priority=chance.choice(PRIORITIES),
            timeout_s=chance.choice((None, 0.05, 0.3, 5.0)),
            tester=chance.choice(("",) * 8 + ("candidate", "champion")),
        )

    def flags(self) -> Flags:
        chance = self.chance
        names = [n for n in ("candidate", "model", "route", "mirror", "retry", "log")
                 if chance.random() < 0.1]  # fmt: skip
        shares = {n: chance.choice((0.5, 1.0)) for n in names}
        return Flags(flags={f"kill.predict.{n}": Flag(value=True, share=shares[n]) for n in names})


async def client(world: World, path: ServicePath, until_s: float, *, quick: bool) -> None:
    limit_s = path.limits.timeout_s
    while CLOCK.now_s() < until_s:
        request, began_s = world.request(), CLOCK.now_s()
        answer = await (quickest(path, request) if quick else path.answer(request))
        bound_s = min(request.timeout_s or limit_s, limit_s)
        world.told.append((request, answer, CLOCK.now_s() - began_s, bound_s))
        await CLOCK.wait(world.chance.choice((0.0, 0.005, 0.05)))


async def impatient(world: World, path: ServicePath, until_s: float) -> None:
    """Hang up before there is an answer."""
    while CLOCK.now_s() < until_s:
        task = asyncio.ensure_future(path.answer(world.request()))
        await CLOCK.wait(world.chance.choice((0.001, 0.05)))
        task.cancel()
        await asyncio.wait([task])


async def control(world: World, path: ServicePath, until_s: float) -> None:
    generation, alive = 1, True
    while CLOCK.now_s() < until_s:
        await CLOCK.wait(world.chance.choice((0.01, 0.2, 1.0)))
        what = world.chance.random()
        if what < 0.4:
            generation += 1
            path.set_route(world.route(generation))
        elif what < 0.5:
            path.set_route(world.route(max(1, generation - 1)))
        elif what < 0.6:
            path.set_flags(world.flags())
        elif what < 0.7:
            path.set_flags(Flags())
        elif what < 0.8:
            alive = not alive
        else:
            known = world.chance.choice(ARMS)
            world.health[known] = world.chance.choice((0.0, 0.3, 1.0))
        if alive:
            path.heartbeat(CLOCK.now_s())
        check(path)


def check(path: ServicePath) -> None:
    """What holds at each moment."""
    facts, evidence = path.facts(), path.evidence(0.0)
    assert len(facts.variants) <= 8
    assert evidence.pack <= 1_000
    assert all(len(name) < 100 for name in evidence.slices)
    for counts in evidence.arms.values():
        assert 0 <= counts.error + counts.non_finite <= counts.n
        assert counts.error + counts.non_finite <= counts.slow99 <= counts.slow95 <= counts.n
    assert (facts.weight == 0.0) or not evidence.lapsed


def judge(world: World) -> None:
    """What holds of every answer."""
    for request, answer, took_s, bound_s in world.told:
        assert took_s <= bound_s + 0.02, (took_s, bound_s, answer)
        assert answer.id
        if answer.status == 200:
            assert truthful(request, answer, ARMS), answer
            assert answer.prediction
            assert bool(answer.degraded) <= (answer.arm != "candidate")
            if answer.arm in ("cached", "constant", "function"):
                assert answer.degraded == answer.arm
            if answer.arm == "previous":
                assert answer.degraded == "previous_version"
        else:
            assert answer.status in (400, 429, 500, 503, 504)
            assert answer.message
            assert answer.status == 400 or answer.retry_after_s
            assert not answer.fragment


async def story(world: World) -> None:
    async with serving(world.stage, world.route(1), of=world.plan()) as path:
        until_s = CLOCK.now_s() + 12.0
        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(client(world, path, until_s, quick=number % 2 == 0))
            group.create_task(impatient(world, path, until_s))
            group.create_task(control(world, path, until_s))
        path.set_flags(Flags())
        for known in ARMS:  # and everything can be well again
            world.health[known] = 0.0
            world.stage.options[known] = {}
        world.stage.refuses.clear()
        path.set_route(Route(service="predict", generation=1_000, champion=ARMS[0]))
        await CLOCK.wait(150)
        request = ask(1)
        answer = await path.answer(request)
        assert (answer.status, answer.arm, answer.degraded) == (200, "champion", ""), answer
        assert truthful(request, answer, ARMS[:1])
        assert path.facts().ready
        assert not path.facts().because
    assert {variant.facts.state for _, _, variant in world.stage.opened} == {"closed"}


@pytest.mark.parametrize("first", range(0, SEEDS, 5))
def test_in_any_world_each_request_is_answered_in_time_and_truly(first: int) -> None:
    for seed in range(first, first + 5):
        world = World(seed)
        run(story(world), seed=seed)
        judge(world)
        assert len(world.told) > 100


@pytest.mark.soak
def test_in_many_worlds_each_request_is_answered_in_time_and_truly() -> None:
    for seed in range(SEEDS, SOAK_SEEDS):
        world = World(seed)
        run(story(world), seed=seed)
        judge(world)


# ---- the candidate's faults are its own


class Counting(ScriptedVariant):
    """A variant that counts what it told."""

    def __init__(self, arm: Arm, *args: Any, tally: Counter[Outcome], **more: Any) -> None:
        super().__init__(arm, *args, **more)
        self._tally = tally

    async def ask(self, ask: Ask) -> Told:
        told = await super().ask(ask)
        self._tally[told.outcome] += 1
        return told


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("answer", "refuse")])
@pytest.mark.parametrize("mode", ["shadow", "canary"])
def test_whatever_the_candidate_does_the_champions_callers_notice_nothing(
    kind: Kind, mode: Any
) -> None:
    async def main() -> None:
        champion, candidate = ARMS[:2]
        stage, counted = Stage(), {champion: Counter[Outcome](), candidate: Counter[Outcome]()}
        stage.scripts[champion] = lambda _, __: Act("answer", 0.002)
        stage.scripts[candidate] = lambda _, number: (
            Act(kind, 0.001) if number % 2 else Act("answer", 0.002)
        )
        opened = stage.open

        def open_counting(arm: Arm, *, nice: int) -> ScriptedVariant:
            variant = opened(arm, nice=nice)
            return Counting(arm, variant.script, tally=counted[arm])

        stage.open = open_counting  # type: ignore[method-assign]
        route = Route(
            service="predict", generation=1, champion=champion, candidate=candidate, mode=mode,
            rollout="predict-1", weight=0.3 if mode == "canary" else 0.0,
            mirror=1.0 if mode == "shadow" else 0.0, salt="salt",
        )  # fmt: skip
        async with serving(stage, route) as path:
            told: list[tuple[Request, Answer, float]] = []

            async def load(client: int) -> None:
                for number in range(100):
                    request, began_s = ask(1_000 * client + number), CLOCK.now_s()
                    answer = await path.answer(request)
                    told.append((request, answer, CLOCK.now_s() - began_s))

            async with asyncio.TaskGroup() as group:
                for client in range(8):
                    group.create_task(load(client))
            await CLOCK.wait(1)
            evidence = path.evidence(0.0)
            turned = sum(
                sample.value for sample in path.facts().samples
                if sample.name == "breaker_refused" and ("variant", candidate.name) in sample.labels
            )  # fmt: skip
        assert {answer.status for _, answer, _ in told} == {200}
        assert all(truthful(request, answer, ARMS[:2]) for request, answer, _ in told)
        stable = [took_s for _, answer, took_s in told
                  if answer.arm == "champion" and not answer.degraded]  # fmt: skip
        assert max(stable) == pytest.approx(0.002)
        # Every attempt of an arm is counted, and what its breaker refused, and nothing else is.
        seen = {name: counts for name, counts in evidence.arms.items() if counts.n}
        ours = seen["shadow" if mode == "shadow" else "candidate"]
        tally = counted[candidate]
        broke = evidence.arms["shadow" if mode == "shadow" else "candidate"].error
        attempts = sum(n for outcome, n in tally.items() if outcome in COUNTED)
        untold = broke - turned if kind == "break" else 0
        assert ours.n == attempts + untold + turned
        first = seen["baseline"].n + seen["sentinel"].n
        assert first == len(stable)
        assert seen["baseline"].error == seen["sentinel"].error == 0

    run(main())
