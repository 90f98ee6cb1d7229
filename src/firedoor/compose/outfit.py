"""What the process of a zone is fitted out with."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket

from firedoor.compose.injection import Injection
from firedoor.compose.project import Project
from firedoor.data.beside import Beside
from firedoor.data.link_faults import LinkFaults
from firedoor.data.outlets import Shedder, keep_all
from firedoor.data.shadowing import ShadowedStage, Shadowing
from firedoor.drill.fault_kind import Place
from firedoor.drill.permission import ENV, environment_of
from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults
from firedoor.ports.stage import Handled, Journal, Stage
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardNote, GuardOrder
from firedoor.wire.shadow import Shadow

HOST_MAX = 40


def stage_of(
    zone: ZonePlan, plan: Plan, project: Project, *, faults: Faults | None = None
) -> Stage:
    """Return what the zone does with a batch."""
    stage: Stage
    if zone.kind == "sink":
        stage = LateSink(zone, plan, faults)
    else:
        from firedoor.compose.stage import build_stage  # noqa: PLC0415 - polars, for who needs it

        stage = build_stage(zone, plan, project=project.folder, faults=faults)
    if zone.demand is None or zone.demand.below == "zone":  # its publisher sends the others on
        return stage
    from firedoor.compose.requiring import RequiringStage  # noqa: PLC0415 - as above

    return RequiringStage(stage, zone, zone.demand)


def injection_of(zone: ZonePlan, clock: Clock) -> Injection:
    """Return what hears of the faults that a drill injects into a zone's process."""
    places: list[Place] = ["link"]
    if zone.kind == "source":
        places.append("source")
    if zone.step is not None:
        places.append("worker")
    return Injection(
        zone.name, zone.kind, clock, process=replica(), places=places, drills=zone.drills
    )


def permit(injection: Injection | None, plan: Plan, *, foreign_broker: bool) -> None:
    """Have an injection know in which environment it is."""
    if injection is not None:
        named = os.environ.get(ENV, "")
        injection.environment = environment_of(
            plan.environment, named, foreign_broker=foreign_broker
        )


def linked(
    streams: Streams, zone: ZonePlan, plan: Plan, clock: Clock, faults: Faults
) -> LinkFaults:
    """Return a zone's client of the broker, as its runner has it: behind a link that can fail."""
    detaching = {edge.name for edge in plan.outlets(zone.name) if edge.when_full == "detach"}
    return LinkFaults(streams, faults, clock, detaching=frozenset(detaching))


def shadowed(
    stage: Stage,
    zone: ZonePlan,
    plan: Plan,
    project: Project,
    clock: Clock,
    faults: Faults | None = None,
) -> tuple[Stage, Shadowing]:
    """Return a transform's stage, of whose batches copies go to new code, and what tries that."""

    def make(shadow: Shadow) -> Beside:
        from firedoor.compose.shadow_code import open_beside  # noqa: PLC0415 - for who tries one

        return open_beside(project, plan, shadow, zone.name)

    async def make_aside(shadow: Shadow) -> Beside:
        return await asyncio.to_thread(make, shadow)  # files are read: the live zone goes on

    shadowing = Shadowing(zone.name, zone.version, clock, make=make_aside)
    return ShadowedStage(stage, shadowing, faults=faults), shadowing


class LateSink:
    """A sink that is made when it is first needed, and again until it can be.

    Its folder may be missing or its disk full: then the zone halts or pauses, and says so, instead
    of dying at each start. See ``ports.stage.Stage``.
    """

    def __init__(self, zone: ZonePlan, plan: Plan, faults: Faults | None = None) -> None:
        """Make nothing yet."""
        self._zone = zone
        self._plan = plan
        self._faults = faults
        self._made: Stage | None = None
        self._orders: tuple[GuardOrder, ...] = ()

    async def warm(self) -> None:
        """Make it if it can be."""
        with contextlib.suppress(FiredoorError):  # the first batch tells
            stage = self._make()
            warm = getattr(stage, "warm", None)
            if warm is not None:
                await warm()

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Store a batch. See ``ports.stage.Stage.handle``."""
        return await self._make().handle(envelope, payload, journal)

    def workers_lost(self) -> int:
        """Return how many workers died so far."""
        return 0 if self._made is None else self._made.workers_lost()

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how its guards are."""
        return () if self._made is None else self._made.guards()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Have guards do as a person wants, also where the sink is made later."""
        self._orders = orders
        if self._made is not None:
            self._made.order(orders)

    def report(self) -> str:
        """Return what happened."""
        return "nothing was written yet" if self._made is None else self._made.report()

    def processes(self) -> dict[str, list[int]]:
        """Return process ids, where there are any."""
        return {} if self._made is None else {"stage": processes_of(self._made)}

    def close(self) -> None:
        """End its workers."""
        if self._made is not None:
            self._made.close()

    def _make(self) -> Stage:
        """Return the sink.

        Raises:
            StepAtFault, DependencyDown: if it cannot be made.
        """
        if self._made is None:
            from firedoor.compose.sinks import build_sink  # noqa: PLC0415 - polars

            self._made = build_sink(self._zone, self._plan, faults=self._faults)
            self._made.order(self._orders)
        return self._made


def processes_of(stage: Stage) -> list[int]:
    """Return the processes of a stage, if it has any."""
    processes = getattr(stage, "processes", None)
    return [] if processes is None else [pid for pids in processes().values() for pid in pids]


def memory_bytes(others: list[int]) -> int:
    """Return how many bytes this process and others hold."""
    import psutil  # noqa: PLC0415 - no zone waits for it at its start

    held = 0
    for pid in (os.getpid(), *others):
        with contextlib.suppress(psutil.Error):
            held += psutil.Process(pid).memory_info().rss
    return held


def replica() -> str:
    """Return which process this is, in characters that a key may have."""
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().lower()).strip("-")[:HOST_MAX]
    return f"{host or 'host'}-{os.getpid()}"


def version() -> str:
    """Return the version of firedoor."""
    from firedoor import __version__  # noqa: PLC0415 - the package's face is not needed otherwise

    return __version__


def shedder_of(zone: ZonePlan, plan: Plan) -> Shedder:
    """Return what makes a batch less where an inbox is full, or the zone samples."""
    samples = zone.ladder is not None and zone.ladder.sample is not None
    if not samples and not any(edge.when_full == "shed" for edge in plan.outlets(zone.name)):
        return keep_all
    from firedoor.data.shedding import shed  # noqa: PLC0415 - polars, for those who shed

    return shed
