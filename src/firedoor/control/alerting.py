"""One objective under watch: when its alerts begin and end, and in what words that is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

import msgspec

from firedoor.events.happened import Happened
from firedoor.slo import budget as budgets
from firedoor.slo.budget import Budget
from firedoor.slo.objective import Objective
from firedoor.slo.policy import PAGES, AlertPolicy, Detector, Severity
from firedoor.slo.roots import Key
from firedoor.slo.status import Alert, ObjectiveStatus
from firedoor.slo.verdict import burn, span, tell, tell_budget, verdict_of
from firedoor.slo.watch import Watch

ORDER: tuple[Detector, ...] = get_args(Detector)
"""In which detectors are told, the most urgent first."""


@dataclass(slots=True, kw_only=True)
class Case:
    """One objective, and all that is known of it."""

    objective: Objective
    policy: AlertPolicy
    """Scaled."""
    watch: Watch = field(default_factory=Watch)
    budget: Budget = field(default_factory=Budget)
    alerts: dict[Severity, Alert] = field(default_factory=dict)
    hushed: frozenset[Detector] = frozenset()
    """Tickets that began under a page: they are the same story, and are not told once more."""
    rose_from: float = 1.0
    """What was left of the budget when evidence began to rise."""
    paged: bool = False
    """Whether somebody was paged since then."""

    @property
    def key(self) -> Key:
        """Its name."""
        return Key(self.objective.zone, self.objective.indicator)

    @property
    def left(self) -> float:
        """What is left of the budget."""
        return budgets.left(self.budget, self.objective.budget)


def change_alerts(
    case: Case, firing: frozenset[Detector], at_s: float, *, others: Sequence[str] = ()
) -> list[Happened]:
    """Begin and end the alerts of one objective; return what is told of that.

    Args:
        case: changed in place.
        firing: detectors that fire now.
        at_s: now.
        others: further promises of the same zone for which there is a page: it is told once.
    """
    pages = firing & set(PAGES)
    told = _change(case, "page", pages, at_s, others)
    under = bool(pages)
    tickets = firing - pages
    hushed = (case.hushed & tickets) | (tickets if under and "ticket" not in case.alerts else set())
    case.hushed = frozenset(hushed)
    case.paged = case.paged or under
    return told + _change(case, "ticket", frozenset(tickets - hushed), at_s, ())


def _change(
    case: Case,
    severity: Severity,
    firing: frozenset[Detector],
    at_s: float,
    others: Sequence[str],
) -> list[Happened]:
    """Begin, go on with, or end an alert."""
    objective, before = case.objective, case.alerts.get(severity)
    detectors = tuple(name for name in ORDER if name in firing)
    if not firing:
        if before is None:
            return []
        del case.alerts[severity]
        return [_over(case, before, at_s, others)]
    root = case.watch.inherited.root if firing == {"inherited"} else ""
    text = tell(case.watch, objective, case.policy, firing, at_s=at_s)
    if before is not None:
        case.alerts[severity] = msgspec.structs.replace(
            before, detectors=detectors, text=text, root=root or before.root
        )
        return []
    case.alerts[severity] = Alert(
        severity=severity,
        since_s=at_s,
        detectors=detectors,
        text=text,
        root=root,
        left=case.left,
        joined=bool(others),
    )
    facts: dict[str, str | float] = {
        "budget_left": round(case.left, 4),
        "detector": detectors[0],
    }
    words = (
        f"{objective.zone}, {objective.indicator} ({objective.promise}): {text}; "
        f"{tell_budget(case.budget, objective)}"
    )
    code = "joined" if others else severity
    return [_entry(case, code, words, at_s, cause=root, facts=facts)]


def _over(case: Case, alert: Alert, at_s: float, others: Sequence[str]) -> Happened:
    """Return what is told at the end of an alert."""
    objective = case.objective
    lasted_s, cost = at_s - alert.since_s, max(0.0, alert.left - case.left)
    text = (
        f"{objective.zone} keeps its promise of {objective.indicator} again, after "
        f"{span(lasted_s)}; that took {cost:.0%} of its budget"
    )
    if others:
        text += f"; there is still a page for its {', '.join(others)}"
    code = f"{'joined' if alert.joined else alert.severity}.over"
    facts = {"seconds": round(lasted_s, 1), "budget_left": round(case.left, 4)}
    return _entry(case, code, text, at_s, cause=alert.root, facts=facts)


def tell_rise(case: Case, before: Watch, left: float, at_s: float) -> list[Happened]:
    """Return what is told once evidence has risen and gone, where nobody was told of it."""
    now = case.watch
    if now.rises.open and not before.rises.open:
        case.rose_from, case.paged = left, "page" in case.alerts
    over = before.rises.open and not now.rises.open
    if not over or case.paged or "page" in case.alerts:
        return []
    cost = max(0.0, case.rose_from - case.left)
    text = (
        f"{case.objective.zone} was bad for a moment: {before.rises.bad:,} "
        f"{case.objective.units} against its promise of {case.objective.indicator}, "
        f"{cost:.1%} of its budget"
    )
    return [_entry(case, "transient", text, at_s, facts={"bad": before.rises.bad})]


def tell_heir(case: Case, before: Watch, at_s: float) -> list[Happened]:
    """Return what is told when an objective begins or ends to suffer from others."""
    was, now = before.inherited, case.watch.inherited
    zone, indicator = case.objective.zone, case.objective.indicator
    if was.since_s is None and now.since_s is not None:
        text = f"{zone} cannot keep its promise of {indicator}, by a fault of {now.root}"
        return [_entry(case, "inherited", text, at_s, cause=now.root)]
    if was.since_s is not None and now.since_s is None:
        text = f"{zone} suffers no more from {was.root}, after {span(at_s - was.since_s)}"
        return [_entry(case, "inherited.over", text, at_s, cause=was.root)]
    return []


def _entry(
    case: Case,
    code: str,
    text: str,
    at_s: float,
    *,
    cause: str = "",
    facts: Mapping[str, str | int | float] | None = None,
) -> Happened:
    """Return an entry of the ledger."""
    return Happened(
        at_s=at_s, kind="alert", zone=case.objective.zone, text=text, code=code, cause=cause,
        about=case.objective.indicator, facts=dict(facts or {}),
    )  # fmt: skip


def status_of(
    case: Case, suffering: Mapping[str, Sequence[str]], *, at_s: float
) -> ObjectiveStatus:
    """Return how one objective is."""
    objective, watch = case.objective, case.watch
    firing: frozenset[Detector] = frozenset(
        detector for alert in case.alerts.values() for detector in alert.detectors
    )
    page = case.alerts.get("page")
    alerts = [
        msgspec.structs.replace(alert, suffering=tuple(suffering.get(objective.zone, ())))
        if alert is page
        else alert
        for alert in case.alerts.values()
    ]
    inherits = watch.inherited.since_s is not None
    return ObjectiveStatus(
        zone=objective.zone,
        indicator=objective.indicator,
        promise=objective.promise,
        target=objective.target,
        period_days=objective.period_days,
        verdict=verdict_of(watch, firing, at_s=at_s, flap_s=case.policy.flap_s),
        left=case.left,
        burn=burn(watch, objective, case.policy),
        evidence=watch.fast.evidence / case.policy.fast_burn.fire,
        good=case.budget.good,
        own=case.budget.own,
        inherited=case.budget.inherited,
        root=watch.inherited.root if inherits else "",
        alerts=tuple(alerts),
        owner=objective.owner,
        runbook=objective.runbook,
    )
