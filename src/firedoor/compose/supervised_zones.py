"""The processes of ``up`` and ``serve`` to which a drill may do something, by the zone they are of.

Of a service that is one gateway, the first: one of several dies or stands still, as they do. What
it answers for besides is hurt as well, and that shows in the matrix, as it should. Of a job it is
the process that runs jobs, while it runs this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from firedoor.compose import outfit
from firedoor.compose.broker import Broker, Server
from firedoor.compose.children import Child
from firedoor.compose.companion import Companion
from firedoor.compose.connecting import connect_to
from firedoor.compose.keeper import Keeper
from firedoor.compose.project import Project
from firedoor.compose.run_retention import number_of
from firedoor.compose.runs import Runs
from firedoor.compose.supervised_faults import SupervisedFaults, Target
from firedoor.drill.job_runs import OPEN
from firedoor.drill.permission import ENV, environment_of
from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

BROKER, CONTROL = "broker", "control"
READ_S, WRITE_S, OPEN_S = 1.0, 2.0, 2.0
"""Patience with a broker: it is asked again."""
FOREIGN = (
    "the broker is not one that firedoor has started: choose a fault of a zone, or drill it with "
    "what runs it"
)

Tell = Callable[[str], None]


class BrokerProcess:
    """The broker's process. See ``supervised_faults.Victim``."""

    began_s = 0.0

    def __init__(self, server: Server) -> None:
        """Look at a server as it is now."""
        self.pid = server.pid
        self._server = server

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._server.pid == self.pid and self._server.alive()

    def crash(self) -> None:
        """Have it die at once."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def of_up(
    plan: Plan,
    keepers: Mapping[str, Keeper],
    broker: Broker,
    *,
    jobs: Companion | None,
    runs: Runs,
) -> dict[str, Target]:
    """Return what ``firedoor up`` supervises.

    Args:
        plan: of the pipeline.
        keepers: of each zone.
        broker: its broker.
        jobs: the process that runs jobs; None: there is none.
        runs: of jobs.
    """
    targets = {
        zone.name: Target(
            kind=zone.kind,
            process=partial(_child_of, keepers[zone.name]),
            drills=zone.drills,
            leaving=partial(_leaving, keepers[zone.name]),
        )
        for zone in plan.zones
    }
    targets[BROKER] = of_broker(plan, lambda: broker, foreign=broker.external is not None)
    if jobs is not None:
        for job in plan.jobs:
            targets[job.name] = Target(
                kind="job", process=partial(_runner_of, job.name, jobs, runs), drills=plan.drills
            )
    return targets


def of_serve(
    plan: Plan,
    gateways: Sequence[Companion],
    control: Companion,
    broker: Callable[[], Broker | None],
    *,
    foreign: bool,
) -> dict[str, Target]:
    """Return what ``firedoor serve`` supervises."""
    targets = {
        service.name: Target(
            kind="service", process=lambda: gateways[0].child, drills=service.drills
        )
        for service in plan.services
    }
    targets[CONTROL] = Target(
        kind="control",
        process=lambda: control.child,
        drills=plan.drills,
        keep_down=partial(setattr, control, "kept_down"),
    )
    targets[BROKER] = of_broker(plan, broker, foreign=foreign)
    return targets


def of_broker(plan: Plan, broker: Callable[[], Broker | None], *, foreign: bool) -> Target:
    """Return the broker, which another supervisor may have."""

    def process() -> BrokerProcess | None:
        found = broker()
        server = None if found is None else found.local
        return BrokerProcess(server) if server is not None and server.pid else None

    def keep_down(why: str) -> None:
        found = broker()
        if found is not None:
            found.kept_down = why

    return Target(
        kind="broker",
        process=process,
        drills=plan.drills,
        keep_down=keep_down,
        here=lambda: foreign or broker() is not None,
        missing=FOREIGN if foreign else "",
    )


async def inject_in_up(
    project: Project,
    plan: Plan,
    keepers: Mapping[str, Keeper],
    broker: Broker,
    *,
    jobs: Companion | None,
    tell: Tell,
) -> None:
    """Do to the processes of ``firedoor up`` what drills want, for ever."""
    targets = of_up(plan, keepers, broker, jobs=jobs, runs=Runs(project.folder.parent))
    foreign = broker.external is not None
    await inject(project, plan, targets, foreign=foreign, clock=broker.clock, tell=tell)


async def inject(
    project: Project,
    plan: Plan,
    targets: Mapping[str, Target],
    *,
    foreign: bool,
    clock: Clock,
    tell: Tell,
) -> None:
    """Do to processes what drills want, for ever; whoever cancels this ends all that is done.

    Args:
        project: where the broker is said to be.
        plan: of the pipeline.
        targets: what is supervised here.
        foreign: whether the broker is one that firedoor has not started.
        clock: the time.
        tell: told what is done.
    """

    async def connect() -> Streams:
        endpoint = await asyncio.to_thread(project.endpoint)
        return await connect_to(
            endpoint, pipeline=plan.pipeline, clock=clock, read_s=READ_S, write_s=WRITE_S,
            open_s=OPEN_S,
        )  # fmt: skip

    faults = SupervisedFaults(
        targets,
        process=f"{outfit.replica()}-supervisor",
        environment=environment_of(
            plan.environment, os.environ.get(ENV, ""), foreign_broker=foreign
        ),
        clock=clock,
        tell=tell,
    )
    await faults.run(connect)


def _child_of(keeper: Keeper) -> Child | None:
    """Return a zone's process."""
    return keeper.child


def _runner_of(job: str, companion: Companion, runs: Runs) -> Child | None:
    """Return the process that runs jobs, while it runs this one; asked while a drill wants it."""
    names = sorted(runs.names(job), key=number_of)
    with contextlib.suppress(FiredoorError):  # pruned meanwhile, or damaged
        if names and runs.read(names[-1]).outcome == OPEN:
            return companion.child
    return None


def _leaving(keeper: Keeper) -> bool:
    """Return whether a zone is to end."""
    return keeper.leaving
