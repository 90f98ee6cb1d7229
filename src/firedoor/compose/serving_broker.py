"""The broker that gateways and the control process meet at, while services are served.

A run's, where one is at work on the project; else one that is started here, which ends with the
services, and is handed over as soon as a run begins: both are on the same store, one after the
other. Serving never waits for it: where it cannot be had, that is told, and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from firedoor.compose.broker import Broker
from firedoor.compose.connecting import connect_to
from firedoor.compose.files import explain
from firedoor.compose.project import Endpoint, Project
from firedoor.errors import FiredoorError, NotKnown, ProjectBusy, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

LOOK_S = 0.5
AGAIN_S = 5.0
"""Between two tries to start one that could not be started."""


@dataclass(slots=True, kw_only=True)
class ServingBroker:
    """Whose broker it is, and its life if it is ours."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]
    external: Endpoint | None = None
    """One that is somewhere already."""
    _said: str = ""
    _met: int = 0
    """The run at whose broker everything is there that services need."""

    async def keep(self) -> None:
        """See to it that there is one, for ever; whoever cancels this ends one that is ours."""
        if self.external is not None:
            self.project.write_endpoint(self.external)
            self._tell_once(f"the broker is at {self.external.url}")
        while True:
            wait_s = LOOK_S
            pid = None if self.external else self._run()
            if pid is not None:
                self._tell_once(f"the broker is that of the run at work here (process {pid})")
                await self._meet(pid)
            elif self.external is None:
                try:
                    with self.project.hosting():
                        await self._host()
                except ProjectBusy:
                    pass  # a run was faster, or a command looks
                except FiredoorError as error:
                    wait_s = AGAIN_S
                    self._tell_without(str(error))
                except OSError as error:
                    wait_s = AGAIN_S
                    self._tell_without(explain(error))
            await self.clock.wait(wait_s)

    def _run(self) -> int | None:
        """Return the process whose broker it is, or is about to be; None: it is ours."""
        beginning = self.project.run_pid()
        return self.project.supervisor_pid() if beginning is None else beginning

    async def _host(self) -> None:
        """Start one, and keep it at work until a run begins or this is cancelled.

        Raises:
            FiredoorError, OSError: if it cannot be started.
        """
        self.project.write_plan(self.plan)
        broker = Broker(project=self.project, plan=self.plan, clock=self.clock, tell=self.tell)
        try:
            await self._declare(await broker.start())
            self._tell_once("a broker was started for rollouts and flags; it ends with this")
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(broker.keep())
                while self.project.run_pid() is None:
                    await self.clock.wait(LOOK_S)
                keeping.cancel()
        finally:
            await broker.stop()

    async def _meet(self, pid: int) -> None:
        """Declare what services need at the broker of a run of another pipeline, once a run.

        A run of the same pipeline has declared it. One that is just beginning is asked again.
        """
        if self._met == pid or self.project.supervisor_pid() != pid:
            return
        try:
            if self.project.read_plan().pipeline != self.plan.pipeline:
                await self._declare(self.project.endpoint())
        except (NotKnown, StreamsUnavailable):
            return  # it is just beginning
        except FiredoorError as error:
            self.tell(f"rollouts and flags wait for another run: {error}")
        self._met = pid

    async def _declare(self, endpoint: Endpoint) -> None:
        """Declare the pipeline at a broker.

        Raises:
            FiredoorError: if it does not answer, or refuses.
        """
        streams = await connect_to(endpoint, pipeline=self.plan.pipeline, clock=self.clock)
        try:
            await streams.declare(self.plan)
        finally:
            await streams.close()

    def _tell_without(self, why: str) -> None:
        """Say that there is none."""
        self._tell_once(
            f"there is no broker ({why}): services answer as they did last, rollouts and flags "
            "wait; it is tried again"
        )

    def _tell_once(self, line: str) -> None:
        """Say something unless it was the last that was said."""
        if line != self._said:
            self._said = line
            self.tell(line)
