"""Who is not well again when the time to recover from a fault is over, and what is told of it."""

from __future__ import annotations

from firedoor.compose.drill_ledger import Chronicle
from firedoor.drill.fault import Fault
from firedoor.drill.following import Following
from firedoor.drill.judging import Doubt
from firedoor.drill.report import Unrecovered
from firedoor.drill.stage import BROKER
from firedoor.spec.plan import Plan


def unrecovered_of(
    plan: Plan, following: Following, doubt: Doubt, *, waited_s: float, away_s: float
) -> tuple[Unrecovered, ...]:
    """Return who is not well, each with its owner, what was seen of it, and what to begin with.

    Args:
        plan: the pipeline.
        following: all zones, as they were seen in the exercise.
        doubt: how sure is sure.
        waited_s: since the end of the fault.
        away_s: for which the broker has not answered: then nothing is known of zones.
    """
    if away_s:
        seen = f"it has not answered for {away_s:.0f} s"
        return (_one(BROKER, plan.owner, waited_s, seen, "firedoor status"),)
    owners = {zone.name: zone.owner for zone in plan.zones}
    services = {service.name: service.owner for service in plan.services}
    return tuple(
        _one(
            name, owners.get(name) or services.get(name) or plan.owner, waited_s,
            following.condition(name, doubt),
            f"firedoor why {name}, firedoor zone restart {name}"
            if name in owners
            else "firedoor status, firedoor slo",
        )
        for name in following.unwell()
    )  # fmt: skip


def _one(zone: str, owner: str, waited_s: float, seen: str, to_do: str) -> Unrecovered:
    """Return one of them; a pipeline need not have an owner."""
    return Unrecovered(
        zone=zone, owner=owner or "whoever is on call", waited_s=waited_s, seen=seen, to_do=to_do
    )


async def note_unrecovered(
    chronicle: Chronicle, row: str, fault: Fault, unrecovered: tuple[Unrecovered, ...], because: str
) -> None:
    """Tell the ledger of each: it stands there until somebody has answered for it.

    Args:
        chronicle: the entries of this drill.
        row: which exercise it was.
        fault: what was injected.
        unrecovered: who is not well.
        because: why the fault was taken back early; empty: it was not.
    """
    for each in unrecovered:
        await chronicle.note(
            "drill.not_recovered", fault.name, f"{row}: {each.in_words}", zone=each.zone,
            because=because, cause=f"drill:{fault.id}",
            facts={
                "fault": fault.id, "faulted": fault.zone, "owner": each.owner,
                "waited_s": round(each.waited_s, 1), "seen": each.seen, "to_do": each.to_do,
            },
        )  # fmt: skip
