"""What a drill wants done to processes, done by whoever supervises them.

Processes die and are started again as they are without a drill: by keepers, with their waits, and
what held their streams, their ports and their leases notices that by itself. Each fault is a lease
that ends here by a clock of its own, and for good: one that was over is not begun anew, also where
the drill goes on wanting it (a broker that was down has forgotten all beats, and then hears of the
fault again).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from firedoor.compose.freezing import frozen
from firedoor.compose.injection import Injection
from firedoor.drill import lease as leases
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import ZoneKind
from firedoor.drill.lease import POLL_S, PREFIX
from firedoor.drill.permission import Environment
from firedoor.errors import FiredoorError, shorten
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams

TICK_S = 0.1
"""Between two looks at a process to which something is done."""
AGAIN_S = 1.0
"""Before a broker is looked for again that could not be reached."""
AWAY_S = 3.0
"""After so long without an answer the broker is looked for anew: it may be elsewhere."""
OVER_MAX = 100
"""Faults that are remembered to be over."""


class Victim(Protocol):
    """A process that lives, or did a moment ago: ``compose.children.Child``."""

    began_s: float

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        ...

    def crash(self) -> None:
        """Have it die at once, as by a hand from outside."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What can be done to the process of a zone, and may be."""

    kind: ZoneKind
    process: Callable[[], Victim | None]
    """Returns the one that it has now; None: none, for a moment."""
    drills: tuple[str, ...] = ()
    """Faults that the zone allows in production."""
    keep_down: Callable[[str], None] | None = None
    """Has no other process be started, for this reason; empty: no more."""
    here: Callable[[], bool] = lambda: True
    """Whether this supervisor is the one that has it."""
    missing: str = ""
    """Why nothing can be done to it at all, with what to do; empty: it can."""
    leaving: Callable[[], bool] = lambda: False
    """Whether it is about to end for good, and is to be left in peace."""


class SupervisedFaults:
    """Injects what drills want of the processes of one supervisor."""

    def __init__(
        self,
        targets: Mapping[str, Target],
        *,
        process: str,
        environment: Environment,
        clock: Clock,
        tell: Callable[[str], None],
    ) -> None:
        """Begin with nothing.

        Args:
            targets: by zone; ``broker`` and ``control`` are zones here.
            process: name of the supervisor, in characters that a key may have.
            environment: in which the pipeline runs.
            clock: the time.
            tell: told what is done, and when it is over.
        """
        self._targets, self._clock, self._tell = targets, clock, tell
        self._injections: dict[str, Injection] = {}
        for zone, target in targets.items():
            injection = Injection(
                zone, target.kind, clock, process=process, places=("supervisor",),
                drills=target.drills, supervisor=True,
            )  # fmt: skip
            injection.environment = environment
            self._injections[zone] = injection
        self._doing: dict[str, asyncio.Task[None]] = {}
        self._over: deque[str] = deque(maxlen=OVER_MAX)

    async def run(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Look what is wanted, for ever; whoever cancels this ends all that is done.

        Args:
            connect: returns streams, or raises ``FiredoorError``; called again if those do not
                answer for a while. Streams of its own, so that nothing else waits for a broker
                that a drill has stopped.
        """
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    streams = await connect()
                except (FiredoorError, OSError):
                    await self._clock.wait(AGAIN_S)
                    continue
                try:
                    await self._follow(streams, group)
                finally:
                    await streams.close()

    async def _follow(self, streams: Streams, group: asyncio.TaskGroup) -> None:
        """Look what is wanted until nobody has answered for a while."""
        heard_s = self._clock.now_s()
        while self._clock.now_s() - heard_s < AWAY_S:
            with contextlib.suppress(FiredoorError):
                said = await streams.beats(PREFIX)
                heard_s = self._clock.now_s()
                await self.hear(streams, said, group)
            await self._clock.wait(POLL_S)

    async def hear(
        self, streams: Streams, said: Mapping[str, bytes], group: asyncio.TaskGroup
    ) -> None:
        """Begin what is wanted and not begun, and say what is done.

        Args:
            streams: to say it.
            said: what drills say, by key.
            group: in which it is done.

        Raises:
            StreamsUnavailable: if it cannot be said.
        """
        for zone, injection in self._injections.items():
            target = self._targets[zone]
            if not target.here():
                continue
            injection.hear(said.get(f"{PREFIX}{zone}"))
            fault = leases.in_force(injection.lease, self._clock.now_s())
            if fault is not None and fault.id in self._over:
                injection.hear(None)  # else it would be said that it is done
            elif fault is not None and target.missing:
                injection.unable(target.missing)
            elif fault is not None and zone not in self._doing:
                self._doing[zone] = group.create_task(self._do(zone, fault))
            await injection.say(streams)

    async def _do(self, zone: str, fault: Fault) -> None:
        """Do a fault for as long as its lease lasts."""
        target, injection = self._targets[zone], self._injections[zone]
        self._tell(f"drill {fault.drill}: {fault.name} in {zone} ({fault.id}) begins")
        try:
            match fault.name:
                case "kill":
                    await self._kill(zone, fault, times=1)
                case "crash_loop":
                    await self._kill(zone, fault, lived_s=fault.intensity)
                case "freeze" | "broker_freeze":
                    await self._freeze(zone, fault)
                case _ if target.keep_down is not None:
                    target.keep_down(f"a drill wants it so ({fault.id})")
                    try:
                        await self._kill(zone, fault)
                    finally:
                        target.keep_down("")
                case _:
                    injection.unable(f"nobody here can keep {zone} down: choose another fault")
        except Exception as error:  # noqa: BLE001 - a drill must not end what supervises
            injection.unable(shorten(str(error) or repr(error)))
        finally:
            self._over.append(fault.id)
            self._doing.pop(zone, None)
            self._tell(f"drill {fault.drill}: {fault.name} in {zone} ({fault.id}) is over")

    async def _kill(
        self, zone: str, fault: Fault, *, times: int | None = None, lived_s: float = 0.0
    ) -> None:
        """End the zone's process whenever it has one that has lived so long."""
        target, injection, killed = self._targets[zone], self._injections[zone], 0
        last = 0
        while self._goes_on(zone, fault):
            victim = target.process()
            if victim is not None and victim.alive and victim.pid != last and killed != times:
                old = self._clock.now_s() - victim.began_s >= lived_s
                if old:
                    last, killed = victim.pid, killed + 1
                    victim.crash()
                    injection.hit()
            await self._clock.wait(TICK_S)

    async def _freeze(self, zone: str, fault: Fault) -> None:
        """Stop the zone's process until the lease is over."""
        target = self._targets[zone]
        while self._goes_on(zone, fault):
            victim = target.process()
            if victim is not None and victim.alive:
                with contextlib.suppress(ProcessLookupError):  # it has just died: of the next one
                    await self._hold(zone, fault, victim)
            await self._clock.wait(TICK_S)

    async def _hold(self, zone: str, fault: Fault, victim: Victim) -> None:
        """Stop one process for as long as the lease lasts, and the process.

        Raises:
            ProcessLookupError: if it has just ended.
            WorkersUnavailable: if it cannot be stopped.
        """
        injection = self._injections[zone]
        ends_s = leases.ends_s(injection.lease)
        async with frozen(victim.pid, ends_s - self._clock.now_s()) as stop:
            injection.hit()
            while self._goes_on(zone, fault) and stop.held and victim.alive:
                if leases.ends_s(injection.lease) != ends_s:
                    ends_s = leases.ends_s(injection.lease)
                    stop.renew(ends_s - self._clock.now_s())
                await self._clock.wait(TICK_S)

    def _goes_on(self, zone: str, fault: Fault) -> bool:
        """Return whether a fault is still wanted, and may be done."""
        if self._targets[zone].leaving() or not self._targets[zone].here():
            return False
        active = leases.in_force(self._injections[zone].lease, self._clock.now_s())
        return active is not None and active.id == fault.id
