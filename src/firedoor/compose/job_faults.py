"""What drills want of jobs, heard by the process that runs them.

Jobs run in the main thread, one after another, for as long as they take. So a thread of its own
asks the broker, twice a second as every zone's process does, and says what is injected; where there
is no broker, nobody drills.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from firedoor.adapters.clock import SystemClock
from firedoor.compose.connecting import connect_to
from firedoor.compose.drilled_job import Drilled
from firedoor.compose.injection import Injection
from firedoor.compose.outfit import replica
from firedoor.compose.project import Project
from firedoor.drill import lease as leases
from firedoor.drill.lease import POLL_S, PREFIX
from firedoor.drill.permission import ENV, environment_of
from firedoor.errors import FiredoorError
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import JobPlan, Plan

PATIENCE_S = 1.0
FIRST_S = 3.0
"""For which whoever runs jobs waits to hear what is wanted, before it runs any."""
AGAIN_S = 2.0
"""Before a broker is looked for again that could not be reached."""
NO_DATA = "an evaluation is given rows without labels: choose the job that makes the model"
NO_READING = "this job reads nothing: choose one with reads="


class JobFaults:
    """The faults of a pipeline's jobs."""

    def __init__(self, plan: Plan, *, clock: Clock) -> None:
        """Begin with nothing, in production until something else is known, see ``permit``."""
        self._clock, self._plan = clock, plan
        self.heard = threading.Event()
        """Set once a broker has answered: what is wanted is known."""
        self._own: dict[str, Injection] = {}
        self._supervised: dict[str, Injection] = {}
        """What is done to this very process, by whoever supervises it: it only has a run begin."""
        for job in plan.jobs:
            for supervisor, kept in ((False, self._own), (True, self._supervised)):
                kept[job.name] = Injection(
                    job.name, "job", clock, process=f"{replica()}-jobs", drills=plan.drills,
                    places=("supervisor",) if supervisor else ("job", "worker"),
                    supervisor=supervisor,
                )  # fmt: skip

    def permit(self, *, foreign: bool) -> None:
        """Have the environment decide what may be injected.

        Args:
            foreign: whether the broker is one that firedoor has not started.
        """
        named = os.environ.get(ENV, "")
        found = environment_of(self._plan.environment, named, foreign_broker=foreign)
        for injection in (*self._own.values(), *self._supervised.values()):
            injection.environment = found

    def wanted(self, job: str) -> str:
        """Return the id of the fault that is wanted of a job now, and may be; empty: none is."""
        for injections in (self._own, self._supervised):
            injection = injections.get(job)
            if injection is not None:
                fault = leases.in_force(injection.lease, self._clock.now_s())
                if fault is not None:
                    return fault.id
        return ""

    def of_run(self, job: JobPlan) -> Drilled:
        """Return what is wanted of a run that begins now; what is wanted later is of another."""
        own = self._own.get(job.name)
        if own is not None and own.now("worker") is not None:
            if job.evaluation is not None:
                own.unable(NO_DATA)
            elif not job.reads and not job.dataset:
                own.unable(NO_READING)
        fault = self.wanted(job.name)
        if own is None or not fault:
            return Drilled()
        return Drilled(fault=fault, faults=own, changes=own.now("worker"))

    async def hear(self, streams: Streams) -> None:
        """Take what is wanted now, and say what is done.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        said = await streams.beats(PREFIX)
        for name, own in self._own.items():
            value = said.get(f"{PREFIX}{name}")
            own.hear(value)
            self._supervised[name].hear(value)
            await own.say(streams)
        self.heard.set()

    async def follow(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        """Hear what is wanted, for ever; a broker that is away is looked for again."""
        while True:
            with contextlib.suppress(FiredoorError, OSError):
                streams = await connect()
                try:
                    while True:
                        await self.hear(streams)
                        await self._clock.wait(POLL_S)
                finally:
                    await streams.close()
            await self._clock.wait(AGAIN_S)


def heard_in_a_thread(folder: Path, plan: Plan) -> JobFaults:
    """Return the faults of jobs, heard while this process lives from the broker of a project.

    Args:
        folder: that ``.firedoor`` is in.
        plan: the pipeline.
    """
    project, clock = Project.at(folder), SystemClock()
    faults = JobFaults(plan, clock=clock)

    async def connect() -> Streams:
        endpoint = project.endpoint()
        faults.permit(foreign=endpoint.external)
        return await connect_to(
            endpoint, pipeline=plan.pipeline, clock=clock, read_s=PATIENCE_S,
            write_s=PATIENCE_S, open_s=PATIENCE_S,
        )  # fmt: skip

    threading.Thread(
        target=lambda: asyncio.run(faults.follow(connect)), name="drills", daemon=True
    ).start()
    if project.endpoint_file.exists():  # else a fault that goes on would be taken for over
        faults.heard.wait(FIRST_S)
    return faults
