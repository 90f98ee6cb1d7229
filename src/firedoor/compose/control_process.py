"""What drives rollouts, as a process of its own: ``firedoor control``.

Services are answered without it. Whatever it knows is in the broker, so that it may die at any
moment; of several only one drives, see ``compose.control_lease``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.adapters.clock import SystemClock
from firedoor.compose import log_lines, tether
from firedoor.compose.connecting import connect_to
from firedoor.compose.control_lease import SAY_S, ControlLease
from firedoor.compose.drilled_cells import DrilledCells
from firedoor.compose.flag_table import flag_chores
from firedoor.compose.journaling import Journaling
from firedoor.compose.judging import watch_objectives
from firedoor.compose.models import Models
from firedoor.compose.pack_replay import BrokerReplayer
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.recorded import tell_recorded
from firedoor.compose.rollout_versions import RegistryVersions
from firedoor.compose.serving_folder import ServingFolder, serving_plan
from firedoor.control.rollouts import RolloutController
from firedoor.errors import FiredoorError, StoreRefused, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.spec.service_plan import ServicePlan

LEFT, REFUSED = 0, 2
CONNECT_MIN_S, CONNECT_MAX_S = 0.2, 5.0
AWAY_S = 3.0
"""After so long without an answer the broker is looked for anew: it may be elsewhere."""
AGAIN_S = 5.0
"""Before a service is driven again that could not be, and the API is."""
BY = "a rollout"

_log = logging.getLogger(__name__)

Reach = Callable[[], Streams | None]
ServeApi = Callable[[Plan, Project, Reach, Clock], Coroutine[object, object, None]]
"""Answers the control API until it is cancelled; handed in, since it is a face."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOptions:
    """What the command line says."""

    directory: Path
    pipeline: Path | None = None
    """Its file, where no supervisor has written a plan."""
    endpoint: Endpoint | None = None
    """The broker; None: the project's."""
    supervised: bool = False


@dataclass(slots=True)
class ControlProcess:
    """The control process, from its start to its end."""

    options: ControlOptions
    serve_api: ServeApi
    _leave: asyncio.Event = field(default_factory=asyncio.Event)
    _clock: SystemClock = field(default_factory=SystemClock)
    _streams: Streams | None = None
    _journaling: Journaling = field(init=False)
    _away: str = ""

    async def run(self) -> int:
        """Drive rollouts until it is asked to end; return the exit code.

        Raises:
            FiredoorError: if it cannot begin.
        """
        loop = asyncio.get_running_loop()
        if self.options.supervised:
            tether.tie()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave.set)
        project = Project.at(self.options.directory)
        folder = ServingFolder(project, _log.warning)
        plan = await asyncio.to_thread(serving_plan, folder, project, self.options.pipeline)
        self._journaling = Journaling(project.folder, "control", self._clock)
        async with asyncio.TaskGroup() as group:
            aside = [
                group.create_task(self._journaling.run()),
                group.create_task(self._answer_api(plan, project)),
                group.create_task(self._control(plan, project)),
            ]
            await self._leave.wait()
            for task in aside:
                task.cancel()
        self._journaling.close()
        return LEFT

    async def _answer_api(self, plan: Plan, project: Project) -> None:
        """Answer the API, for ever; under a supervisor what keeps it from that stops no rollout.

        Raises:
            FiredoorError: if it cannot begin, where somebody started this by hand and reads why.
        """
        told = ""
        while True:
            try:
                await self.serve_api(plan, project, lambda: self._streams, self._clock)
            except FiredoorError as error:
                if not self.options.supervised:
                    raise
                if str(error) != told:
                    told = str(error)
                    _log.warning("the control API does not answer, and is tried again: %s", told)
            await self._clock.wait(AGAIN_S)

    async def _control(self, plan: Plan, project: Project) -> None:
        """Connect, and drive while this one may, for ever."""
        wait_s = CONNECT_MIN_S
        while True:
            try:
                endpoint = self.options.endpoint
                if endpoint is None:
                    endpoint = await asyncio.to_thread(project.endpoint)
                streams = await connect_to(endpoint, pipeline=plan.pipeline, clock=self._clock)
            except FiredoorError as error:
                self._miss(str(error))
                await self._clock.wait(wait_s)
                wait_s = min(2 * wait_s, CONNECT_MAX_S)
                continue
            wait_s, self._away = CONNECT_MIN_S, ""
            self._streams = streams
            self._journaling.reach(streams)
            try:
                await self._lead(streams, plan, project)
            finally:
                self._streams = None
                self._journaling.reach(None)
                await streams.close()

    async def _lead(self, streams: Streams, plan: Plan, project: Project) -> None:
        """Drive whenever this process holds the lease; return once the broker is away for long."""
        if self.options.pipeline is not None:  # where no supervisor does
            with contextlib.suppress(StreamsUnavailable):
                await self._declare(streams, plan)
        lease, heard_s = ControlLease(clock=self._clock), self._clock.now_s()
        driving: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as group:
            while self._clock.now_s() - heard_s < AWAY_S:
                try:
                    held = await lease.claim(streams)
                except StreamsUnavailable as error:
                    self._miss(str(error))
                else:
                    heard_s, self._away = self._clock.now_s(), ""
                    if held and driving is None:
                        self._note("drives rollouts", "leads")
                        driving = group.create_task(self._drive_all(streams, plan, project))
                    elif not held and driving is not None:
                        self._note("another control process drives rollouts", "follows")
                        driving.cancel()
                        driving = None
                await self._clock.wait(SAY_S)
            if driving is not None:
                driving.cancel()

    async def _declare(self, streams: Streams, plan: Plan) -> None:
        """Make the streams that are missing.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        try:
            await streams.declare(plan)
        except StoreRefused as error:
            _log.warning("streams are not declared anew: %s", error)

    async def _drive_all(self, streams: Streams, plan: Plan, project: Project) -> None:
        """Drive every service, and see to what goes on beside, for ever."""
        chores = flag_chores(streams, project.folder, clock=self._clock, tell=_log.info)
        recorded = tell_recorded(streams, project, plan, clock=self._clock)
        async with asyncio.TaskGroup() as group:
            for chore in (*chores, recorded):
                group.create_task(chore)
            group.create_task(
                watch_objectives(
                    streams,
                    plan,
                    project,
                    of="services",
                    clock=self._clock,
                    tell=_log.warning,
                    journal=self._journaling.journal,
                )
            )
            for service in plan.services:
                group.create_task(self._drive(streams, plan, service, project))

    async def _drive(
        self, streams: Streams, plan: Plan, service: ServicePlan, project: Project
    ) -> None:
        """Drive one service, for ever; what is wrong with it keeps no other one from being driven.

        A new controller reads anew what is kept.
        """
        models = Models(project.folder.parent, by=BY, clock=self._clock)
        while True:
            controller = RolloutController(
                service,
                streams=streams,
                versions=RegistryVersions(models, service.model.name),
                replayer=BrokerReplayer(streams, service.name, clock=self._clock),
                drills=DrilledCells(project.folder, plan.pipeline, service.name),
                clock=self._clock,
                tell=_log.info,
            )  # fmt: skip
            try:
                await controller.run(asyncio.Event())
            except Exception:  # noqa: BLE001 - see below
                # A fault in one service's rollout must not stop those of others.
                _log.exception("rollouts of %s stand still, and are tried again", service.name)
            await self._clock.wait(AGAIN_S)

    def _note(self, text: str, code: str) -> None:
        """Note who drives rollouts."""
        _log.info("%s", text)
        at_s, about = self._clock.utc_s(), f"control process {os.getpid()}"
        self._journaling.journal.note(
            Happened(at_s=at_s, kind="control", text=f"{about}: {text}", code=code, about=about)
        )

    def _miss(self, why: str) -> None:
        """Note that the broker is away; tell it once."""
        if not self._away:
            _log.warning("%s; it is tried again", why)
        self._away = why


def run_control(options: ControlOptions, serve_api: ServeApi) -> int:
    """Run until it is asked to end; return the exit code. Errors are printed."""
    try:
        log_lines.set_up(os.environ, process="control")
        return asyncio.run(ControlProcess(options, serve_api).run())
    except BaseExceptionGroup as errors:
        known, rest = errors.split(FiredoorError)
        if known is None or rest is not None:
            raise
        error: BaseException = known
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        sys.stderr.write(f"firedoor: {error}\n")
    return REFUSED
