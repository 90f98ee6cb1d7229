"""See a pipeline as a drill does: who can be faulted, who is observed, who comes after whom."""

from __future__ import annotations

from firedoor.control.harm import descendants
from firedoor.drill.stage import Seat, Stage
from firedoor.spec.plan import Plan


def stage_of(plan: Plan) -> Stage:
    """Return the stage that a pipeline is. Jobs are not on it: they run now and then."""
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
    return Stage(pipeline=plan.pipeline, seats=(*zones, *services), allows=plan.drills)
