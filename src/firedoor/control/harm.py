"""Who is hurt: zones at fault, and zones outside them that cannot work because of it. Pure.

A zone behind one at fault has nothing to hurt it while batches wait in its own inbox; when they are
done it starves. A zone before it is hurt when the inbox between them is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firedoor.control.status import Snapshot
from firedoor.spec.plan import Plan
from firedoor.wire.records import State, ZoneStatus

CAUSE_CHARACTERS = 160
Condition = State | Literal["gone", "unknown"]
"""``gone``: no process says anything, though one should. ``unknown``: nothing runs here."""

_BY_GRAVITY: tuple[Condition, ...] = (
    "halted", "gone", "paused", "blocked", "throttled", "starting", "draining", "running",
    "stopped", "done", "unknown",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneView:
    """One zone, of all its processes the one that is worst off."""

    zone: str
    condition: Condition
    beat: ZoneStatus | None
    cause: str
    ordered: str = ""
    """Who wants it to be paused, if somebody does."""

    @property
    def at_fault(self) -> bool:
        """Whether it does not work, for a reason of its own or by order."""
        return self.condition in {"halted", "gone", "paused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """Who is at fault, and who is hurt by it."""

    at_fault: tuple[ZoneView, ...]
    blocked: tuple[str, ...]
    """Wait because an inbox behind them is full."""
    starving: tuple[str, ...]
    """Have nothing to do until somebody at fault goes on."""
    going_on: tuple[str, ...]
    """Come after somebody at fault, and still have batches to do."""
    missing: tuple[str, ...]
    """Edges that are cut and whose reader is not at fault."""
    waiting: int
    """Batches in the inboxes of those at fault."""

    @property
    def outside(self) -> bool:
        """Whether anybody outside a faulted zone is hurt."""
        return bool(self.at_fault and (self.blocked or self.starving)) or bool(self.missing)


def view_zones(plan: Plan, snapshot: Snapshot) -> tuple[ZoneView, ...]:
    """Return each zone as it is, in the plan's order."""
    alive = bool(snapshot.supervisor_pid or snapshot.zones)
    views = []
    for zone in plan.zones:
        beats = [beat for beat in snapshot.zones if beat.zone == zone.name]
        beat = min(beats, key=lambda beat: _BY_GRAVITY.index(beat.state), default=None)
        order = snapshot.orders.get(zone.name)
        ordered = ""
        if order is not None and order.want != "run":
            why = f": {order.because}" if order.because else ""
            ordered = f"{order.by or 'somebody'}{why}"
        condition: Condition = beat.state if beat else "gone" if alive else "unknown"
        cause = beat.cause if beat else ""
        if condition == "gone":
            cause = "no process of it says anything"
        if condition == "paused" and ordered:
            cause = f"by {ordered}"
        views.append(
            ZoneView(
                zone=zone.name,
                condition=condition,
                beat=beat,
                cause=" ".join(cause.split()),
                ordered=ordered,
            )
        )
    return tuple(views)


def judge(plan: Plan, snapshot: Snapshot) -> Harm:
    """Return who is at fault and who is hurt."""
    views = view_zones(plan, snapshot)
    at_fault = tuple(view for view in views if view.at_fault)
    names = {view.zone for view in at_fault}
    resting = {view.zone for view in views if view.condition in {"done", "stopped", "unknown"}}
    blocked = tuple(view.zone for view in views if view.condition == "blocked")
    held_up = names | (set(blocked) if names else set())
    after = descendants(plan, held_up) - names - set(blocked) - resting
    busy = {zone for zone in after if any(_depth(snapshot, e.name) for e in plan.inboxes(zone))}
    order = [zone.name for zone in plan.zones]
    return Harm(
        at_fault=at_fault,
        blocked=blocked,
        starving=tuple(zone for zone in order if zone in after - busy),
        going_on=tuple(zone for zone in order if zone in busy),
        missing=tuple(
            edge.name
            for edge in plan.edges
            if edge.name in snapshot.detached and edge.reader not in names
        ),
        waiting=sum(_depth(snapshot, e.name) for zone in names for e in plan.inboxes(zone)),
    )


def first_line(plan: Plan, snapshot: Snapshot) -> str:
    """Say in one line whether anybody outside a faulted zone is hurt."""
    harm = judge(plan, snapshot)
    views = view_zones(plan, snapshot)
    if snapshot.broker == "down":
        told = _tell(harm, views) if snapshot.zones else "nothing was known before"
        return f"the broker does not answer: zones wait, nothing is dropped; before that: {told}"
    return _tell(harm, views)


def descendants(plan: Plan, zones: set[str]) -> set[str]:
    """Return every zone that comes after one of these."""
    found: set[str] = set()
    for zone in plan.zones:  # every zone comes after those that it reads
        if any(e.publisher in zones or e.publisher in found for e in plan.inboxes(zone.name)):
            found.add(zone.name)
    return found


def _tell(harm: Harm, views: tuple[ZoneView, ...]) -> str:
    """Say it in words."""
    if not harm.at_fault:
        return _tell_well(harm, views)
    said = [f"{_join([_fault(view) for view in harm.at_fault])}"]
    hurt = []
    if harm.blocked:
        hurt.append(f"{_join(harm.blocked)} {_verb(harm.blocked, 'wait')} (the next inbox is full)")
    if harm.starving:
        hurt.append(f"{_join(harm.starving)} {_verb(harm.starving, 'starve')}")
    if harm.missing:
        hurt.append(f"{_join(harm.missing)} {'is' if len(harm.missing) == 1 else 'are'} cut")
    on = f"{_join(harm.going_on)} {_verb(harm.going_on, 'go')} on with what {_they(harm.going_on)}"
    if hurt:
        said.append(f"others are hurt: {', '.join(hurt)}")
        said += [on] if harm.going_on else []
    else:
        said.append("nobody else is hurt" + (f": {on}" if harm.going_on else ""))
    if harm.waiting:
        batches = "1 batch" if harm.waiting == 1 else f"{harm.waiting} batches"
        said.append(f"inputs wait in the inbox ({batches})")
    return "; ".join(said)


def _tell_well(harm: Harm, views: tuple[ZoneView, ...]) -> str:
    """Say it where no zone is at fault."""
    conditions = {view.condition for view in views}
    if conditions <= {"unknown"}:
        return "nothing runs here"
    said = "all zones are done" if conditions <= {"done", "stopped"} else "all zones well"
    if harm.missing:
        said = f"no zone is at fault, but {_join(harm.missing)} {_verb(harm.missing, 'miss')} what"
        said += " was published while cut"
    slow = [
        f"{v.zone} is throttled ({_short(v.cause)})" for v in views if v.condition == "throttled"
    ]
    if harm.blocked:
        slow.append(f"{_join(harm.blocked)} {_verb(harm.blocked, 'wait')} for a slower reader")
    return "; ".join([said, *slow])


def _fault(view: ZoneView) -> str:
    """Say what is the matter with a zone."""
    cause = f" ({_short(view.cause)})" if view.cause else ""
    return f"{view.zone} is {view.condition}{cause}"


def _short(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= CAUSE_CHARACTERS else text[: CAUSE_CHARACTERS - 4] + " ..."


def _join(words: tuple[str, ...] | list[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _verb(names: tuple[str, ...], verb: str) -> str:
    """Return a verb for one or for several."""
    if len(names) != 1:
        return verb
    return verb + ("es" if verb.endswith(("o", "s")) else "s")


def _they(names: tuple[str, ...]) -> str:
    """Return who has what, for one or for several."""
    return "it has" if len(names) == 1 else "they have"


def _depth(snapshot: Snapshot, edge: str) -> int:
    """Return how many batches wait on an edge."""
    depth = snapshot.depths.get(edge)
    return depth.messages if depth else 0
