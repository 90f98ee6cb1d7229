"""What a pipeline promises, as objectives that are watched."""

from __future__ import annotations

from collections.abc import Mapping

from firedoor.slo.objective import FRESHNESS_TARGET, LATENCY_TARGET, Kind, Objective
from firedoor.spec.plan import Plan


def zone_objectives(plan: Plan) -> tuple[Objective, ...]:
    """Return what the zones and jobs of a plan promise, in its order."""
    found: list[Objective] = []
    for zone in plan.zones:
        owner = zone.owner or plan.owner
        found += _objectives(zone.name, zone.kind, zone.slo, owner=owner, runbook=zone.runbook)
    for job in plan.jobs:
        found += _objectives(job.name, "job", job.slo, owner=job.owner or plan.owner, runbook="")
    return tuple(found)


def service_objectives(plan: Plan) -> tuple[Objective, ...]:
    """Return what the services of a plan promise, in its order."""
    return tuple(
        objective
        for service in plan.services
        for objective in _objectives(
            service.name,
            "service",
            service.slo,
            owner=service.owner or plan.owner,
            runbook=service.runbook,
        )
    )


def _objectives(
    zone: str, kind: Kind, slo: Mapping[str, float], *, owner: str, runbook: str
) -> list[Objective]:
    """Return what one promises; of what it does not name nothing."""
    found: list[Objective] = []

    def add(indicator: str, target: float, bound_s: float = 0.0) -> None:
        found.append(
            Objective(
                zone=zone, kind=kind, indicator=indicator, target=target, bound_s=bound_s,  # type: ignore[arg-type]
                period_days=slo.get("period_days", 30.0), time_scale=slo.get("time_scale", 1.0),
                owner=owner, runbook=runbook,
            )
        )  # fmt: skip

    if "availability" in slo:
        add("availability", slo["availability"])
    if "latency_p99_s" in slo:
        add("latency", LATENCY_TARGET, slo["latency_p99_s"])
    if "freshness_s" in slo:
        add("freshness", FRESHNESS_TARGET, slo["freshness_s"])
    return found


def zones_by_kind(plan: Plan) -> dict[Kind, tuple[str, ...]]:
    """Return the names of all zones, services and jobs, by their kind."""
    found: dict[Kind, list[str]] = {}
    for zone in plan.zones:
        found.setdefault(zone.kind, []).append(zone.name)
    for service in plan.services:
        found.setdefault("service", []).append(service.name)
    for job in plan.jobs:
        found.setdefault("job", []).append(job.name)
    return {kind: tuple(names) for kind, names in found.items()}
