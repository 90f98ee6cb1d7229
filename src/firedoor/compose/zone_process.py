"""One zone as a process of its own: ``firedoor zone run NAME``.

It needs a broker and nobody else: it connects again by itself, and works on while its supervisor is
away, unless it was started with ``--supervised``: then it ends with the supervisor. What is
imported here is imported by every zone at every start, so the rest is imported where it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.compose import log_lines, outfit, tether, zone_view
from firedoor.compose.groups import first_of
from firedoor.compose.journaling import Journaling
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.switching import Switches
from firedoor.errors import (
    DeclarationError,
    FiredoorError,
    StepUnloadable,
    StreamsUnavailable,
    WorkersUnavailable,
)
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.records import Order, ZoneStatus

if TYPE_CHECKING:
    from firedoor.adapters.otel.listening import Listening
    from firedoor.compose.injection import Injection
    from firedoor.data.runner import Runner
    from firedoor.data.shadowing import Shadowing
    from firedoor.data.source import SourceRunner
    from firedoor.ports.stage import Stage
    from firedoor.ports.streams import Streams

LEFT = 0
LATE = 1
REFUSED = 2
AGAIN = tether.GONE_CODE
"""Exit code of a process that makes room for another one."""
DRAIN_S = 30.0
WATCH_S = 1.0
BEAT_S = 1.0
CONNECT_MIN_S = 0.2
CONNECT_MAX_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneOptions:
    """What the command line says."""

    zone: str
    directory: Path
    pipeline: Path | None = None
    """Its file, where no supervisor has written a plan."""
    endpoint: Endpoint | None = None
    """The broker; None: the project's."""
    deployed: Path | None = None
    supervised: bool = False
    health: int | None = None
    health_host: str = ""
    """Where it is answered; empty: on loopback."""


@dataclass(slots=True)
class ZoneProcess:
    """The zone's process, from its start to its end."""

    options: ZoneOptions
    code: int = LEFT
    _leave: asyncio.Event = field(default_factory=asyncio.Event)
    _go: asyncio.Event = field(default_factory=asyncio.Event)
    _clock: SystemClock = field(default_factory=SystemClock)
    _runner: Runner | SourceRunner | None = None
    _keep_fresh: Callable[[], Coroutine[None, None, None]] | None = None
    _shadowing: Shadowing | None = None
    _faults: Injection | None = None
    _telemetry: Listening | None = None
    _journaling: Journaling = field(init=False)

    async def run(self) -> int:
        """Run until the zone has drained or a source has no more; return the exit code.

        Raises:
            FiredoorError: if it cannot begin.
        """
        loop = asyncio.get_running_loop()
        if self.options.supervised:
            tether.tie(loop, self._go)
        else:
            self._go.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        project = Project.at(self.options.directory)
        plan = await self._plan(project)
        zone = plan.zone(self.options.zone)
        self._faults = outfit.injection_of(zone, self._clock)
        self._journaling = Journaling(project.folder, zone.name, self._clock, zone=zone.name)
        self._faults.journal = self._journaling.journal
        async with AsyncExitStack() as stack:
            stack.callback(self._journaling.close)
            if self.options.health is not None:
                from firedoor.compose.health import offered  # noqa: PLC0415 - see above

                host, port = self.options.health_host, self.options.health

                def metrics() -> bytes:
                    return zone_view.exposed(self._runner, pipeline=plan.pipeline)

                await offered(stack, port, zone.name, self._status, host=host, metrics=metrics)
            self._telemetry = zone_view.tell(
                stack, plan, self._faults, lambda: self._runner, self._clock
            )
            build = self._prepare_source if zone.kind == "source" else self._prepare_stage
            make = await build(stack, zone, plan, project)
            await _either(self._go, self._leave)
            streams = await self._connect(stack, project, plan)
            if streams is not None and not self._leave.is_set():
                self._runner = make(outfit.linked(streams, zone, plan, self._clock, self._faults))
                self._runner.conduct.happenings.journal = self._journaling.journal
                switches = Switches(zone, project.folder, self._clock)
                self._runner.conduct.switch(await switches.look(streams))
                await self._work(streams, switches, self._faults)
        return self.code

    # ---- preparing

    async def _plan(self, project: Project) -> Plan:
        """Return the pipeline, in which this zone may have been replaced.

        Raises:
            FiredoorError: if there is none, or it has no zone of this name.
        """
        options = self.options
        if options.pipeline is None:
            plan = project.read_plan()
        else:
            from firedoor.compose.loading import load_plan  # noqa: PLC0415 - see above

            plan = await asyncio.to_thread(load_plan, options.pipeline)
            await self._prepare_alone(project, plan)
        if options.deployed is not None:
            from firedoor.compose.deploys import read_deployed, with_deployed  # noqa: PLC0415

            plan = with_deployed(plan, read_deployed(project, str(options.deployed)))
        if options.zone not in {zone.name for zone in plan.zones}:
            known = ", ".join(zone.name for zone in plan.zones)
            raise DeclarationError(
                "zone", options.zone, "is not in the pipeline", f"choose one of {known}"
            )
        return plan

    async def _prepare_alone(self, project: Project, plan: Plan) -> None:
        """Make the folder and read the lookups, where no supervisor does."""
        from firedoor.compose.lookups import Lookups  # noqa: PLC0415 - see above

        project.create()
        lookups = Lookups(project=project, plan=plan, clock=self._clock, tell=_say)
        if plan.lookups:
            await lookups.snapshot()
        # Who pins versions to batches looks for new ones, where no supervisor does.
        pins = any(zone.name == self.options.zone and zone.kind == "source" for zone in plan.zones)
        self._keep_fresh = lookups.keep_fresh if pins else None

    async def _prepare_stage(
        self, stack: AsyncExitStack, zone: ZonePlan, plan: Plan, project: Project
    ) -> Callable[[Streams], Runner]:
        """Start the stage of a transform or sink; return what makes its runner."""
        from firedoor.data.runner import Runner  # noqa: PLC0415 - see above

        faults = self._faults
        stage = outfit.stage_of(zone, plan, project, faults=faults)
        stack.callback(stage.close)
        await self._warm(stage)
        if zone.kind == "transform":
            stage, self._shadowing = outfit.shadowed(
                stage, zone, plan, project, self._clock, faults
            )
        workers = zone.wall.get("workers")
        return lambda streams: Runner(
            zone,
            plan,
            streams,
            stage,
            self._clock,
            replica=outfit.replica(),
            chance=random.Random(),  # noqa: S311 - waits that are not in step need no vault
            concurrency=1 + (workers if isinstance(workers, int) else 1),
            shed=outfit.shedder_of(zone, plan),
            memory_bytes=lambda: outfit.memory_bytes(outfit.processes_of(stage)),
            faults=faults,
            telemetry=self._telemetry,
        )

    async def _prepare_source(
        self, stack: AsyncExitStack, zone: ZonePlan, plan: Plan, project: Project
    ) -> Callable[[Streams], SourceRunner]:
        """Return what makes a source's runner, which starts its reader itself."""
        from firedoor.compose.reaching import current_lookups  # noqa: PLC0415 - see above
        from firedoor.data.reader import ReaderProcess  # noqa: PLC0415
        from firedoor.data.source import SourceRunner  # noqa: PLC0415
        from firedoor.spec.plan import encode_plan  # noqa: PLC0415

        command = (sys.executable, "-P", "-m", "firedoor.compose.reading")
        reader = ReaderProcess(command, plan=encode_plan(plan), zone=zone.name)
        stack.push_async_callback(reader.close)
        return lambda streams: SourceRunner(
            zone,
            plan,
            streams,
            reader,
            self._clock,
            replica=outfit.replica(),
            chance=random.Random(),  # noqa: S311 - see above
            lookups=lambda: current_lookups(project.folder),
            shed=outfit.shedder_of(zone, plan),
            memory_bytes=lambda: outfit.memory_bytes([] if reader.pid is None else [reader.pid]),
            faults=self._faults,
            telemetry=self._telemetry,
            firedoor=outfit.version(),
        )

    async def _warm(self, stage: Stage) -> None:
        """Start a worker before the first batch comes.

        Raises:
            StepUnloadable, WorkersUnavailable: only where the old code is still at work; else the
                first batch finds out, and the zone halts and says so.
        """
        warm = getattr(stage, "warm", None)
        if warm is None:
            return
        try:
            await warm()
        except (StepUnloadable, WorkersUnavailable):
            if self.options.deployed is not None:
                raise

    async def _connect(self, stack: AsyncExitStack, project: Project, plan: Plan) -> Streams | None:
        """Reach the broker, however long that takes; None if the zone is to leave before.

        Raises:
            StoreRefused: if the broker refuses this zone.
        """
        wait_s = CONNECT_MIN_S
        while not self._leave.is_set():
            # Read each time: a broker that was started anew may be elsewhere.
            endpoint = self.options.endpoint or project.endpoint(self.options.zone)
            outfit.permit(self._faults, plan, foreign_broker=endpoint.external)
            try:
                streams = await self._reach(endpoint, plan)
            except StreamsUnavailable as error:
                _say(f"{error}; trying again")
                await _either(self._leave, within_s=wait_s)
                wait_s = min(2 * wait_s, CONNECT_MAX_S)
            else:
                stack.push_async_callback(streams.close)
                return streams
        return None

    async def _reach(self, endpoint: Endpoint, plan: Plan) -> Streams:
        """Connect, and declare what nobody else does.

        Raises:
            StreamsUnavailable: if the broker is away.
            StoreRefused: if it refuses this zone.
        """
        from firedoor.adapters.nats.naming import account_user  # noqa: PLC0415 - see above
        from firedoor.compose.connecting import connect_to  # noqa: PLC0415

        streams = await connect_to(
            endpoint, pipeline=plan.pipeline, zone=self.options.zone, clock=self._clock
        )
        try:
            # A user of this zone alone may not declare: `firedoor broker declare` did.
            own = endpoint.user == account_user(plan.pipeline, self.options.zone)
            if self.options.pipeline is not None and not own:
                await streams.declare(plan)
        except BaseException:
            await streams.close()
            raise
        return streams

    # ---- at work

    async def _work(self, streams: Streams, switches: Switches, faults: Injection) -> None:
        """Run the runner; give it 30 s to drain once it is asked to."""
        assert self._runner is not None, "it was just made"
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self._run_through(streams))
            watching = group.create_task(self._watch_restarts(streams))
            switching = group.create_task(switches.follow(streams, self._runner.conduct))
            leaving = group.create_task(self._leave.wait())
            injecting = group.create_task(faults.follow(streams))
            aside = [watching, switching, leaving, injecting]
            aside.append(group.create_task(self._journaling.run(streams)))
            if self._keep_fresh is not None:
                aside.append(group.create_task(self._keep_fresh()))
            if self._shadowing is not None:
                aside.append(group.create_task(self._shadowing.run(streams)))
            await asyncio.wait([running, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                self._runner.drain()
                await asyncio.wait([running], timeout=DRAIN_S)
            if not running.done():
                _say(f"not drained within {DRAIN_S:g} s: what is in flight comes again")
                self.code = LATE
            for task in (running, *aside):
                task.cancel()
        await self._journaling.finish()

    async def _run_through(self, streams: Streams) -> None:
        """Run the runner; a source that has no more goes on saying so while it is supervised."""
        runner = self._runner
        assert runner is not None, "it was just made"
        await runner.run()
        while self.options.supervised and runner.status().state == "done":
            key = f"zone.{self.options.zone}.{outfit.replica()}"
            with contextlib.suppress(StreamsUnavailable):
                await streams.beat(key, msgspec.json.encode(_now(runner, self._clock)))
            await runner.freshness.say()
            if await _either(self._leave, within_s=BEAT_S):
                return

    async def _watch_restarts(self, streams: Streams) -> None:
        """Make room for another process when a person wants that."""
        began: int | None = None
        while True:
            with contextlib.suppress(StreamsUnavailable, msgspec.DecodeError):
                value = await streams.get(f"order.{self.options.zone}")
                order = msgspec.json.decode(value, type=Order) if value else Order()
                began = order.restarts if began is None else began
                if order.restarts > began:
                    self.code = AGAIN
                    self._drain()
                    return
            await self._clock.wait(WATCH_S)

    def _status(self) -> ZoneStatus | None:
        """Return what is known of the zone; None before its runner has begun."""
        return None if self._runner is None else self._runner.status()

    def _drain(self) -> None:
        """Have it leave."""
        self._leave.set()


def run_zone(options: ZoneOptions) -> int:
    """Run one zone until it has drained; return the exit code. Errors are printed."""
    # What steps print and log comes from their workers as log records.
    try:
        log_lines.set_up(os.environ, zone=options.zone)
        return asyncio.run(ZoneProcess(options).run())
    except BaseExceptionGroup as errors:
        known, rest = errors.split(FiredoorError)
        if known is None or rest is not None:
            raise
        _say(str(first_of(known)))
    except FiredoorError as error:
        _say(str(error))
    return REFUSED


def _now(runner: Runner | SourceRunner, clock: SystemClock) -> ZoneStatus:
    """Return the runner's last word, said again."""
    return msgspec.structs.replace(runner.status(), at_s=clock.utc_s())


async def _either(*events: asyncio.Event, within_s: float | None = None) -> bool:
    """Wait for any of some events; return whether one is set."""
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(event.wait()) for event in events]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
    return any(event.is_set() for event in events)


def _say(line: str) -> None:
    """Tell whoever reads the log."""
    sys.stderr.write(f"firedoor: {line}\n")
    sys.stderr.flush()
