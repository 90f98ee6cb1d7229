"""Gateways that count made-up requests, a registry in memory and the controller, in virtual time.

A gateway follows the route as a real one does: it polls it, counts up from nothing for each
rollout, and says so each second. What its requests come to is drawn from a seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.control import orders
from firedoor.control.rollout_kept import Kept, decode_rollouts
from firedoor.control.rollouts import RolloutController
from firedoor.errors import ModelRefused, NotKnown, StreamsUnavailable
from firedoor.ports.rollouts import FoundVersion, LiveVersion
from firedoor.rollout.drilled import Drilled
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.rollout.state import Target
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan
from firedoor.testing.loop import VirtualClock
from firedoor.wire.evidence import ArmName, Counts, Evidence, encode_evidence
from firedoor.wire.rollout_order import RolloutOrder, Verb
from firedoor.wire.route import Arm, Route, decode_route

POLICY = RolloutPolicy(
    steps=(0.1, 0.5, 1.0), look_s=10, step_s=30, step_timeout_s=1_200, bake_s=100, time_scale=10,
    shadow_requests=500,
)  # fmt: skip
"""A look a second."""
LATENCY = {180: 4_000, 200: 200}


def target(version: int) -> Target:
    """Return a version."""
    return Target(version=version, digest=f"{version:064x}", content=f"{version:032x}")


@dataclass(slots=True)
class Registry:
    """Versions of one model. See ``ports.rollouts.Versions``."""

    live: int = 1
    lived: list[int] = field(default_factory=list)
    barred: dict[int, str] = field(default_factory=dict)
    unqualified: dict[int, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    by: str = ""

    async def standing(self) -> LiveVersion:
        """Return who is live."""
        previous = target(self.lived[-1]) if self.lived else None
        return LiveVersion(live=target(self.live), previous=previous, by=self.by)

    async def find(self, version: int | None) -> FoundVersion:
        """Return a version; there are ten."""
        if version is None or version > 10:
            message = f"there is no version {version}"
            raise NotKnown(message)
        return FoundVersion(
            target=target(version),
            barred=self.barred.get(version, ""),
            unqualified=self.unqualified.get(version, ""),
        )

    async def promote(self, version: int, *, because: str, anyway: bool) -> None:
        """Have it be the champion."""
        del because, anyway
        self.calls.append(f"promote {version}")
        if self.live != version:
            self.lived.append(self.live)
            self.live = version

    async def quarantine(self, version: int, *, because: str) -> None:
        """Bar it."""
        self.calls.append(f"quarantine {version}")
        self.barred[version] = because

    async def roll_back(self, of: int, *, because: str) -> None:
        """Return to who was live before."""
        del because
        self.calls.append(f"roll back {of}")
        if self.live == of:
            if not self.lived:
                message = "there is none"
                raise ModelRefused(message, code="no_previous")
            self.live = self.lived.pop()


@dataclass(slots=True)
class Replays:
    """See ``ports.rollouts.Replayer``."""

    outcome: ReplayOutcome = field(default_factory=ReplayOutcome)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def replay(self, pack: str, candidate: Arm) -> ReplayOutcome:
        """Return what was told beforehand."""
        self.asked.append((pack, candidate.name))
        return self.outcome


@dataclass(slots=True)
class Drills:
    """See ``ports.rollouts.Drills``."""

    shown: dict[str, Drilled] = field(default_factory=dict)

    async def last(self, faults: Sequence[str]) -> tuple[Drilled, ...]:
        """Return what was told beforehand."""
        return tuple(self.shown[fault] for fault in faults if fault in self.shown)


@dataclass(slots=True)
class Gateway:
    """One gateway, and what happens to its requests."""

    name: str
    streams: MemoryStreams
    clock: VirtualClock
    chance: random.Random
    rps: int = 100
    rates: dict[int, float] = field(default_factory=dict)
    """Share of errors, by version; others 1 %."""
    blip: float = 0.0
    """Share of errors of everybody besides."""
    boot: str = "a"
    silent: bool = False
    trips: dict[str, str] = field(default_factory=dict)
    loads: bool = True
    pack: int = 0
    route: Route | None = None
    arms: dict[ArmName, Counts] = field(default_factory=dict)
    rollout: str = ""
    seen: list[float] = field(default_factory=list)
    """Weights that it followed, one after the other."""

    def restart(self) -> None:
        """Begin anew, and count from nothing."""
        self.boot += "'"
        self.arms = {}

    async def run(self) -> None:
        """Poll, count and speak for ever."""
        turn = 0
        while True:
            with contextlib.suppress(StreamsUnavailable):
                data = await self.streams.get("route.predict")
                if data:
                    self._take(decode_route(data))
                if turn % 5 == 0:
                    self._count()
                    if not self.silent:
                        await self._speak()
            await self.clock.wait(0.2)
            turn += 1

    def _take(self, route: Route) -> None:
        if self.route is not None and route.generation < self.route.generation:
            return
        if route.rollout != self.rollout:
            self.rollout, self.arms = route.rollout, {}
        if self.route is None or route.weight != self.route.weight:
            self.seen.append(route.weight)
        self.route = route

    def _count(self) -> None:
        """Count a second's requests."""
        route = self.route
        if route is None or not self.rollout:
            return
        weight, champion = route.weight, route.champion.version
        rest = 1 - weight
        self._arm("baseline", self.rps * rest * 2 / 3, champion)
        self._arm("sentinel", self.rps * rest / 3, champion)
        if route.candidate is not None:
            version = route.candidate.version
            self._arm("candidate", self.rps * weight, version)
            copies = self.rps * route.mirror if route.mode == "shadow" else 0.0
            self._arm("shadow", copies, version)

    def _arm(self, arm: ArmName, mean: float, version: int) -> None:
        n = int(mean + self.chance.random())
        bad = self.rates.get(version, 0.01) + self.blip
        error = sum(self.chance.random() < bad for _ in range(n))
        late = sum(self.chance.random() < 0.01 for _ in range(n - error))
        later = sum(self.chance.random() < 0.04 for _ in range(n - error - late))
        old = self.arms.get(arm, Counts())
        self.arms[arm] = Counts(
            n=old.n + n, error=old.error + error, slow95=old.slow95 + error + late + later,
            slow99=old.slow99 + error + late,
        )  # fmt: skip

    async def _speak(self) -> None:
        route = self.route
        if route is None:
            return
        held = [route.champion, *([route.candidate] if route.candidate else [])]
        ready = "ready: warmed in 3 s" if self.name == "g1" else "ready"
        states = {arm.name: ready if self.loads else "loading" for arm in held}
        said = Evidence(
            service="predict", gateway=self.name, boot=self.boot, at_s=self.clock.utc_s(),
            generation=route.generation, rollout=self.rollout, step=route.step,
            arms=dict(self.arms), latency=LATENCY, variants=states,
            trips=dict(self.trips) if self.rollout else {}, pack=self.pack,
        )  # fmt: skip
        await self.streams.beat(f"evidence.predict.{self.name}", encode_evidence(said))


@dataclass(slots=True)
class RolloutWorld:
    """All of it."""

    store: MemoryStore
    streams: MemoryStreams
    clock: VirtualClock
    registry: Registry
    replays: Replays
    drills: Drills
    gateways: list[Gateway]
    group: asyncio.TaskGroup
    plan: ServicePlan
    told: list[str] = field(default_factory=list)
    control_clock: VirtualClock | None = None
    """The controller's, if it is another one."""
    _driver: asyncio.Task[None] | None = None

    def start_control(self) -> None:
        """Start a controller; the one before is dead."""
        controller = RolloutController(
            self.plan, streams=MemoryStreams(self.store, self.clock), versions=self.registry,
            replayer=self.replays, drills=self.drills, clock=self.control_clock or self.clock,
            tell=self.told.append,
        )  # fmt: skip
        self._driver = self.group.create_task(controller.run(asyncio.Event()))

    async def kill_control(self) -> None:
        """End the controller wherever it is."""
        assert self._driver is not None
        self._driver.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._driver

    async def order(self, verb: Verb, version: int | None = None, **more: object) -> None:
        """Give an order, as the command line does."""
        values = {"by": "ann", "at_s": self.clock.utc_s(), **more}
        order = RolloutOrder(number=0, verb=verb, version=version, **values)  # type: ignore[arg-type]
        await orders.give(self.streams, "predict", order)

    async def kept(self) -> Kept:
        """Return what is kept of the rollouts."""
        data = await self.streams.get("rollout.predict")
        assert data is not None
        return decode_rollouts(data)

    async def until(self, what: Callable[[Kept], bool], within_s: float = 1_000) -> Kept:
        """Return once something is so."""
        began_s = self.clock.now_s()
        while True:
            with contextlib.suppress(StreamsUnavailable, AssertionError):
                kept = await self.kept()
                if what(kept):
                    return kept
            if self.clock.now_s() - began_s > within_s:
                said = [f"{one.what}: {one.because}" for one in kept.state.said[-5:]]
                message = f"not within {within_s} s: {kept.waits}; {said}"
                raise AssertionError(message)
            await self.clock.wait(0.1)

    async def until_over(self, within_s: float = 1_000) -> Kept:
        """Return once a rollout is over."""
        return await self.until(lambda kept: bool(kept.state.ended), within_s)

    def route(self) -> Route:
        """Return the route as it is."""
        return decode_route(self.store.values["route.predict"])


def make_plan(policy: RolloutPolicy = POLICY) -> ServicePlan:
    """Return a service."""
    step = StepNote(
        name="predict", pickled=b"", main_path=None, main_module=None, where="/code/steps.py:1"
    )
    return ServicePlan(
        name="predict", owner="ops@example.com", version="v1", step=step,
        model=ModelPlan(name="delays"), rollout=policy,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def world(
    *, seed: int = 1, gateways: int = 2, policy: RolloutPolicy = POLICY,
    rates: dict[int, float] | None = None,
) -> AsyncIterator[RolloutWorld]:  # fmt: skip
    """Run a service with version 1 live, until the block ends."""
    clock, store = VirtualClock(), MemoryStore()
    async with asyncio.TaskGroup() as group:
        made = [
            Gateway(
                f"g{number}",
                MemoryStreams(store, clock),
                clock,
                random.Random(f"{seed}/{number}"),
                rates=dict(rates or {}),
            )
            for number in range(gateways)
        ]
        one = RolloutWorld(
            store, MemoryStreams(store, clock), clock, Registry(), Replays(), Drills(), made, group,
            make_plan(policy),
        )  # fmt: skip
        one.start_control()
        tasks = [group.create_task(gateway.run()) for gateway in made]
        yield one
        for task in tasks:
            task.cancel()
        await one.kill_control()
