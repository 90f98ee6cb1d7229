"""When a job runs because of a drill: once to be struck, and once more after it. Pure.

A job runs now and then, and a drill cannot wait for that. So a fault that is wanted of a job has it
begin; of one that follows others, the first of those, so that it comes as it always does. What a
drill struck has answered nothing: when the fault is over, the job runs again.

As with triggers, all follows from the records of runs: whoever runs jobs may die at any moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firedoor.flow.triggers import INTERRUPTED, Because, Due, Past, TriggerPlan


def first_of(job: str, triggers: Mapping[str, TriggerPlan]) -> str:
    """Return the job that has to begin so that a job comes to run by its trigger."""
    while triggers[job].jobs:  # each waits for jobs that were declared before it
        job = triggers[job].jobs[0]
    return job


def due_for_drill(
    wanted: str, own: Sequence[Past], first: Sequence[Past], now_s: float, *, alone: bool
) -> Due | None:
    """Return the run that a drill asks for, of the job that has to begin; None: none.

    Nothing is, while one of the two is at work.

    Args:
        wanted: id of the fault that is wanted of a job now; empty: none is.
        own: runs of that job, in any order.
        first: runs of the job that has to begin, see ``first_of``.
        now_s: UTC.
        alone: whether both are the same.
    """
    if any(run.outcome == "running" for run in (*own, *first)):
        return None
    if wanted:
        return _to_be_struck(wanted, own, first, now_s, alone=alone)
    latest = max(own, key=lambda run: run.number, default=None)
    if latest is None or not latest.drilled:
        return None
    again = f"after {latest.drilled}"
    if not alone and _begun(again, first):
        return None  # what came of it did not have the other one begin: a person has to look
    said = f"drill fault {latest.drilled} is over: once more"
    return Due(at_s=now_s, because=Because(trigger="drill", said=said, drill=again))


def _to_be_struck(
    wanted: str, own: Sequence[Past], first: Sequence[Past], now_s: float, *, alone: bool
) -> Due | None:
    """Return the run that a fault is to strike, or that brings it about; None: it had one."""
    struck = [run for run in own if run.drilled == wanted and run.outcome not in INTERRUPTED]
    if struck or (not alone and _begun(wanted, first)):
        return None
    said = f"drill fault {wanted} is to strike it"
    return Due(at_s=now_s, because=Because(trigger="drill", said=said, drill=wanted))


def _begun(drill: str, runs: Sequence[Past]) -> bool:
    """Return whether a run was begun for that, and came to an end of its own."""
    return any(
        run.because is not None and run.because.drill == drill and run.outcome not in INTERRUPTED
        for run in runs
    )
