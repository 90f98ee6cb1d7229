"""Who is hurt: zones at fault, and zones outside them that cannot work because of it. Pure.

A zone behind one at fault has nothing to hurt it while batches wait in its own inbox; when they are
done it starves. A zone before it is hurt when the inbox between them is full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firedoor.control.degraded import in_short
from firedoor.control.status import Kept, Snapshot
from firedoor.spec.plan import Plan
from firedoor.wire.records import State, ZoneStatus

CAUSE_CHARACTERS = 160
AWAY = "broker_away"
"""Code of a zone that is blocked because the broker does not answer it."""
STARTING_S = 60.0
"""A process that was started no longer ago than this may not have said anything yet."""
Condition = State | Literal["crash loop", "drained", "gone", "unknown"]
"""``crash loop``: its processes die again and again. ``drained``: it ended, since a person wants it
to. ``gone``: no process says anything, though one should. ``unknown``: nothing runs here."""

_BY_GRAVITY: tuple[Condition, ...] = (
    "halted", "crash loop", "gone", "paused", "drained", "blocked", "throttled", "starting",
    "draining", "running", "stopped", "done", "unknown",
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
        return self.condition in {"halted", "crash loop", "gone", "paused", "drained"}

    @property
    def cut_off(self) -> bool:
        """Whether it waits for the broker, not for another zone."""
        return self.condition == "blocked" and self.beat is not None and self.beat.code == AWAY


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
    cut_off: tuple[str, ...]
    """Wait because the broker does not answer them."""
    waiting: int
    """Batches in the inboxes of those at fault."""

    @property
    def outside(self) -> bool:
        """Whether anybody outside a faulted zone is hurt."""
        hurt = self.blocked or self.starving or self.cut_off
        return bool(self.at_fault and hurt) or bool(self.missing)


def view_zones(plan: Plan, snapshot: Snapshot) -> tuple[ZoneView, ...]:
    """Return each zone as it is, in the plan's order."""
    return tuple(_view(zone.name, snapshot) for zone in plan.zones)


def _view(zone: str, snapshot: Snapshot) -> ZoneView:
    """Return one zone as it is."""
    beats = [beat for beat in snapshot.zones if beat.zone == zone]
    beat = min(beats, key=lambda beat: _BY_GRAVITY.index(beat.state), default=None)
    order = snapshot.orders.get(zone)
    ordered = ""
    if order is not None and order.want != "run":
        why = f": {order.because}" if order.because else ""
        ordered = f"{order.by or 'somebody'}{why}"
    drained = order is not None and order.want == "drain"
    kept = snapshot.kept.get(zone)
    condition = _condition(snapshot, beat, kept, drained=drained)
    cause = beat.cause if beat else ""
    if condition in {"gone", "crash loop"}:
        cause = _why_gone(condition, kept)
    if condition in {"paused", "drained", "draining"} and ordered:
        cause = f"by {ordered}"
    elif condition == "stopped":
        cause = ""  # it was asked to, as every zone is at the end of a run
    return ZoneView(
        zone=zone,
        condition=condition,
        beat=beat,
        cause=" ".join(cause.split()),
        ordered=ordered,
    )


def _condition(
    snapshot: Snapshot, beat: ZoneStatus | None, kept: Kept | None, *, drained: bool
) -> Condition:
    """Return how a zone is, of which perhaps nothing is heard."""
    if drained and (beat is None or beat.state == "stopped"):
        return "drained"
    if kept is not None and kept.looping:
        return "crash loop"
    if beat is not None:
        return beat.state
    if kept is not None and kept.up and snapshot.at_s - kept.began_s < STARTING_S:
        return "starting"
    return "gone" if snapshot.supervisor_pid or snapshot.zones else "unknown"


def _why_gone(condition: Condition, kept: Kept | None) -> str:
    """Say what is known of processes that say nothing, or die."""
    if condition == "crash loop" and kept is not None:
        return f"died {kept.deaths} times, the last {kept.last}"
    if kept is not None and kept.last and not kept.up:
        return f"no process of it is there: the last {kept.last}"
    return "no process of it says anything"


def judge(plan: Plan, snapshot: Snapshot) -> Harm:
    """Return who is at fault and who is hurt."""
    views = view_zones(plan, snapshot)
    at_fault = tuple(view for view in views if view.at_fault)
    names = {view.zone for view in at_fault}
    resting = {view.zone for view in views if view.condition in {"done", "stopped", "unknown"}}
    blocked = tuple(view.zone for view in views if view.condition == "blocked" and not view.cut_off)
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
        cut_off=tuple(view.zone for view in views if view.cut_off),
        waiting=sum(_depth(snapshot, e.name) for zone in names for e in plan.inboxes(zone)),
    )


def first_line(plan: Plan, snapshot: Snapshot) -> str:
    """Say in one line whether anybody outside a faulted zone is hurt."""
    harm = judge(plan, snapshot)
    views = view_zones(plan, snapshot)
    if snapshot.broker == "down":
        told = _tell(harm, views) if snapshot.zones else "nothing was known before"
        return (
            f"the broker does not answer{_because(snapshot.broker_fault)}: zones wait, nothing is "
            f"dropped; before that: {told}"
        )
    if snapshot.broker_fault:
        besides = f"; besides: {_tell(harm, views)}" if harm.at_fault else ""
        return (
            f"the broker cannot store{_because(snapshot.broker_fault)}: zones wait, nothing is "
            f"dropped{besides}"
        )
    return _tell(harm, views)


def _because(fault: str) -> str:
    """Return a fault in brackets, if there is one."""
    return f" ({_short(' '.join(fault.split()))})" if fault else ""


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
    if harm.cut_off:
        hurt.append(f"the broker does not answer {_join(harm.cut_off)}")
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
    well = "no zone is at fault" if harm.cut_off else "all zones well"
    said = "all zones are done" if conditions <= {"done", "stopped"} else well
    if harm.missing:
        said = f"no zone is at fault, but {_join(harm.missing)} {_verb(harm.missing, 'miss')} what"
        said += " was published while cut"
    slow = [
        f"{v.zone} is throttled ({_short(v.cause)})" for v in views if v.condition == "throttled"
    ]
    slow += [
        f"{v.zone} is {in_short(v.beat)}"
        for v in views
        if in_short(v.beat) and v.condition in {"running", "blocked"}
    ]
    if harm.blocked:
        slow.append(f"{_join(harm.blocked)} {_verb(harm.blocked, 'wait')} for a slower reader")
    if harm.cut_off:
        slow.append(f"the broker does not answer {_join(harm.cut_off)}")
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
