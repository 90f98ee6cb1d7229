"""``firedoor status`` as text: the first line says who is hurt, then a row a zone. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.control import shadows
from firedoor.control.degraded import in_short
from firedoor.control.harm import ZoneView, first_line, view_zones
from firedoor.control.status import Snapshot
from firedoor.spec.plan import Plan

STALE_S = 5.0
"""A snapshot older than this is told with its age."""
CAUSE_CHARACTERS = 48
MINUTE_S = 60.0
HOUR_S = 3_600.0
DAY_S = 86_400.0
ENDED = frozenset({"done", "stopped", "drained", "gone"})
"""Conditions in which nothing dies any more."""
HEAD = ("zone", "state", "since", "cause", "inbox", "dead/min", "owner", "next")


def show_board(plan: Plan, snapshot: Snapshot, *, now_s: float, running: bool = True) -> list[str]:
    """Return the lines of ``firedoor status``.

    Args:
        plan: the pipeline.
        snapshot: one just taken, or the last one.
        now_s: in seconds since 1970.
        running: whether zones are at work here now.
    """
    age_s = now_s - snapshot.at_s
    if not running:
        lines = [f"nothing runs here; {ago(age_s)} ago: {first_line(plan, snapshot)}"]
    else:
        lines = [first_line(plan, snapshot)]
    if running and not snapshot.at_s:
        lines.append("there is no snapshot yet: it may be just starting")
    elif running and (age_s > STALE_S or snapshot.broker == "down"):
        lines.append(f"as of {ago(age_s)} ago, from the last snapshot")
    rows = [_row(plan, snapshot, view, now_s) for view in view_zones(plan, snapshot)]
    lines += ["", *align([HEAD, *_broker(snapshot, running=running), *rows])]
    for beat in snapshot.zones if running else ():
        for sentence in beat.switches:
            lines.append(f"{beat.zone}: {sentence}; see: firedoor flag list")
    for edge, cut in snapshot.detached.items():
        why = f": {cut.because}" if cut.because else ""
        lines.append(
            f"{edge} has been cut for {ago(now_s - cut.since_s)}{why}; when its reader is well: "
            f"firedoor backfill {edge}"
        )
    told = [shadows.in_short(zone, shadow) for zone, shadow in snapshot.shadows.items()]
    return lines + [line for line in told if line]


def next_command(plan: Plan, snapshot: Snapshot, view: ZoneView) -> str:
    """Return what a person should run next about a zone, an empty string if nothing."""
    beat = view.beat
    if view.condition in {"paused", "drained"} and view.ordered:
        return f"firedoor zone resume {view.zone}"
    if beat is not None and beat.next_command:
        return beat.next_command
    if view.at_fault or view.condition == "throttled":
        return f"firedoor why {view.zone}"
    if view.condition == "blocked":
        full = [edge for edge in plan.outlets(view.zone) if edge.name in snapshot.depths]
        share = {e.reader: snapshot.depths[e.name].bytes / max(1, e.bytes_max) for e in full}
        return f"firedoor why {max(share, key=lambda zone: share[zone])}" if share else ""
    if beat is not None and beat.dead:
        return f"firedoor dlq --zone {view.zone}"
    return ""


def ago(seconds: float) -> str:
    """Return a time span as a person reads it.

    >>> ago(3900)
    '1 h 5 min'
    """
    seconds = max(0.0, seconds)
    if seconds < MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S:.0f} min"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S:.0f} h {seconds % HOUR_S // MINUTE_S:.0f} min"
    return f"{seconds // DAY_S:.0f} d {seconds % DAY_S // HOUR_S:.0f} h"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with even columns."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _broker(snapshot: Snapshot, *, running: bool) -> list[tuple[str, ...]]:
    """Return the cells of the broker, a failure domain of its own, where it is at fault."""
    if not running or (snapshot.broker == "up" and not snapshot.broker_fault):
        return []
    state = "away" if snapshot.broker == "down" else "at fault"
    cause = _cut(snapshot.broker_fault)
    return [("(broker)", state, "", cause, "", "", "", "firedoor doctor --project .")]


def _cut(cause: str) -> str:
    """Return the beginning of a cause, in one line."""
    cause = " ".join(cause.split())
    if len(cause) <= CAUSE_CHARACTERS:
        return cause
    return cause[: CAUSE_CHARACTERS - 4] + " ..."


def _row(plan: Plan, snapshot: Snapshot, view: ZoneView, now_s: float) -> tuple[str, ...]:
    """Return the cells of a zone."""
    beat = view.beat
    depths = [snapshot.depths[e.name] for e in plan.inboxes(view.zone) if e.name in snapshot.depths]
    waiting = sum(depth.messages for depth in depths)
    oldest = min((d.oldest_s for d in depths if d.oldest_s is not None), default=None)
    inbox = "" if not depths else "empty" if not waiting else str(waiting)
    if waiting and oldest is not None:
        inbox += f", {ago(now_s - oldest)}"
    return (
        view.zone,
        view.condition,
        ago(now_s - beat.since_s) if beat else "",
        _cut(view.cause or ("" if view.condition in ENDED else in_short(beat))),
        inbox,
        f"{beat.dead_a_min:.0f}" if beat and view.condition not in ENDED else "",
        plan.zone(view.zone).owner or plan.owner,
        next_command(plan, snapshot, view),
    )
