"""Keep one zone's process alive, and replace it by another when that is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from firedoor.compose import children, process_notes
from firedoor.compose.children import Child
from firedoor.compose.deploys import Deploy
from firedoor.compose.files import explain
from firedoor.compose.project import Project
from firedoor.compose.restarts import RestartPolicy, Restarts, after_death, forgiven, looping
from firedoor.control.status import Kept
from firedoor.data.bell import Bell
from firedoor.ports.clock import Clock
from firedoor.ports.telemetry import Journal, Unheard
from firedoor.spec.plan import ZonePlan
from firedoor.wire.records import Order, ZoneStatus

READY_S = 60.0
"""For a deployed version to say that it is at work."""
LOOK_S = 1.0
HEAR_S = 5.0
"""For the order by which a process may have ended: it reads orders itself, perhaps before us."""
AT_WORK = frozenset({"running", "throttled", "blocked", "paused", "done"})

Tell = Callable[[str], None]
Settle = Callable[[Deploy], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Keeper:
    """The supervisor's hold on one zone."""

    zone: ZonePlan
    project: Project
    clock: Clock
    tell: Tell
    settle: Settle
    """Told what became of a deployment."""
    died: Callable[[str], Awaitable[None]]
    """Told of each death before another process is started."""
    journal: Journal = field(default_factory=Unheard)
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    ready_s: float = READY_S
    version: str = ""
    """Of the code that runs: the plan's, or a deployed one."""
    deployed: Path | None = None
    order: Order = field(default_factory=Order)
    done: bool = False
    """A source has no more, by its own word."""
    opened: bool = False
    """Streams are declared: processes may begin."""
    leaving: bool = False
    restarts: Restarts = field(default_factory=Restarts)
    last: str = ""
    """How the latest process that died did so."""
    child: Child | None = None
    beats: dict[int, ZoneStatus] = field(default_factory=dict)
    """The last word of each of its processes, by process id."""
    _began: bool = False
    """Whether a process was ever started."""
    _wanted: Deploy | None = None
    _in_hand: Deploy | None = None
    """The latest that was begun: until it is settled it is heard again and again."""
    _bell: Bell = field(default_factory=Bell)
    _group: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    _heard: int = 0
    """How often it was told what is wanted."""
    _others: list[Child] = field(default_factory=list)
    """Processes besides ``child`` while one is replaced."""

    def __post_init__(self) -> None:
        """Begin with the plan's version, where no other is deployed."""
        self.version = self.version or self.zone.version

    @property
    def looping(self) -> bool:
        """Whether its processes die again and again, the one that it has now not proven yet."""
        child = self.child
        lived_s = self.clock.now_s() - child.began_s if child is not None and child.alive else 0.0
        return looping(self.restarts, self.policy) and lived_s < self.policy.proven_s

    @property
    def up(self) -> bool:
        """Whether a process of it is alive."""
        return self.child is not None and self.child.alive

    @property
    def status(self) -> ZoneStatus | None:
        """The last word of the process that it has now."""
        return None if self.child is None else self.beats.get(self.child.pid)

    def kept(self) -> Kept:
        """Return what is known of its processes, for whoever asks how the zone is."""
        return Kept(
            up=self.up,
            began_s=0.0 if self.child is None else self.child.at_s,
            deaths=self.restarts.deaths,
            looping=self.looping,
            last=self.last,
        )

    def open(self) -> None:
        """Let processes begin."""
        self.opened = True
        for child in self._every():
            child.go()

    def hear(self, beats: dict[int, ZoneStatus], order: Order, deploy: Deploy | None) -> None:
        """Take what the zone's processes say, and what a person wants."""
        self.beats = {**self.beats, **beats}
        known = {child.pid for child in self._every()}
        self.beats = {pid: beat for pid, beat in self.beats.items() if pid in known}
        if self.status is not None and self.zone.kind == "source":
            self.done = self.status.state == "done"
        if order.restarts > self.order.restarts and self.child is not None:
            self.child.drain()
        if order.generation > self.order.generation:
            self.done = False
            self.restarts = forgiven(self.restarts)
        self.order = order
        self._heard += 1
        wanted = deploy is not None and deploy.state == "wanted" and deploy != self._in_hand
        if deploy is not None and wanted and deploy.version != self.version:
            self._wanted = deploy
        self._bell.ring()

    def leave(self) -> None:
        """Have every process drain, and ``run`` return."""
        self.leaving = True
        for child in self._every():
            child.drain()
        self._bell.ring()

    def kill(self) -> None:
        """End every process at once."""
        self.leaving = True
        for child in self._every():
            child.kill()
        self._bell.ring()

    async def gone(self) -> None:
        """Return when no process of it is left, or after a few seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(children.KILL_S):
                for child in self._every():
                    await child.process.wait()

    async def run(self) -> None:
        """Keep the zone at work until it is to leave.

        Raises:
            OSError: if no process can be started.
        """
        async with asyncio.TaskGroup() as self._group:
            await self._keep()

    async def _keep(self) -> None:
        """Start processes as long as there should be one."""
        while not self.leaving:
            if self.done or self.order.want == "drain":
                await self._bell.wait(LOOK_S)
                continue
            if await self._begin():
                await self._watch()

    async def _begin(self) -> bool:
        """Start a process; return whether there is one. One that there was comes again later.

        Raises:
            OSError: if the first of all cannot be started.
        """
        try:
            self.child = await self._spawn(self.deployed, self.version)
        except OSError as error:
            if not self._began:
                raise
            # The machine is at a limit, or its disk is full: what runs is not ended for it.
            self.restarts = after_death(self.restarts, self.policy, lived_s=0.0)
            again = f"tried again ({self.restarts.deaths} so far)"
            self.last = f"could not be started: {explain(error)}"
            self.tell(f"zone {self.zone.name}: its process {self.last}; {again}")
            self._note_death(self.last, 0)
            await self._pause(self.restarts.wait_s)
            return False
        self._began = True
        return True

    async def _watch(self) -> None:
        """Wait until the zone's process has ended; meanwhile replace it if that is asked for."""
        while self.child is not None and self.child.alive:
            if self._wanted is not None and not self.leaving:
                self._in_hand, self._wanted = self._wanted, None
                await self._deploy(self._in_hand)
                continue
            await self._ended_or_bell(self.child)
        ended, self.child = self.child, None
        if ended is not None:
            await self._account(ended)

    async def _account(self, ended: Child) -> None:
        """Judge an end: asked for, or a death after which another process is started."""
        code = await ended.process.wait()
        if code == 0 and not ended.leaving:
            await self._hear_again()
        asked_for = code == 0 and (ended.leaving or self._drained(ended) or self.done)
        if self.leaving or asked_for or ended.leaving:
            return
        lived_s = self.clock.now_s() - ended.began_s
        self.restarts = after_death(self.restarts, self.policy, lived_s=lived_s)
        self.last = _how(code)
        again = f"started again ({self.restarts.deaths} so far)"
        if self.looping:
            again = f"a crash loop: see {self.project.log_file(self.zone.name)}"
        said = children.last_words(self.project.log_file(self.zone.name)) if code > 0 else ""
        shown = "".join(f"\n  | {line}" for line in said.splitlines())
        self.tell(f"zone {self.zone.name}: process {ended.pid} {_how(code)}; {again}{shown}")
        self._note_death(self.last, ended.pid, said)
        await self.died(self.zone.name)
        await self._pause(self.restarts.wait_s)

    def _note_death(self, how: str, pid: int, said: str = "") -> None:
        """Note that a process died, or could not be started."""
        zone, at_s = self.zone.name, self.clock.utc_s()
        self.journal.note(
            process_notes.died(
                f"zone {zone}", how, at_s=at_s, zone=zone, pid=pid, said=said,
                deaths=self.restarts.deaths, looping=self.looping,
            )
        )  # fmt: skip

    def _drained(self, ended: Child) -> bool:
        """Return whether a person had a process drain; by now it may be wanted again."""
        return self.order.want == "drain" or self.order.generation > ended.generation

    async def _hear_again(self) -> None:
        """Wait for what is wanted as it was read after now: the next may have been under way."""
        until_s, heard = self.clock.now_s() + HEAR_S, self._heard
        while not self.leaving and self._heard < heard + 2:
            left_s = until_s - self.clock.now_s()
            if left_s <= 0:
                return
            await self._bell.wait(left_s)

    async def _pause(self, wait_s: float) -> None:
        """Wait before the next start, unless the zone is to leave, or a person wants it now."""
        until_s, generation = self.clock.now_s() + wait_s, self.order.generation
        while not self.leaving and self.order.generation == generation:
            left_s = until_s - self.clock.now_s()
            if left_s <= 0:
                return
            await self._bell.wait(left_s)

    # ---- replacing

    async def _deploy(self, wanted: Deploy) -> None:
        """Replace the zone's process by one with new code, or leave all as it was.

        Both may pull for a while: what the old one has begun it finishes. Of a source there is
        only ever one, since its place in the files is not shared.
        """
        old = self.child
        assert old is not None, "it is being watched"
        if self.zone.kind == "source":
            await old.stop()
        try:
            new = await self._spawn(wanted.plan_file(self.project), wanted.version)
        except OSError as error:
            await self._refuse(wanted, explain(error))
            return
        self._others.append(new)
        fault = await self._await_work(new)
        self._others.remove(new)
        if fault:
            await new.stop()
            await self._refuse(wanted, fault)
            return
        self.child, self.version = new, wanted.version
        self.deployed = wanted.plan_file(self.project)
        self._others.append(old)
        await old.stop()
        self._others.remove(old)
        self.tell(f"zone {self.zone.name}: version {wanted.version} took over from {old.version}")
        await self.settle(replace(wanted, state="live"))

    async def _refuse(self, wanted: Deploy, fault: str) -> None:
        """Say that a version is not deployed."""
        self.tell(f"zone {self.zone.name}: version {wanted.version} is not deployed: {fault}")
        await self.settle(replace(wanted, state="failed", because=fault))

    async def _await_work(self, new: Child) -> str:
        """Return an empty string once a new process is at work, otherwise why it is not."""
        until_s = self.clock.now_s() + self.ready_s
        while new.alive and not self.leaving:
            beat = self.beats.get(new.pid)
            if beat is not None and beat.state in AT_WORK:
                return ""
            if beat is not None and beat.state == "halted":
                return beat.cause
            if self.clock.now_s() >= until_s:
                return f"it was not at work within {self.ready_s:g} s"
            await self._ended_or_bell(new)
        if self.leaving:
            return "the pipeline ended"
        said = children.last_words(self.project.log_file(self.zone.name), lines=6)
        return f"its process {_how(await new.process.wait())}\n{said}"

    async def _spawn(self, deployed: Path | None, version: str) -> Child:
        """Start a process."""
        child = await children.spawn(
            self.project,
            self.zone.name,
            version=version,
            began_s=self.clock.now_s(),
            at_s=self.clock.utc_s(),
            deployed=deployed,
        )
        child.generation = self.order.generation
        self._group.create_task(self._ring_at_end(child))
        if self.opened:
            child.go()
        if self.leaving:
            child.drain()
        return child

    async def _ended_or_bell(self, child: Child) -> None:
        """Wait until a process ends or the bell rings; look each second besides."""
        if child.alive:
            await self._bell.wait(LOOK_S)

    async def _ring_at_end(self, child: Child) -> None:
        """Ring when a process has ended."""
        await child.process.wait()
        self._bell.ring()

    def _every(self) -> list[Child]:
        """Return all its processes."""
        return [*([] if self.child is None else [self.child]), *self._others]


def _how(code: int) -> str:
    """Return how a process ended."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
