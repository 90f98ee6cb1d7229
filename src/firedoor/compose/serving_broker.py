"""The broker that gateways and the control process meet at, while services are served.

A run's, where one is at work on the project; else one that is started here, which ends with the
services. Serving never waits for it: where it cannot be had, that is told, and tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from firedoor.compose.broker import Broker
from firedoor.compose.connecting import connect_to
from firedoor.compose.files import explain
from firedoor.compose.project import Endpoint, Project
from firedoor.errors import FiredoorError, ProjectBusy
from firedoor.ports.clock import Clock
from firedoor.ports.telemetry import Journal, Unheard
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
    journal: Journal = field(default_factory=Unheard)
    _said: str = ""

    async def keep(self) -> None:
        """See to it that there is one, for ever; whoever cancels this ends one that is ours."""
        if self.external is not None:
            self.project.write_endpoint(self.external)
            self._tell_once(f"the broker is at {self.external.url}")
        while True:
            wait_s = LOOK_S
            pid = None if self.external else self.project.supervisor_pid()
            if pid is not None:
                self._tell_once(f"the broker is that of the run at work here (process {pid})")
            elif self.external is None:
                try:
                    with self.project.locked():
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

    async def _host(self) -> None:
        """Start one, and keep it at work for as long as this is not cancelled.

        Raises:
            FiredoorError, OSError: if it cannot be started.
        """
        self.project.write_plan(self.plan)
        broker = Broker(
            project=self.project, plan=self.plan, clock=self.clock, tell=self.tell,
            journal=self.journal,
        )  # fmt: skip
        try:
            endpoint = await broker.start()
            streams = await connect_to(endpoint, pipeline=self.plan.pipeline, clock=self.clock)
            try:
                await streams.declare(self.plan)
            finally:
                await streams.close()
            self._tell_once("a broker was started for rollouts and flags; it ends with this")
            await broker.keep()
        finally:
            await broker.stop()

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
