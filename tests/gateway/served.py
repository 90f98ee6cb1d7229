"""A service with scripted versions, in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.path import ServicePath
from firedoor.ports.clock import Clock
from firedoor.rollout.policy import RolloutPolicy
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import FallbackPlan, Loss, ServiceLimits, ServicePlan
from firedoor.testing.loop import VirtualClock
from firedoor.testing.variants import WELL, Act, Script, ScriptedVariant, score_of
from firedoor.wire.prediction import PredictionRecord
from firedoor.wire.route import Arm, Route
from firedoor.wire.serving import Ask, Form

STEP = StepNote(name="predict", pickled=b"", main_path=None, main_module=None, where="serve.py:1")


def arm(version: int) -> Arm:
    return Arm(model="delays", version=version, digest=f"digest-{version}")


OLD, CHAMPION, CANDIDATE, NEXT = arm(1), arm(2), arm(3), arm(4)


def plan(
    *,
    key: str = "",
    slices: tuple[str, ...] = (),
    fallback: FallbackPlan | None = None,
    limits: ServiceLimits | None = None,
    loss: Loss = "",
    rollout: RolloutPolicy | None = None,
) -> ServicePlan:
    return ServicePlan(
        name="predict",
        owner="flight-ops@example.com",
        version="v1",
        step=STEP,
        model=ModelPlan(name="delays"),
        key=key,
        slices=slices,
        fallback=fallback or FallbackPlan(),
        limits=limits or ServiceLimits(),
        rollout=rollout or RolloutPolicy(),
        loss=loss,
    )


def route(generation: int = 1, **more: Any) -> Route:
    known: dict[str, Any] = {"champion": CHAMPION, "salt": "salt"}
    return Route(service="predict", generation=generation, **(known | more))


def canary(generation: int = 1, weight: float = 0.5, **more: Any) -> Route:
    known: dict[str, Any] = {
        "candidate": CANDIDATE, "mode": "canary", "rollout": "predict-1", "weight": weight,
        "mirror": 0.0,
    }  # fmt: skip
    return route(generation, **(known | more))


def shadow(generation: int = 1, **more: Any) -> Route:
    return canary(generation, 0.0, **({"mode": "shadow", "mirror": 1.0} | more))


class Log:
    """A prediction log that remembers."""

    def __init__(self) -> None:
        self.records: list[PredictionRecord] = []
        self.dropped = 0

    @property
    def written(self) -> int:
        return len(self.records)

    def put(self, record: PredictionRecord) -> None:
        self.records.append(record)


class Stage:
    """Scripts by version, and every variant that was opened."""

    def __init__(self) -> None:
        self.scripts: dict[Arm, Script] = {}
        self.options: dict[Arm, dict[str, Any]] = {}
        self.refuses: dict[Arm, str] = {}
        self.opened: list[tuple[Arm, int, ScriptedVariant]] = []
        self.log = Log()
        self.function: ScriptedVariant | None = None

    def open(self, arm: Arm, *, nice: int) -> ScriptedVariant:
        if arm in self.refuses:
            raise OSError(self.refuses[arm])
        variant = ScriptedVariant(
            arm, lambda ask, number: self._act(arm, ask, number), **self.options.get(arm, {})
        )
        self.opened.append((arm, nice, variant))
        return variant

    def _act(self, arm: Arm, ask: Ask, number: int) -> Act:
        script = self.scripts.get(arm)
        return WELL if script is None else script(ask, number)

    def of(self, arm: Arm) -> ScriptedVariant:
        """Return the latest variant of a version."""
        return [variant for known, _, variant in self.opened if known == arm][-1]


@asynccontextmanager
async def serving(
    stage: Stage, first: Route | None = None, *, of: ServicePlan | None = None,
    clock: Clock | None = None, **more: Any,
) -> AsyncIterator[ServicePath]:  # fmt: skip
    """Serve with a route, once what it names is ready."""
    clock = clock or VirtualClock()
    path = ServicePath(
        of or plan(), gateway="host-1", open_variant=stage.open, clock=clock, seed=7,
        log=stage.log, function=stage.function, **more,
    )  # fmt: skip
    async with path:
        if first is not None:
            path.set_route(first)
            await clock.wait(0.01)
        yield path


async def quickest(path: ServicePath, request: Request) -> Answer:
    """Answer as a face does: without a task where that can be done."""
    answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    if path.begin(request, answered.set_result):
        return await answered
    return await path.answer(request)


def body(number: int, **more: object) -> bytes:
    return json.dumps([{"x": number, **more}]).encode()


def ask(number: int, *, row: dict[str, object] | None = None, **more: Any) -> Request:
    return Request(Form.ROWS, body(number, **(row or {})), **more)


def score(answer: Answer) -> float:
    (row,) = json.loads(answer.fragment)
    value = row["score"]
    assert isinstance(value, float)
    return value


def truthful(request: Request, answer: Answer, arms: Sequence[Arm]) -> bool:
    """Return whether an answer is what the version that it names says to this very request."""
    if answer.arm in ("constant", "function"):
        return answer.version == ""
    (named,) = [known for known in arms if str(known.version) == answer.version]
    return answer.model == named.model and score(answer) == score_of(named, request.body)
