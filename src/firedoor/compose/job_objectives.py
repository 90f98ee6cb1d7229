"""What jobs keep of what they promise, read from the records of their runs, whoever started them.

Whoever supervises a pipeline says it for them, by a beat as zones do, and which runs there were
lately: a job has a process only while it runs. And a run as a span, for whoever listens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from firedoor.compose.observed import listening
from firedoor.compose.outfit import replica, version
from firedoor.compose.run_retention import number_of
from firedoor.compose.runs import Runs
from firedoor.drill.job_runs import TOLD_MAX, JobSaid, RunSaid
from firedoor.errors import NotKnown, StoreRefused, StreamsUnavailable
from firedoor.events.counting import ObjectiveCounts
from firedoor.events.work import BatchWorked, Ran

if TYPE_CHECKING:
    from firedoor.events.objective import Objectives
    from firedoor.ports.clock import Clock
    from firedoor.spec.plan import JobPlan, Plan
    from firedoor.wire.run import RunRecord

SAY_S = 1.0
OPEN = "running"


class Speaker(Protocol):
    """By what it is said: ``ports.streams.Streams``."""

    async def beat(self, key: str, value: bytes) -> None:
        """Say something of oneself."""
        ...


class JobObjectives:
    """Counts runs that ended since it began. Reads files: not for the event loop."""

    def __init__(
        self, project: Path, pipeline: str, jobs: Iterable[JobPlan], clock: Clock, *, process: str
    ) -> None:
        """Know of no run yet.

        Args:
            project: the folder that ``.firedoor`` is in.
            pipeline: whose jobs.
            jobs: those that are declared.
            clock: the time.
            process: who counts, in characters that a key may have.
        """
        self._runs = Runs(project)
        self._pipeline = pipeline
        self._clock = clock
        self._since_s = clock.utc_s()
        boot = f"{self._since_s:.3f}"
        self._counts = {
            job.name: ObjectiveCounts(job.name, process=process, boot=boot) for job in jobs
        }
        self._counted: set[str] = set()
        """Runs that ended: their records do not change any more."""
        self._lately: dict[str, dict[str, RunSaid]] = {job: {} for job in self._counts}
        """The latest runs of each job."""

    def look(self) -> None:
        """Count what has ended since the last look."""
        for job, counts in self._counts.items():
            names = set(self._runs.names(job))
            for name in names - self._counted:
                with contextlib.suppress(NotKnown, StoreRefused):  # pruned meanwhile, or damaged
                    record = self._runs.read(name)
                    self._count(counts, record)
                    self._note(job, record)
            self._counted -= {name for name in self._counted if name.startswith(f"{job}-")} - names

    def told(self) -> list[Objectives]:
        """Return the totals of each job."""
        return [counts.told(self._clock.utc_s()) for counts in self._counts.values()]

    def runs(self) -> list[JobSaid]:
        """Return the latest runs of each job, as they were at the last look."""
        return [
            JobSaid(job=job, runs=tuple(lately[name] for name in sorted(lately, key=number_of)))
            for job, lately in self._lately.items()
        ]

    def _note(self, job: str, record: RunRecord) -> None:
        """Keep a run as one of the latest."""
        lately = self._lately[job]
        if record.pipeline == self._pipeline and not record.reproduces:
            lately[record.id] = said_of(record)
        for name in sorted(lately, key=number_of)[:-TOLD_MAX]:
            del lately[name]

    def _count(self, counts: ObjectiveCounts, record: RunRecord) -> None:
        """Count a run, if it has ended, and since this began."""
        if record.outcome == OPEN:
            return
        self._counted.add(record.id)
        ended_s = record.ended_s or record.started_s
        if record.pipeline != self._pipeline or ended_s < self._since_s:
            return
        if record.outcome == "done":
            counts.through(1, ended_s - record.started_s, late=False)
        elif record.outcome != "cancelled":
            counts.availability.bad(1)


async def say_jobs(streams: Speaker, plan: Plan, project: Path, clock: Clock) -> None:
    """Say each second what jobs have kept, for ever; where there is no job, nothing."""
    if not plan.jobs:
        return
    process = f"{replica()}-jobs"
    jobs = JobObjectives(project, plan.pipeline, plan.jobs, clock, process=process)
    while True:
        await asyncio.to_thread(jobs.look)
        with contextlib.suppress(StreamsUnavailable):  # nobody has to hear it
            for told in jobs.told():
                await streams.beat(f"objective.{told.zone}.{process}", msgspec.json.encode(told))
            for said in jobs.runs():
                await streams.beat(f"runs.{said.job}", msgspec.json.encode(said))
        await clock.wait(SAY_S)


def said_of(record: RunRecord) -> RunSaid:
    """Return a run as it is told of."""
    return RunSaid(
        run=record.id, started_s=record.started_s, ended_s=record.ended_s, outcome=record.outcome,
        cause=record.cause, tries=record.causes, drilled=record.drilled, changed=record.changed,
        model=record.model, judges=record.judges,
        verdict="" if record.verdict is None else record.verdict.word,
    )  # fmt: skip


def tell_run(record: RunRecord, clock: Clock) -> None:
    """Tell whoever listens of a run that has ended; returns when it is sent, or soon after."""
    found = listening(
        record.pipeline, record.job, process=replica(), clock=clock, release=version()
    )
    if found is None:
        return
    ended_s = record.ended_s or record.started_s
    good = record.outcome == "done"
    found.batch(
        BatchWorked(
            zone=record.job, batch=record.id, edge="", began_s=record.started_s,
            seconds=ended_s - record.started_s, waited_s=0.0,
            rows_in=record.input.rows if record.input else 0, rows_out=0, passed=0,
            fate="good" if good else "bad",
            trouble="" if good else record.cause or record.outcome,
            attempts=tuple((tried.cause, 1) for tried in record.attempts if tried.cause),
            ran=tuple(
                Ran(0, tried.started_s, tried.ended_s - tried.started_s, 0, tried.cause)
                for tried in record.attempts
            ),
            traceparent=found.begin(), models=(record.model,) if record.model else (),
        )
    )  # fmt: skip
    found.close()
