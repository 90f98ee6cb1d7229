"""The broker of a run: started here and kept at work, or one that is somewhere already.

It may die, and it may live and store nothing: nats-server answers no more of what is for a stream
to which it once could not write, until it is started again. Both are told once, and mended here; a
disk that is full is waited for. What was acknowledged before is whole either way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from firedoor.adapters.nats.server import LocalServer, PortTaken, start
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.restarts import RestartPolicy, Restarts, after_death
from firedoor.errors import FiredoorError, NotKnown, StoreRefused
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

LOOK_S = 0.1
FAULT_S = 1.0
"""Time between two looks at the store of a broker that lives."""
ROOM_S = 1.0
"""Time between two looks for room on a disk that is full."""
QUIET_S = 5.0
"""What comes again soon after it was mended is told of if it lasts for longer than this."""


class Server(Protocol):
    """A broker's process on this machine: ``adapters.nats.server.LocalServer``."""

    pid: int

    def alive(self) -> bool:
        """Return whether it runs."""
        ...

    def fault(self) -> str | None:
        """Return why it stores nothing although it runs; None if it does."""
        ...

    def no_room(self) -> str | None:
        """Return why it could not be started for want of room; None if there is some."""
        ...

    def restart(self) -> None:
        """Start it again on its store and port."""
        ...

    def stop(self) -> None:
        """End it for good."""
        ...


@dataclass(slots=True, kw_only=True)
class Broker:
    """What zones and supervisor meet at."""

    project: Project
    plan: Plan
    clock: Clock
    tell: Callable[[str], None]
    external: Endpoint | None = None
    """One that is there already; None: start one."""
    local: Server | None = None
    """The one that was started here."""
    fault: str = ""
    """Why it stores nothing although it lives, with what to do about it; empty: it does."""
    gone: str = ""
    """Why it has died and does not start; empty: it lives."""
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    in_thread: Callable[[Callable[[], None]], Awaitable[None]] = asyncio.to_thread
    """Does what takes its time while others go on."""

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
        self.local = local = await asyncio.to_thread(self._begin)
        own = local.endpoint()
        return Endpoint(url=own.url, user=own.user, password=own.password)

    def _begin(self) -> LocalServer:
        """Start it where clients of the one before look for it; if that is taken, anywhere."""
        port = _port_before(self.project)
        if port:
            with contextlib.suppress(PortTaken):
                return start(self.project.folder, self.plan, port=port)
        return start(self.project.folder, self.plan)

    async def keep(self) -> None:
        """Start it again whenever it has died or stores nothing; returns only if it is not ours."""
        local = self.local
        if local is None:
            return
        restarts, began_s = Restarts(), self.clock.now_s()
        while True:
            died, ill = await self._ill(local)
            lived_s = self.clock.now_s() - began_s
            restarts = after_death(restarts, self.policy, lived_s=lived_s)
            self.fault, self.gone = ("", ill) if died else (ill, "")
            pid = local.pid
            # One that fails again and again is told of when that begins, and when it is plain.
            loud = restarts.in_a_row in {1, self.policy.loop_deaths}
            if loud and not died:
                self.tell(_ill_said(ill))
            if restarts.in_a_row > 1:
                await self.clock.wait(restarts.wait_s)
            told = await self._revive(local, told=loud and not died, quiet_s=0 if loud else QUIET_S)
            self.fault = self.gone = ""
            if loud or told:
                how = f"(process {pid}) has died" if died else "can store again"
                row = f", {restarts.in_a_row} in a row" if restarts.in_a_row > 1 else ""
                often = f"{restarts.deaths} so far{row}"
                self.tell(f"the broker {how}; started again ({often}), nothing is lost")
            began_s = self.clock.now_s()

    async def _ill(self, local: Server) -> tuple[bool, str]:
        """Return, once there is one, what is the matter: whether it has died, and in words."""
        look_s = self.clock.now_s() + FAULT_S
        while True:
            await self.clock.wait(LOOK_S)
            if not local.alive():
                return True, f"its process {local.pid} has died"
            if self.clock.now_s() >= look_s:
                look_s = self.clock.now_s() + FAULT_S
                fault = local.fault()
                if fault:
                    return False, fault

    async def _revive(self, local: Server, *, told: bool, quiet_s: float) -> bool:
        """Start it again as soon as it can be; return whether it was told why it could not.

        Args:
            local: its process.
            told: whether that was told before.
            quiet_s: how long it is not.
        """
        tries, loud_s = Restarts(), self.clock.now_s() + quiet_s
        while True:
            wait_s, why = ROOM_S, local.no_room()
            if why is None:
                try:
                    await self.in_thread(local.restart)
                except (FiredoorError, OSError) as error:
                    why = str(error)
                    tries = after_death(tries, self.policy, lived_s=0.0)
                    wait_s = tries.wait_s
                else:
                    return told
            alive = local.alive()
            if not alive:
                self.fault, self.gone = "", why
            if not told and self.clock.now_s() >= loud_s:
                told = True
                gone = f"the broker has died and does not start: {why}; it is tried again"
                self.tell(_ill_said(why) if alive else gone)
            await self.clock.wait(wait_s)

    async def stop(self) -> None:
        """End it, if it was started here."""
        if self.local is not None:
            await self.in_thread(self.local.stop)


def _port_before(project: Project) -> int:
    """Return the port of the broker that was started here last; 0: there was none."""
    try:
        before = project.endpoint()
    except (NotKnown, StoreRefused):
        return 0
    return 0 if before.external else urlsplit(before.url).port or 0


def _ill_said(why: str) -> str:
    """Say why a broker that lives does not store, and what is done about it."""
    return (
        f"the broker cannot store: {why}; zones wait and nothing is lost; it is started again by "
        "itself as soon as there is room"
    )
