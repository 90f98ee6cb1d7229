"""Run jobs when their triggers ask for it: look, decide, run one after another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from firedoor.adapters.files.locking import Taken, locked
from firedoor.compose.files import FOLDER_MODE, explain
from firedoor.compose.listing import watched
from firedoor.compose.project import Project
from firedoor.compose.run_retention import number_of
from firedoor.compose.runs import Runs
from firedoor.errors import FiredoorError, NotKnown, ProjectBusy, StoreRefused
from firedoor.flow.drilled import due_for_drill, first_of
from firedoor.flow.triggers import Because, Due, Files, Past, Sight, due
from firedoor.ports.clock import Clock
from firedoor.spec.plan import JobPlan, Plan
from firedoor.wire.run import RunRecord

LOOK_S = 1.0
"""Between two looks."""
ASKED_S = 0.5
"""How long the lock is tried for: who only asks whether anybody watches holds it for a moment."""
LOOK_SHARE = 20
"""Of the time that a look takes, to wait until the next."""
HOLD_S = 60.0
"""How long a job rests that could not even begin, where its trigger has no interval."""
HOLD_MAX_S = 3_600.0
"""The rest doubles up to there."""


def triggered(plan: Plan) -> tuple[JobPlan, ...]:
    """Return the jobs that run by themselves."""
    return tuple(job for job in plan.jobs if job.trigger.kind != "manual")


@contextmanager
def watching(project: Path, pipeline: str, *, wait_s: float = ASKED_S) -> Iterator[None]:
    """Be the only one who runs what the triggers of a pipeline ask for, while the block is at work.

    Raises:
        ProjectBusy: if somebody else is.
        StoreRefused: if the folder cannot be used.
    """
    folder = Runs(project).folder
    with contextlib.ExitStack() as held:
        try:
            folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            held.enter_context(locked(folder / f".watch-{pipeline}.lock", wait_s=wait_s))
        except Taken:
            message = (
                f"the triggers of pipeline {pipeline!r} are watched already in {folder.parent}: by "
                "`firedoor up` or another `firedoor job watch`"
            )
            raise ProjectBusy(message) from None
        except OSError as error:
            raise StoreRefused(f"triggers cannot be watched: {explain(error)}") from error
        yield


class Lookout:
    """What triggers look at: records of runs, files of sinks."""

    def __init__(self, project: Path, clock: Clock) -> None:
        """Look at a project; the folder that ``.firedoor`` is in."""
        self._runs = Runs(project)
        self._project = Project.at(project)
        self._clock = clock
        self._known: dict[str, RunRecord] = {}
        """Runs that have ended: their records do not change any more."""
        self._since: dict[str, tuple[str, float]] = {}
        """Listing of a sink, and since when it is known."""

    def look(self, plan: Plan) -> Iterator[tuple[JobPlan, Due | None]]:
        """Yield each job that has a trigger, with the next run that this asks for."""
        for job in triggered(plan):
            sight = Sight(
                now_s=self._clock.utc_s(),
                past=self._past(plan, job.name),
                others={name: self._past(plan, name) for name in job.trigger.jobs},
                sinks=self._sinks(plan, job),
                ended=self._project.run_pid() is None,
            )
            yield job, due(job.trigger, sight)

    def look_for_drills(
        self, plan: Plan, wanted: Callable[[str], str]
    ) -> Iterator[tuple[JobPlan, Due]]:
        """Yield each job that is to run because of a drill now, or of one that is over.

        Args:
            plan: the pipeline.
            wanted: returns the fault that is wanted of a job now; empty: none.
        """
        triggers = {job.name: job.trigger for job in plan.jobs}
        for job in plan.jobs:
            first = first_of(job.name, triggers)
            own = self._past(plan, job.name)
            alone = first == job.name
            before = own if alone else self._past(plan, first)
            now_s = self._clock.utc_s()
            found = due_for_drill(wanted(job.name), own, before, now_s, alone=alone)
            if found is not None:
                yield plan.job(first), found

    def _past(self, plan: Plan, job: str) -> list[Past]:
        """Return the runs of a job of a pipeline; those that repeat another are no news."""
        names = self._runs.names(job)
        gone = [name for name, one in self._known.items() if one.job == job and name not in names]
        for name in gone:
            del self._known[name]
        found = []
        for name in names:
            record = self._known.get(name)
            if record is None:
                with contextlib.suppress(NotKnown, StoreRefused):  # pruned meanwhile, or damaged
                    record = self._runs.read(name)
            if record is None:
                continue
            if record.outcome != "running":
                self._known[name] = record
            if record.pipeline == plan.pipeline and not record.reproduces:
                found.append(_past_of(record))
        return found

    def _sinks(self, plan: Plan, job: JobPlan) -> dict[str, Files]:
        """Return the files of the sinks that a job waits for; what cannot be read has none."""
        now_s = self._clock.utc_s()
        try:
            listings = watched(plan, job)
        except StoreRefused:
            return {name: Files(listing="", since_s=now_s) for name in job.trigger.sinks}
        found = {}
        for name, listing in listings.items():
            if self._since.get(name, ("", 0.0))[0] != listing.hash:
                self._since[name] = listing.hash, now_s
            # A time to come is of another clock: then it counts when the change was first seen.
            ahead = listing.newest_s > now_s
            since_s = self._since[name][1] if ahead else listing.newest_s
            found[name] = Files(listing=listing.hash, since_s=since_s)
        return found


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Runs what is due, one job at a time. The lock of ``watching`` is held."""

    lookout: Lookout
    clock: Clock
    tell: Callable[[str], None]
    load: Callable[[], Plan]
    """Reads the pipeline's file: a record has to say which code ran."""
    run: Callable[[Plan, JobPlan, Because], RunRecord]
    asked: Callable[[], bool]
    """Whether it is to end."""
    wanted: Callable[[str], str] = lambda job: ""  # noqa: ARG005 - nobody drills
    """Returns the fault of a drill that is wanted of a job now; empty: none."""
    _held: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Until when a job rests that could not begin, and how long."""
    _told: dict[str, str] = field(default_factory=dict)

    async def watch(self) -> None:
        """Run what is due until it is asked to end. A job that fails ends nothing."""
        plan = self.load()
        while not self.asked():
            began_s = self.clock.now_s()
            ready = self._ready(plan)
            if ready:
                job, now = min(ready, key=lambda one: one[1].at_s)
                plan, _ = self._run(plan, job, now)
            else:
                took_s = self.clock.now_s() - began_s
                await self.clock.wait(max(LOOK_S, LOOK_SHARE * took_s))

    async def watch_alone(self, project: Path, pipeline: str, *, waits: bool) -> None:
        """Watch as the only one.

        Args:
            project: the folder that ``.firedoor`` is in.
            pipeline: its name.
            waits: where somebody else watches, whether to wait until nobody does.

        Raises:
            ProjectBusy: if somebody else does, and it is not waited for.
        """
        while not self.asked():
            try:
                with watching(project, pipeline, wait_s=0.0 if waits else ASKED_S):
                    await self.watch()
            except ProjectBusy as error:
                if not waits:
                    raise
                self._tell_once(pipeline, f"{error}; this one waits")
            await self.clock.wait(LOOK_S)

    def once(self) -> bool:
        """Run what is due now, and what is due because of that, each job once at most.

        Returns:
            whether all of it ended well.
        """
        plan, ran, well = self.load(), set[str](), True
        while not self.asked():
            # In the order of declaration a job comes after those that it waits for.
            ready = [(job, now) for job, now in self._ready(plan) if job.name not in ran]
            if not ready:
                break
            ran.add(ready[0][0].name)
            plan, good = self._run(plan, *ready[0])
            well = well and good
        return well

    def _ready(self, plan: Plan) -> list[tuple[JobPlan, Due]]:
        """Return the jobs that are due."""
        found = [(job, now) for job, now in self.lookout.look(plan) if now is not None]
        found += self.lookout.look_for_drills(plan, self.wanted)
        now_s = self.clock.utc_s()
        return [(job, now) for job, now in found if now.at_s <= now_s and not self._rests(job)]

    def _run(self, plan: Plan, job: JobPlan, now: Due) -> tuple[Plan, bool]:
        """Run a job as its file says now; return that plan, and whether it ended well."""
        try:
            plan = self.load()
            found = {one.name: one for one in plan.jobs}.get(job.name)
            if found is None or found.trigger != job.trigger:
                return plan, True  # it was declared anew: look again
            self.tell(f"{job.name}: {now.because.said}")
            record = self.run(plan, found, now.because)
        except FiredoorError as error:
            self._hold(job)
            self._tell_once(job.name, f"{job.name}: cannot begin: {error}; it is tried again later")
            return plan, False
        self._told.pop(job.name, None)
        self._held.pop(job.name, None)
        return plan, record.outcome == "done"

    def _rests(self, job: JobPlan) -> bool:
        """Return whether a job could not begin, and is to be tried again later."""
        return self.clock.now_s() < self._held.get(job.name, (0.0, 0.0))[0]

    def _hold(self, job: JobPlan) -> None:
        """Have a job rest that could not begin: for its interval, or longer each time."""
        _, before_s = self._held.get(job.name, (0.0, 0.0))
        rest_s = job.trigger.every_s or min(max(HOLD_S, 2 * before_s), HOLD_MAX_S)
        self._held[job.name] = self.clock.now_s() + rest_s, rest_s

    def _tell_once(self, about: str, line: str) -> None:
        """Tell what was not told last."""
        if self._told.get(about) != line:
            self._told[about] = line
            self.tell(line)


def _past_of(record: RunRecord) -> Past:
    """Return a run as far as triggers care."""
    return Past(
        number=number_of(record.id),
        outcome=record.outcome,
        began_s=record.started_s,
        ended_s=record.ended_s or record.started_s,
        because=record.because,
        drilled=record.drilled,
        seen=record.seen,
    )
