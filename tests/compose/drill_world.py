"""A pipeline in virtual time whose zones do as they are told, and feel faults as a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

import msgspec

from control.world import make_plan
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.drill_run import Drill, Setting
from firedoor.compose.injection import Injection
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import Place, ZoneKind
from firedoor.drill.matrix import Asked, Matrix
from firedoor.drill.report import Moment, Report
from firedoor.drill.spending import Remaining
from firedoor.errors import StreamsUnavailable
from firedoor.events.objective import Kept, Objectives, bucket_of
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.testing.loop import VirtualClock, run

CLOCK = VirtualClock()
PROMISES = {"availability": 0.99, "latency_p99_s": 0.5, "freshness_s": 5.0}
ROWS = 100
BATCHES = 5
TICK_S = 0.5
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """What a zone does in a second."""

    rows: int = ROWS
    lost: int = 0
    lost_from: str = ""
    stale_from: str = ""
    stale: bool = False
    degraded: int = 0
    state: str = "running"
    silent: bool = False


Feels = Callable[[str, Mapping[str, Fault]], Second]
"""What a zone does in a second, by its name and by what is injected now, by zone."""


def unhurt(zone: str, faults: Mapping[str, Fault]) -> Second:
    """Feel nothing."""
    del zone, faults
    return Second()


@dataclass(slots=True)
class Actor:
    """One zone: it counts, says what it counted, and injects what it is told."""

    name: str
    world: World
    injections: tuple[Injection, ...]
    availability: Kept = field(default_factory=Kept)
    freshness: Kept = field(default_factory=Kept)
    degraded: int = 0
    batches: int = 0
    faulted: Fault | None = None

    async def act(self) -> None:
        """Go on for ever, half a second at a time."""
        half = 0
        while True:
            for injection in self.injections:
                await injection.look(self.world.streams)
            found = [each.now(place) for each in self.injections for place in PLACES]
            self.faulted = next((fault for fault in found if fault is not None), None)
            if self.faulted is not None and self.world.hits:
                for injection in self.injections:
                    injection.hit()
            half += 1
            if half % 2:
                await self._count()
            await CLOCK.wait(TICK_S)

    async def _count(self) -> None:
        second = self.world.feels(self.name, self.world.faults())
        if second.silent:
            return
        self.availability = _more(self.availability, second.rows, second.lost, second.lost_from)
        stale = int(second.stale or bool(second.stale_from))
        self.freshness = _more(self.freshness, 1, stale, second.stale_from)
        self.degraded += second.degraded
        self.batches += BATCHES if second.rows else 0
        word = Objectives(
            zone=self.name, process="p1", boot="b1", at_s=CLOCK.utc_s(), state=second.state,
            availability=self.availability, freshness=self.freshness,
            latency=Kept(good=self.availability.good), degraded=self.degraded,
            latency_s={bucket_of(0.1): self.batches},
        )  # fmt: skip
        try:
            await self.world.streams.beat(f"objective.{self.name}.p1", msgspec.json.encode(word))
        except StreamsUnavailable:
            return


def _more(kept: Kept, units: int, bad: int, cause: str) -> Kept:
    """Return totals with so many units more."""
    inherited = dict(kept.inherited)
    if cause and bad:
        inherited[cause] = inherited.get(cause, 0) + bad
    own = kept.own + (0 if cause else bad)
    return Kept(good=kept.good + units - bad, own=own, inherited=inherited)


def _drilled() -> Plan:
    return make_drilled()


@dataclass(slots=True)
class World:
    """All zones, the broker, and what they feel."""

    feels: Feels = unhurt
    hits: bool = True
    """Whether an injected fault hits anything."""
    deaf: frozenset[str] = frozenset()
    """Zones that hear of no fault."""
    store: MemoryStore = field(default_factory=MemoryStore)
    plan: Plan = field(default_factory=_drilled)
    actors: list[Actor] = field(default_factory=list)
    told: list[Moment] = field(default_factory=list)
    remaining: tuple[Remaining, ...] = ()
    """What is left of error budgets."""

    @property
    def streams(self) -> MemoryStreams:
        """A client of its own for whoever asks."""
        return MemoryStreams(self.store, CLOCK)

    def faults(self) -> dict[str, Fault]:
        """Return what is injected now, by zone."""
        return {actor.name: actor.faulted for actor in self.actors if actor.faulted is not None}

    def people(self) -> list[Actor]:
        """Make the zones."""
        for zone in self.plan.zones:
            kind: ZoneKind = zone.kind
            made = []
            for supervisor in (False, True):
                one = Injection(
                    zone.name, kind, CLOCK, process=f"p{int(supervisor)}", places=PLACES,
                    supervisor=supervisor,
                )  # fmt: skip
                one.environment = "development"
                made.append(one)
            heard = () if zone.name in self.deaf else tuple(made)
            self.actors.append(Actor(zone.name, self, heard))
        return self.actors

    def drill(self, matrix: Matrix, *, name: str = "d1", **more: str | bool) -> Drill:
        """Return a drill of this world."""
        values = {"drill": name, "by": "ann@laptop", **more}
        return Drill(
            streams=self.streams, plan=self.plan, clock=CLOCK, matrix=matrix,
            setting=Setting(**values), note=self.told.append,  # type: ignore[arg-type]
            remaining=self.remaining,
        )  # fmt: skip

    def play(self, story: Callable[[World], Awaitable[None]]) -> None:
        """Run a story while zones act."""

        async def main() -> None:
            await self.streams.declare(self.plan)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(actor.act()) for actor in self.people()]
                await story(self)
                for task in tasks:
                    task.cancel()

        run(main())

    def report(self, matrix: Matrix, **more: str | bool) -> Report:
        """Drill, and return what was found."""
        found: list[Report] = []

        async def story(world: World) -> None:
            found.append(await world.drill(matrix, **more).run())  # type: ignore[arg-type]

        self.play(story)
        return found[0]


def make_drilled(environment: str = "development", drills: tuple[str, ...] = ()) -> Plan:
    """Return ``flights -> clean -> (store, audit)``, each of which promises something."""
    plan = make_plan()
    zones = tuple(msgspec.structs.replace(zone, slo=PROMISES, drills=drills) for zone in plan.zones)
    return msgspec.structs.replace(plan, zones=zones, environment=environment)


def matrix(*rows: Asked, **more: object) -> Matrix:
    """Return a short matrix: one kill of ``clean`` if no rows are given."""
    values = {"warm_up_s": 10.0, "for_s": 6.0, "settle_s": 3.0, "recover_s": 20.0, **more}
    return Matrix(rows=rows or (Asked(fault="kill", zone="clean"),), **values)  # type: ignore[arg-type]


def client(world: World) -> Streams:
    """Return a client that somebody else uses."""
    return world.streams


__all__ = ["CLOCK", "Actor", "Second", "World", "client", "make_drilled", "matrix", "replace"]
