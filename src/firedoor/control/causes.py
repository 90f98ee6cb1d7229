"""``firedoor why ZONE``: what changed, what fails most, and what happened before."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import msgspec

from firedoor.control import shadows
from firedoor.control.board import ago, align, next_command
from firedoor.control.degraded import in_full
from firedoor.control.guards import show_guards, tell_order
from firedoor.control.harm import ZoneView, view_zones
from firedoor.control.ledger import in_order, is_of
from firedoor.control.letters import Group, Selection, gather_groups
from firedoor.control.status import Snapshot, read_past
from firedoor.errors import NotKnown
from firedoor.events.happened import Happened
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.records import GuardOrder, ZoneStatus

CHANGES_MAX = 10
GROUPS_MAX = 10
TRANSITIONS_MAX = 10
MESSAGE_CHARACTERS = 300
LOOKED_THROUGH = 5_000
"""Latest entries of the ledger among which those of a zone are looked for."""
GONE_THROUGH = ("zone", "process.died", "edge", "degraded")


_STATES = {
    "live": "was deployed",
    "failed": "was not deployed, though wanted",
    "wanted": "is wanted",
}


class DeployNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a deployment: a part of the value of ``deploy.<zone>``."""

    version: str
    code: str
    state: str = "wanted"
    because: str = ""
    by: str = ""
    at_s: float = 0.0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a zone became another."""

    at_s: float
    words: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the broker knows of a zone's past."""

    changes: tuple[Change, ...] = ()
    orders: tuple[GuardOrder, ...] = ()
    """What persons ordered of guards."""
    groups: tuple[Group, ...] = ()
    happened: tuple[Happened, ...] = ()
    """What the zone went through, whichever of its processes noted it."""


def known_zone(plan: Plan, name: str) -> ZonePlan:
    """Return a zone of the plan.

    Raises:
        NotKnown: if there is none of that name.
    """
    try:
        return plan.zone(name)
    except KeyError:
        zones = ", ".join(zone.name for zone in plan.zones)
        message = f"{plan.pipeline} has no zone {name!r}: its zones are {zones}"
        raise NotKnown(message) from None


async def gather_evidence(streams: Streams, plan: Plan, zone: str) -> Evidence:
    """Read the past of a zone.

    Raises:
        NotKnown: if there is no such zone.
        StreamsUnavailable: if the broker is away.
    """
    known_zone(plan, zone)
    changes: list[Change] = []
    version = ""
    lookups: dict[str, str] = {}
    models: dict[str, str] = {}
    async for record in streams.records(zone):
        if record.parent is not None:
            continue  # replays are pinned to lookups of their own
        if record.zone_version != version:
            before = f", before {version}" if version else ""
            words = f"version {record.zone_version}{before}, from {record.batch} on"
            changes.append(Change(at_s=record.began_s, words=words))
            version = record.zone_version
        for name, pinned in record.lookups.items():
            if lookups.get(name, pinned) != pinned:
                words = f"lookup {name} in version {pinned}, before {lookups[name]}"
                changes.append(Change(at_s=record.began_s, words=words))
            lookups[name] = pinned
        for name, used in record.models.items():
            if models.get(name, used) != used:
                words = f"model {used}, before {models[name]}, from {record.batch} on"
                changes.append(Change(at_s=record.began_s, words=words))
            models[name] = used
        del changes[:-CHANGES_MAX]
    listing = await gather_groups(streams, Selection(zone=zone))
    return Evidence(
        changes=tuple(changes),
        orders=await read_past(streams, zone),
        groups=tuple(listing.groups[:GROUPS_MAX]),
        happened=await _gone_through(streams, zone),
    )


async def _gone_through(streams: Streams, zone: str) -> tuple[Happened, ...]:
    """Return what the ledger has of a zone, the latest last."""
    after = max(0, await streams.last_place("happenings") - LOOKED_THROUGH)
    latest: deque[Happened] = deque(maxlen=TRANSITIONS_MAX)
    async for entry in streams.entries("happenings", after=after, zone=zone):
        if is_of(entry.happened, GONE_THROUGH):
            latest.append(entry.happened)
    return tuple(in_order(latest))


def show_why(
    plan: Plan, snapshot: Snapshot, zone: str, evidence: Evidence | None, *, now_s: float
) -> list[str]:
    """Return the lines of ``firedoor why``.

    Args:
        plan: the pipeline.
        snapshot: the last one.
        zone: its name.
        evidence: None if the broker does not answer.
        now_s: in seconds since 1970.

    Raises:
        NotKnown: if there is no such zone.
    """
    note = known_zone(plan, zone)
    view = next(view for view in view_zones(plan, snapshot) if view.zone == zone)
    beat = view.beat
    since = f" since {ago(now_s - beat.since_s)}" if beat else ""
    lines = [f"{zone} is {view.condition}{since}" + (f": {view.cause}" if view.cause else "")]
    if note.step is not None:
        lines.append(f"step: {note.step.where}; owner: {note.owner or plan.owner}")
    command = next_command(plan, snapshot, view)
    if command == f"firedoor why {zone}":
        command = _remedy(zone, view)
    if command:
        lines.append(f"next: {command}")
    lines += [f"kill switch: {sentence}" for sentence in (beat.switches if beat else ())]
    lines += shadows.in_full(zone, snapshot.shadows.get(zone))
    lines += in_full(beat)
    rows = _rows(beat, evidence)
    if rows:
        lines += ["", "what it went through, the latest last:", *align(rows)]
    lines += show_guards(note, beat, now_s=now_s)
    lines += _changes(snapshot, zone, evidence)
    lines += _signatures(evidence)
    if beat and beat.signatures and not (evidence and evidence.groups):
        lines += ["", "what rows died of:"]
        lines += align([(f"  {rows}", words) for words, rows in beat.signatures.items()])
    if beat and beat.wall:
        lines += ["", "behind its wall:", *(f"  {line}" for line in beat.wall.splitlines()[:40])]
    if evidence is None:
        lines += ["", "the broker does not answer: this is from the last snapshot alone"]
    return lines


def _rows(beat: ZoneStatus | None, evidence: Evidence | None) -> list[tuple[str, ...]]:
    """Return the cells of what a zone went through.

    The ledger knows of processes that are gone; what it does not have yet is in the beat.
    """
    happened = () if evidence is None else evidence.happened
    rows: list[tuple[str, ...]] = [
        (f"  {clock(one.at_s)}", one.after or one.kind, _words(one)) for one in happened
    ]
    told_s = happened[-1].at_s if happened else 0.0
    steps = () if beat is None else beat.transitions
    rows += [
        (f"  {clock(step.at_s)}", step.state, step.cause) for step in steps if step.at_s > told_s
    ]
    return rows[-TRANSITIONS_MAX:]


def _words(one: Happened) -> str:
    """Return what happened, without the state that is in the cell before."""
    words = " ".join(one.text.split())
    return words.removeprefix(one.after).removeprefix(": ") if one.after else words


def clock(at_s: float) -> str:
    """Return an instant as a person reads it, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _remedy(zone: str, view: ZoneView) -> str:
    """Return what a person may do about a zone at fault, having read why."""
    match view.condition:
        case "crash loop":
            return f"mend what .firedoor/logs/{zone}.log says; it is started again by itself"
        case "paused":
            return f"it tries again by itself; firedoor zone resume {zone} has it try now"
        case "gone":
            return f"see .firedoor/logs/{zone}.log, or the log of whatever runs it"
        case _:
            return f"firedoor zone restart {zone}, when the cause is removed"


def _deployed(value: str) -> list[Change]:
    """Return the last deployment as a change, if there was one that can be read."""
    try:
        told = msgspec.json.decode(value, type=DeployNote) if value else None
    except msgspec.DecodeError:
        return []
    if told is None:
        return []
    words = f"version {told.version} from {told.code} {_STATES.get(told.state, told.state)}"
    words += f" by {told.by}" if told.by else ""
    because = f": {' '.join(told.because.split())[:MESSAGE_CHARACTERS]}" if told.because else ""
    return [Change(at_s=told.at_s, words=words + because)]


def _changes(snapshot: Snapshot, zone: str, evidence: Evidence | None) -> list[str]:
    """Say what changed about a zone."""
    changes = list(evidence.changes) if evidence else []
    order = snapshot.orders.get(zone)
    if order is not None and order.at_s:
        why = f": {order.because}" if order.because else ""
        words = f"ordered to {order.want} by {order.by or 'somebody'}{why}"
        changes.append(Change(at_s=order.at_s, words=words))
    ordered = evidence.orders if evidence else () if order is None else order.guards
    changes += [Change(at_s=each.at_s, words=tell_order(each)) for each in ordered]
    changes += _deployed(snapshot.deploys.get(zone, ""))
    lines = [f"  {clock(c.at_s)}  {c.words}" for c in sorted(changes, key=lambda c: c.at_s)]
    return ["", "what changed, the latest last:", *lines[-CHANGES_MAX:]] if lines else []


def _signatures(evidence: Evidence | None) -> list[str]:
    """Say what rows died of, from the dead letters."""
    if evidence is None or not evidence.groups:
        return []
    lines = ["", "what rows died of (dead letters):"]
    for group in evidence.groups:
        lines.append(f"  {group.rows} rows: {group.signature}, first {group.first}")
        message = " ".join(group.message.split())
        lines.append(f"    {message[:MESSAGE_CHARACTERS]}")
    return lines
