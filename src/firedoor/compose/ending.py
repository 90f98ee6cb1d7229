"""When a bounded run is over: all has come through, or what has not waits for a person. Pure.

A broker or a dependency that is away is waited for, as is a throttled zone. What a person has to do
something about (a halted zone, one that was paused by order, a crash loop) ends the run once
everything else has come to rest: its input stays in its inbox, and the next run goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firedoor.control.status import Snapshot
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.records import Order, ZoneStatus

NEEDS_A_PERSON = frozenset({"ordered", "dead_letters_full"})
"""Codes of a paused zone that nothing but a person ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneFacts:
    """What the supervisor knows of one zone besides its beat."""

    status: ZoneStatus | None
    """The last word of its present process; None if it has said nothing yet."""
    done: bool = False
    """A source has no more."""
    up: bool = True
    looping: bool = False
    order: Order = field(default_factory=Order)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A zone that waits for a person."""

    zone: str
    state: str
    why: str
    next_command: str


def all_through(plan: Plan, facts: Mapping[str, ZoneFacts], snapshot: Snapshot) -> bool:
    """Return whether sources have no more and every inbox is empty."""
    done = all(facts[zone.name].done for zone in plan.zones if zone.kind == "source")
    waiting = sum(depth.messages for depth in snapshot.depths.values())
    return done and not waiting and snapshot.broker == "up"


def stuck(plan: Plan, facts: Mapping[str, ZoneFacts], snapshot: Snapshot) -> tuple[Stuck, ...]:
    """Return the zones that wait for a person, () while anything else may still move."""
    if snapshot.broker != "up":
        return ()
    found = [hit for zone in plan.zones if (hit := _waits(zone, facts[zone.name])) is not None]
    names = {hit.zone for hit in found}
    moving = (
        zone
        for zone in plan.zones
        if zone.name not in names and not _at_rest(zone, facts[zone.name], plan, snapshot)
    )
    return () if any(True for _ in moving) else tuple(found)


def movement(facts: Mapping[str, ZoneFacts], snapshot: Snapshot) -> tuple[object, ...]:
    """Return what is another value as soon as any batch has moved."""
    counts = tuple(
        (name, fact.status.pid, fact.status.batches, fact.status.rows_in)
        for name, fact in facts.items()
        if fact.status is not None
    )
    return counts, tuple((edge, depth.messages) for edge, depth in snapshot.depths.items())


def first_of(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error in a group of what happened at once."""
    found: BaseException = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _waits(zone: ZonePlan, fact: ZoneFacts) -> Stuck | None:
    """Return for what a zone waits for a person, if it does."""
    if fact.done:
        return None
    status = fact.status
    if fact.order.want == "drain":
        why = fact.order.because or "drained by a person"
        return Stuck(
            zone=zone.name,
            state="drained",
            why=why,
            next_command=f"firedoor zone resume {zone.name}",
        )
    if fact.looping:
        return Stuck(
            zone=zone.name,
            state="crash loop",
            why="its processes die again and again",
            next_command=f"firedoor why {zone.name}",
        )
    if status is None or not fact.up:
        return None
    if status.state == "halted" or (status.state == "paused" and status.code in NEEDS_A_PERSON):
        return Stuck(
            zone=zone.name,
            state=status.state,
            why=status.cause,
            next_command=status.next_command or f"firedoor why {zone.name}",
        )
    return None


def _at_rest(zone: ZonePlan, fact: ZoneFacts, plan: Plan, snapshot: Snapshot) -> bool:
    """Return whether a zone that waits for nobody has nothing to do, or no room to put it."""
    status = fact.status
    if fact.done:
        return True
    if status is None or not fact.up:
        return False
    if status.state == "blocked":
        return status.code != "broker_away"
    if status.state not in {"running", "throttled"} or zone.kind == "source":
        return False
    inboxes = (edge.name for edge in plan.inboxes(zone.name))
    return not any(snapshot.depths[name].messages for name in inboxes if name in snapshot.depths)
