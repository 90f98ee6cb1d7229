"""Run a pipeline on this machine: broker, lookups, one process a zone; watch them to the end.

The supervisor runs no user code. Everything that it starts ends with it, also when it is killed:
each process reads a pipe whose other end only the supervisor holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import dataclass, field

import msgspec

from firedoor.adapters.nats.streams import NatsStreams
from firedoor.compose import children, ending
from firedoor.compose.broker import Broker
from firedoor.compose.chores import beside
from firedoor.compose.companion import LOG, Companion, runs_jobs
from firedoor.compose.connecting import connect_to
from firedoor.compose.deploys import Deploy, read_deploy, read_live, settled, write_live
from firedoor.compose.ending import Stuck, ZoneFacts
from firedoor.compose.flag_table import flag_chores
from firedoor.compose.groups import first_of
from firedoor.compose.journaling import Journaling
from firedoor.compose.judging import watch_objectives
from firedoor.compose.keeper import Keeper
from firedoor.compose.lookups import Lookups
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.recorded import tell_recorded
from firedoor.compose.run_outcome import Outcome, Screen, Why
from firedoor.compose.shadows import Switching
from firedoor.compose.supervised_zones import inject_in_up
from firedoor.compose.triggering import triggered
from firedoor.compose.watching import Watch
from firedoor.control.accounts import Accounts, gather
from firedoor.control.status import Snapshot
from firedoor.data.bell import Bell
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.records import Order, ZoneStatus

POLL_S = 0.5
POLL_LAST_S = 0.1
"""Once sources have no more, so that the end is not waited for."""
REST_S = 3.0
"""How long nothing may move before a run that waits for a person ends: one probe is seen."""
LOGS_S = 5.0
BOOKS_S = 120.0


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """One run of a pipeline in a project folder, whose lock is held."""

    project: Project
    plan: Plan
    clock: Clock
    screen: Screen
    bounded: bool = True
    """Whether it ends when sources have no more."""
    external: Endpoint | None = None
    _keepers: dict[str, Keeper] = field(default_factory=dict)
    _bell: Bell = field(default_factory=Bell)
    _why: Why | None = None
    _stuck: tuple[Stuck, ...] = ()
    _hurry: bool = False
    _streams: NatsStreams | None = None
    _watch: Watch = field(init=False)
    _switching: Switching = field(init=False)
    _broker: Broker = field(init=False)
    _journaling: Journaling = field(init=False)
    _read: dict[int, int] = field(default_factory=dict)
    """Rows that sources read, by process."""
    _starting: asyncio.Task[NatsStreams] | None = None
    _idle: bool = False
    _moved: tuple[object, ...] = ()
    _moved_s: float = 0.0

    def end(self) -> None:
        """Drain into a state that the next run resumes; asked again: end at once."""
        self._hurry = self._why == "asked"
        self._why = self._why or "asked"
        if self._hurry:
            self._kill_all()
        if self._starting is not None:
            self._starting.cancel()
        self._bell.ring()

    async def run(self) -> Outcome:
        """Run until the pipeline is through, is stuck, or is asked to end.

        Raises:
            Refused: if the broker's store or a lookup cannot be used.
            StreamsUnavailable: if the broker cannot be started or reached.
            OSError: if files cannot be written or processes not started.
        """
        began_s = self.clock.now_s()
        project, plan, clock, tell = self.project, self.plan, self.clock, self.screen.tell
        self._journaling = Journaling(project.folder, "run" if self.bounded else "up", clock)
        journal = self._journaling.journal
        self._broker = Broker(
            project=project, plan=plan, clock=clock, tell=tell, external=self.external,
            journal=journal,
        )  # fmt: skip
        self._watch = Watch(project=project, plan=plan, clock=clock, tell=tell)
        self._switching = Switching(project=project, plan=plan, clock=clock, tell=tell)
        lookups = Lookups(project=project, plan=plan, clock=clock, tell=tell, journal=journal)
        try:
            async with asyncio.TaskGroup() as group:
                accounts = await self._work(group, lookups)
        except BaseExceptionGroup as errors:
            raise first_of(errors) from errors
        finally:
            await self._end_all()
            await self._broker.stop()
            self._journaling.close()
        return Outcome(
            why=self._why or "asked",
            seconds=self.clock.now_s() - began_s,
            stuck=self._stuck,
            accounts=accounts,
            snapshot=self._watch.snapshot,
            rows_read=sum(self._read.values()),
            deaths={name: keeper.restarts.deaths for name, keeper in self._keepers.items()},
        )

    async def _work(self, group: asyncio.TaskGroup, lookups: Lookups) -> Accounts | None:
        """Start everything, watch it, drain it, and return the books."""
        self.project.write_plan(self.plan)
        keepers = [group.create_task(keeper.run()) for keeper in self._make_keepers()]
        # Zones import while streams are declared and lookups are read.
        self._starting = group.create_task(self._start(lookups))
        await asyncio.wait([self._starting])
        if self._starting.cancelled():
            self._kill_all()
            return None
        streams, self._starting = self._starting.result(), None
        for keeper in self._keepers.values():
            keeper.open()
        aside = [group.create_task(work) for work in self._aside(streams, lookups)]
        while self._why is None:
            await self._look(streams)
            await self._judge(streams)
            if self._why is None:
                await self._bell.wait(self._poll_s())
        await self._drain(keepers)
        accounts = await self._books(streams)
        for task in aside:
            task.cancel()
        await self._journaling.finish()
        await streams.close()
        return accounts

    def _aside(
        self, streams: NatsStreams, lookups: Lookups
    ) -> tuple[Coroutine[object, object, None], ...]:
        """Return what goes on beside the zones for as long as they are at work."""
        project, plan, clock, tell = self.project, self.plan, self.clock, self.screen.tell
        journal = self._journaling.journal
        jobs = self._runs_jobs()
        return (
            self._broker.keep(),
            lookups.keep_fresh(),
            self._journaling.run(streams),
            tell_recorded(streams, project, plan, clock=clock),
            self._bound_logs(),
            *beside(streams, plan, project, clock=clock, tell=tell),
            *flag_chores(streams, project.folder, clock=clock, tell=tell),
            watch_objectives(
                streams, plan, project, of="zones", clock=clock, tell=tell, journal=journal
            ),
            *([] if jobs is None else [jobs.keep(project, clock=clock, tell=tell)]),
            inject_in_up(project, plan, self._keepers, self._broker, jobs=jobs, tell=tell),
        )

    def _runs_jobs(self) -> Companion | None:
        """Return what runs jobs by themselves, where one has a trigger and the run never ends."""
        if self.bounded or not triggered(self.plan):
            return None
        return runs_jobs(self.plan, self._journaling.journal)

    def _make_keepers(self) -> list[Keeper]:
        """Return a keeper for each zone, with the code that was deployed to it last."""
        live = read_live(self.project)
        for zone in self.plan.zones:
            keeper = Keeper(
                zone=zone, project=self.project, clock=self.clock, tell=self.screen.tell,
                settle=lambda deploy, name=zone.name: self._settle(name, deploy),  # type: ignore[misc]
                died=self._release, journal=self._journaling.journal,
            )  # fmt: skip
            deploy = live.get(zone.name)
            if deploy is not None and deploy.before == zone.version and deploy.file:
                keeper.version = deploy.version
                keeper.deployed = deploy.plan_file(self.project)
                self.screen.tell(
                    f"zone {zone.name}: version {deploy.version} was deployed from {deploy.code}"
                )
            self._keepers[zone.name] = keeper
        return list(self._keepers.values())

    async def _start(self, lookups: Lookups) -> NatsStreams:
        """Start the broker, declare the streams, read the lookups."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lookups.snapshot())
            endpoint = await self._broker.start()
            keeping = group.create_task(self._broker.keep())  # it may die before zones begin, too
            self._streams = streams = await connect_to(
                endpoint, pipeline=self.plan.pipeline, clock=self.clock
            )
            await streams.declare(self.plan)
            keeping.cancel()
        if self.external is None:  # elsewhere there may be other processes that hold some
            for zone in self.plan.zones:
                await self._release(zone.name)
        return streams

    # ---- watching

    async def _look(self, streams: Streams) -> None:
        """Take a picture, show and keep it, and tell the keepers what concerns them."""
        kept = {name: keeper.kept() for name, keeper in self._keepers.items()}
        snapshot = await self._watch.look(
            streams, kept=kept, broker_fault=self._broker.fault, broker_gone=self._broker.gone
        )
        if snapshot.broker == "up":
            with contextlib.suppress(StreamsUnavailable):
                self._tell_keepers(
                    snapshot,
                    {
                        zone: read_deploy(await streams.get(f"deploy.{zone}"))
                        for zone in snapshot.deploys
                    },
                )
            await self._switching.look(streams, snapshot.shadows)
        self.screen.show(self.plan, snapshot)

    def _tell_keepers(self, snapshot: Snapshot, wanted: dict[str, Deploy | None]) -> None:
        """Hand each keeper what its zone says and what is wanted of it."""
        beats: dict[str, dict[int, ZoneStatus]] = {name: {} for name in self._keepers}
        for beat in snapshot.zones:
            beats[beat.zone][beat.pid] = beat
            if self._keepers[beat.zone].zone.kind == "source":
                self._read[beat.pid] = beat.rows_in
        for name, keeper in self._keepers.items():
            deploy = wanted.get(name)
            if deploy is not None and deploy.before != keeper.zone.version:
                deploy = None  # asked for beside another version of the file
            keeper.hear(beats[name], snapshot.orders.get(name, Order()), deploy)

    async def _judge(self, streams: Streams) -> None:
        """Decide whether the run is over."""
        snapshot = self._watch.snapshot
        if self._why is not None or snapshot is None:
            return
        facts = {name: self._facts(keeper) for name, keeper in self._keepers.items()}
        if not self.bounded:
            self._tell_idle(idle=ending.all_through(self.plan, facts, snapshot))
            return
        if ending.all_through(self.plan, facts, snapshot) and await self._empty(streams):
            self._why = self._why or "through"
            return
        now_s = self.clock.now_s()
        moved = ending.movement(facts, snapshot)
        found = ending.stuck(self.plan, facts, snapshot)
        if moved != self._moved or not found:
            self._moved, self._moved_s = moved, now_s
        elif now_s - self._moved_s >= REST_S:
            self._why, self._stuck = self._why or "stuck", found

    def _tell_idle(self, *, idle: bool) -> None:
        """Say once that nothing more will come: who wants that may have meant another command."""
        if idle and not self._idle:
            self.screen.tell(
                "sources have no more, and all has come through: this goes on until it is asked to "
                "end (Ctrl-C); a source that is to wait for new files has follow=True"
            )
        self._idle = idle

    async def _empty(self, streams: Streams) -> bool:
        """Return whether every inbox is empty, asked in the order in which batches go.

        A batch leaves an inbox only after it is in the next ones: so none can slip past.
        """
        places = {zone.name: place for place, zone in enumerate(self.plan.zones)}
        try:
            for edge in sorted(self.plan.edges, key=lambda edge: places[edge.reader]):
                if (await streams.depth(edge.name)).messages:
                    return False
        except StreamsUnavailable:
            return False
        return True

    def _facts(self, keeper: Keeper) -> ZoneFacts:
        """Return what is known of a zone."""
        return ZoneFacts(
            status=keeper.status,
            done=keeper.done,
            up=keeper.up,
            looping=keeper.looping,
            order=keeper.order,
        )

    def _poll_s(self) -> float:
        """Return how long until the next look."""
        sources = [zone.name for zone in self.plan.zones if zone.kind == "source"]
        last = self.bounded and all(self._keepers[name].done for name in sources)
        return POLL_LAST_S if last else POLL_S

    async def _settle(self, zone: str, deploy: Deploy) -> None:
        """Keep what became of a deployment."""
        assert self._streams is not None, "deployments are read from streams"
        self._journaling.journal.note(settled(zone, deploy, self.clock.utc_s()))
        try:
            if deploy.state == "live":
                write_live(self.project, zone, deploy)
            await self._streams.put(f"deploy.{zone}", msgspec.json.encode(deploy))
        except (StreamsUnavailable, OSError) as error:
            self.screen.tell(f"zone {zone}: that it is {deploy.state} could not be kept: {error}")

    async def _release(self, zone: str) -> None:
        """Have what a dead process held delivered at once, not when its time is over."""
        if self._streams is None:
            return
        for edge in self.plan.inboxes(zone):
            with contextlib.suppress(StreamsUnavailable):  # then its time has to run out
                await self._streams.release(edge.name)

    async def _bound_logs(self) -> None:
        """Keep logs bounded, for ever."""
        while True:
            await self.clock.wait(LOGS_S)
            for name in (*self._keepers, LOG):
                with contextlib.suppress(OSError):  # a log is not worth a run
                    children.rotate(self.project.log_file(name))

    # ---- ending

    async def _drain(self, keepers: list[asyncio.Task[None]]) -> None:
        """Have every zone finish what it has begun; end those that take too long."""
        for keeper in self._keepers.values():
            keeper.leave()
        _, late = await asyncio.wait(keepers, timeout=children.DRAIN_S)
        if late:
            self._kill_all()
            await asyncio.wait(keepers, timeout=children.KILL_S)

    async def _books(self, streams: Streams) -> Accounts | None:
        """Read the books, and keep the last picture."""
        if self._hurry:
            return None
        try:
            async with asyncio.timeout(BOOKS_S):
                accounts = await gather(streams, self.plan, at_s=self.clock.utc_s())
        except (StreamsUnavailable, TimeoutError) as error:
            self.screen.tell(f"the books could not be read: {error}")
            return None
        await self._look(streams)
        return accounts

    def _kill_all(self) -> None:
        """End every process of every zone at once."""
        for keeper in self._keepers.values():
            keeper.kill()

    async def _end_all(self) -> None:
        """End every process at once, and see each of them gone."""
        self._kill_all()
        for keeper in self._keepers.values():
            await keeper.gone()
