"""How the guards of a zone's step are, in lines for ``firedoor why``."""

from __future__ import annotations

from dataclasses import replace

from firedoor.guards.explain import BadCall, Explanation
from firedoor.spec.plan import ZonePlan
from firedoor.wire.records import GuardNote, GuardOrder, ZoneStatus

SHOWN_MAX = 8
_WORDS = {
    "open": "has guard {guard} refuse every call",
    "close": "has guard {guard} make every call",
    "reset": "has guard {guard} begin anew",
}


def show_guards(zone: ZonePlan, beat: ZoneStatus | None, *, now_s: float) -> list[str]:
    """Return why each guard of a zone that runs does what it does, worker by worker."""
    if beat is None or not (zone.depends or beat.guards):
        return []
    lines = ["", "what its step calls, guard by guard:"]
    said_s = max(0.0, now_s - beat.at_s)
    workers = {note.worker for note in beat.guards}
    for note in beat.guards[:SHOWN_MAX]:
        old_s = note.heard_s + said_s
        first, *more = str(_as_of_now(note, old_s)).splitlines()
        of = f" (worker {note.worker})" if len(workers) > 1 else ""
        lines += [f"  {first}{of}", *(f"  {line}" for line in more), f"    heard {old_s:.1f} s ago"]
    if len(beat.guards) > SHOWN_MAX:
        lines.append(f"  and {len(beat.guards) - SHOWN_MAX} more: see firedoor status --json")
    called = {note.explained.guard for note in beat.guards}
    names = [each.guard.name for each in zone.depends if each.guard.name not in called]
    lines += [f"  {name}: not called yet by the workers that are alive" for name in names]
    return lines


def tell_order(order: GuardOrder) -> str:
    """Return an order in words."""
    because = f": {order.because}" if order.because else ""
    return f"{order.by or 'somebody'} {_WORDS[order.want].format(guard=order.guard)}{because}"


def _as_of_now(note: GuardNote, old_s: float) -> Explanation:
    """Return what a guard was explained by, with times as they are since."""
    told = note.explained
    due_s = told.next_probe_s
    return replace(
        told,
        next_probe_s=None if due_s is None else max(0.0, due_s - old_s),
        last_bad=tuple(BadCall(call.cause, call.ago_s + old_s) for call in told.last_bad),
    )
