"""The process beside a pipeline that runs its jobs when their triggers ask for it."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable

from firedoor.compose.children import Child, start
from firedoor.compose.files import explain
from firedoor.compose.project import Project
from firedoor.compose.restarts import RestartPolicy, Restarts, after_death
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

LOG = "job-watch"
"""No zone can have this name."""
STOP_S = 15.0
"""A job that is at work is ended, and gone on with the next time."""


async def run_triggers(
    project: Project,
    plan: Plan,
    *,
    clock: Clock,
    tell: Callable[[str], None],
    policy: RestartPolicy = RestartPolicy(),  # noqa: B008 - frozen
) -> None:
    """Keep that process alive for ever; it ends when this is cancelled."""
    restarts = Restarts()
    while True:
        began_s = clock.now_s()
        how = await _to_its_end(project, plan, began_s)
        restarts = after_death(restarts, policy, lived_s=clock.now_s() - began_s)
        if restarts.in_a_row <= policy.loop_deaths:
            last = restarts.in_a_row == policy.loop_deaths
            more = ", which is not told again" if last else ""
            tell(
                f"the process that runs jobs with triggers {how}; started again "
                f"({restarts.deaths} so far{more}): see {project.log_file(LOG)}"
            )
        await clock.wait(restarts.wait_s)


async def _to_its_end(project: Project, plan: Plan, began_s: float) -> str:
    """Start the process; return how it ended. Whoever cancels this ends it."""
    try:
        process = await start(project, LOG, ["job", "watch", "--pipeline", plan.file])
    except OSError as error:
        return f"could not be started: {explain(error)}"
    child = Child(zone=LOG, version="", process=process, began_s=began_s)
    try:
        code = await process.wait()
    finally:
        with contextlib.suppress(TimeoutError):
            await child.stop(STOP_S)
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
