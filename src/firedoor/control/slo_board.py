"""``firedoor slo`` as text: who is at risk, then a row an objective. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from firedoor.control.board import ago, align
from firedoor.slo.status import Alert, ObjectiveStatus, SloStatus

HEAD = ("zone", "objective", "promise", "budget left", "burn rate", "how")
STALE_S = 10.0
OVERDRAWN = -9.99
"""Below which it is not said how far a budget is overdrawn."""
NOTHING = (
    "no zone and no service promises anything that is watched: declare slo=fd.SLO(availability="
    "0.999), and start the pipeline with firedoor up or firedoor serve"
)


def show_slo(statuses: Sequence[SloStatus], *, now_s: float) -> list[str]:
    """Return the lines of ``firedoor slo``.

    Args:
        statuses: of each judge.
        now_s: seconds since 1970.
    """
    objectives = [one for status in statuses for one in status.objectives]
    if not objectives:
        return [NOTHING]
    lines = [_first(objectives)]
    for status in statuses:
        age_s = now_s - status.at_s
        if status.blind:
            lines.append(f"{status.judge}: nothing is heard of them now: {status.blind}")
        elif age_s > STALE_S:
            lines.append(f"{status.judge}: as of {ago(age_s)} ago; nobody watches them now")
    lines += ["", *align([HEAD, *(_row(one) for one in objectives)])]
    alerts = [(one, alert) for one in objectives for alert in one.alerts]
    for one, alert in sorted(alerts, key=lambda pair: pair[1].severity):
        lines += ["", *_alert(one, alert, now_s)]
    return lines


def _first(objectives: Sequence[ObjectiveStatus]) -> str:
    """Say who is at risk."""
    at_risk = {
        severity: [
            f"{one.zone} ({one.indicator})"
            for one in objectives
            if any(alert.severity == severity for alert in one.alerts)
        ]
        for severity in ("page", "ticket")
    }
    told = [f"{severity}: {', '.join(who)}" for severity, who in at_risk.items() if who]
    spent = [f"{one.zone} ({one.indicator})" for one in objectives if one.left < 0]
    if told:
        return "; ".join(told)
    if spent:
        return f"nobody is paged; budgets that are spent: {', '.join(spent)}"
    return f"nobody is paged, and no budget is spent ({len(objectives)} objectives)"


def _row(one: ObjectiveStatus) -> tuple[str, ...]:
    """Return the cells of an objective."""
    left = f"{one.left:.0%}" if one.left >= OVERDRAWN else f"below {OVERDRAWN:.0%}"
    burn = "" if one.burn is None else f"{one.burn:.1f}x"
    how = one.verdict + (f", suffers from {one.root}" if one.root else "")
    if not one.good + one.own + one.inherited:
        how, left = "nothing counted yet", ""
    return one.zone, one.indicator, one.promise, left, burn, how


def _alert(one: ObjectiveStatus, alert: Alert, now_s: float) -> list[str]:
    """Return the lines of an alert."""
    since = ago(now_s - alert.since_s)
    lines = [f"{alert.severity}: {one.zone}, {one.indicator}, for {since}: {alert.text}"]
    if alert.root:
        lines.append(f"  by a fault of: {alert.root}")
    if alert.suffering:
        lines.append(f"  suffer from it: {', '.join(alert.suffering)}")
    if one.owner:
        lines.append(f"  owner: {one.owner}")
    if one.runbook:
        lines.append(f"  runbook: {one.runbook}")
    return [*lines, f"  next: firedoor why {one.zone}"]
