"""See a pipeline as a drill does: who can be faulted, who is observed, who comes after whom."""

from __future__ import annotations

from firedoor.compose.triggering import triggered
from firedoor.control.harm import descendants
from firedoor.drill.stage import Seat, Stage
from firedoor.spec.plan import Plan


def stage_of(plan: Plan) -> Stage:
    """Return the stage that a pipeline is.

    Jobs are on it where one of them has a trigger: then there is a process that runs them.
    """
    read = {edge.publisher for edge in plan.edges}
    zones = [
        Seat(
            name=zone.name,
            kind=zone.kind,
            promises=dict(zone.slo),
            after=frozenset(descendants(plan, {zone.name})),
            ends=zone.name not in read,
            allows=zone.drills,
        )
        for zone in plan.zones
    ]
    services = [
        Seat(
            name=service.name,
            kind="service",
            promises=dict(service.slo),
            ends=True,
            allows=service.drills,
        )
        for service in plan.services
    ]
    jobs = [
        Seat(
            name=job.name,
            kind="job",
            promises=dict(job.slo),
            after=_after(plan, job.name),
            allows=plan.drills,
        )
        for job in (plan.jobs if triggered(plan) else ())
    ]
    return Stage(
        pipeline=plan.pipeline, seats=(*zones, *services), jobs=tuple(jobs), allows=plan.drills
    )


def _after(plan: Plan, name: str) -> frozenset[str]:
    """Return the jobs that run when a job, or one that runs after it, has ended well."""
    found = {name}
    for job in plan.jobs:  # a job is declared after those that it waits for
        if found & set(job.trigger.jobs):
            found.add(job.name)
    return frozenset(found - {name})
