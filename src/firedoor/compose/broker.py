"""The broker of a run: started here and kept alive, or one that is somewhere already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from firedoor.adapters.nats.server import LocalServer, start
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.restarts import RestartPolicy, Restarts, after_death
from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

LOOK_S = 0.1


@dataclass(slots=True, kw_only=True)
class Broker:
    """What zones and supervisor meet at."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]
    external: Endpoint | None = None
    """One that is there already; None: start one."""
    _local: LocalServer | None = None

    async def start(self) -> Endpoint:
        """Start it, and say in the project's files where it is; return how to reach it.

        Raises:
            StoreRefused, ProjectBusy, StreamsUnavailable: as ``adapters.nats.server.start``.
            OSError: if the files cannot be written.
        """
        if self.external is not None:
            self.project.write_endpoint(self.external)
            for zone in self.plan.zones:
                self.project.write_endpoint(self.external, zone=zone.name)
            return self.external
        self._local = await asyncio.to_thread(start, self.project.folder, self.plan)
        own = self._local.endpoint()
        return Endpoint(url=own.url, user=own.user, password=own.password)

    async def keep(self) -> None:
        """Start it again on the same port whenever it has died; never returns."""
        restarts, policy, began_s = Restarts(), RestartPolicy(), self.clock.now_s()
        while True:
            await self.clock.wait(LOOK_S)
            local = self._local
            if local is None or local.alive():
                continue
            restarts = after_death(restarts, policy, lived_s=self.clock.now_s() - began_s)
            self.tell(
                f"the broker (process {local.pid}) has died; started again "
                f"({restarts.deaths} so far), nothing is lost"
            )
            if restarts.in_a_row > 1:
                await self.clock.wait(restarts.wait_s)
            try:
                await asyncio.to_thread(local.restart)
            except FiredoorError as error:
                self.tell(f"the broker does not start: {error}")
            began_s = self.clock.now_s()

    async def stop(self) -> None:
        """End it, if it was started here."""
        if self._local is not None:
            await asyncio.to_thread(self._local.stop)
