"""Processes beside a pipeline's zones that are started again whenever they die."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from firedoor.compose.children import Child, last_words, start
from firedoor.compose.files import explain
from firedoor.compose.process_notes import died
from firedoor.compose.project import Project
from firedoor.compose.restarts import RestartPolicy, Restarts, after_death, looping
from firedoor.ports.clock import Clock
from firedoor.ports.telemetry import Journal, Unheard
from firedoor.spec.plan import Plan

LOG = "job-watch"
"""No zone can have this name."""
LOOK_S = 0.1
STOP_S = 15.0
"""A job that is at work is ended, and gone on with the next time."""

Tell = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Companion:
    """One process that is kept alive."""

    name: str
    """Of its log; no zone can have it."""
    command: Sequence[str]
    what: str
    """In words: ``the process that runs jobs with triggers``."""
    stop_s: float
    """Longest that it may take to end when it is asked to."""
    journal: Journal = field(default_factory=Unheard)
    began: Callable[[int], None] = lambda _: None
    """Told the process id of each."""
    child: Child | None = None
    """The process that it has now."""
    kept_down: str = ""
    """Why no process is started, which a drill wants; empty: one is."""

    async def keep(
        self,
        project: Project,
        *,
        clock: Clock,
        tell: Tell,
        policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
    ) -> None:
        """Keep it alive for ever; it ends when this is cancelled."""
        restarts = Restarts()
        while True:
            while self.kept_down:
                await clock.wait(LOOK_S)
            began_s = clock.now_s()
            how = await self._to_its_end(project, began_s)
            restarts = after_death(restarts, policy, lived_s=clock.now_s() - began_s)
            self.journal.note(
                died(
                    self.what, how, at_s=clock.utc_s(), deaths=restarts.deaths,
                    looping=looping(restarts, policy),
                )
            )  # fmt: skip
            if restarts.in_a_row <= policy.loop_deaths:
                last = restarts.in_a_row == policy.loop_deaths
                more = ", which is not told again" if last else ""
                said = last_words(project.log_file(self.name), 1)
                why = f"\n  | {said}" if said and how.startswith("ended") else ""
                again = f"kept down: {self.kept_down}" if self.kept_down else "started again"
                tell(
                    f"{self.what} {how}; {again} ({restarts.deaths} so far{more}): see "
                    f"{project.log_file(self.name)}{why}"
                )
            await clock.wait(restarts.wait_s)

    async def _to_its_end(self, project: Project, began_s: float) -> str:
        """Start the process; return how it ended. Whoever cancels this ends it."""
        try:
            process = await start(project, self.name, self.command)
        except OSError as error:
            return f"could not be started: {explain(error)}"
        self.child = child = Child(zone=self.name, version="", process=process, began_s=began_s)
        self.began(child.pid)
        try:
            code = await process.wait()
        finally:
            with contextlib.suppress(TimeoutError):
                await child.stop(self.stop_s)
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


def runs_jobs(plan: Plan, journal: Journal) -> Companion:
    """Return the process that runs a pipeline's jobs when their triggers say so."""
    return Companion(
        name=LOG, command=["job", "watch", "--pipeline", plan.file], stop_s=STOP_S,
        what="the process that runs jobs with triggers", journal=journal,
    )  # fmt: skip
