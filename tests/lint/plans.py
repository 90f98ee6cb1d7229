"""Plans to judge: zones with what a test says of them, and edges as they read each other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import firedoor as fd
from firedoor.lint.finding import Finding
from firedoor.lint.judging import Judgement, judge
from firedoor.spec.plan import (
    DependencyPlan,
    EdgePlan,
    Kind,
    LoadPlan,
    Plan,
    SinkPlan,
    SourcePlan,
    ZonePlan,
)
from firedoor.spec.referred import StepNote

TODAY = date(2026, 11, 25)
STEP = StepNote(name="step", pickled=b"", main_path=None, main_module=None, where="/flights.py:12")


def zone(name: str, kind: Kind = "transform", **given: Any) -> ZonePlan:
    """Return a zone with a step, owned by somebody."""
    sink = SinkPlan(form="function", keyed=True) if kind == "sink" else None
    fields = {"owner": "ops", "version": "1", "step": STEP, "sink": sink, **given}
    return ZonePlan(name=name, kind=kind, **fields)


def source(name: str = "rows", *, rate: float | None = None, **given: Any) -> ZonePlan:
    """Return a source of 10,000 rows a batch."""
    return zone(name, "source", step=None, source=SourcePlan(form="jsonl", rate=rate), **given)


def plan(*zones: ZonePlan, edges: Sequence[EdgePlan] | None = None, **given: Any) -> Plan:
    """Return a pipeline: a source, unless there is one, and each zone reads the one before."""
    listed = zones if any(one.kind == "source" for one in zones) else (source(), *zones)
    if edges is None:
        edges = [
            EdgePlan(publisher=before.name, reader=after.name) for before, after in pairwise(listed)
        ]
    return Plan(
        pipeline="flights", owner=given.pop("owner", "ops"), file="/flights.py", sys_path=(),
        zones=tuple(listed), edges=tuple(edges), **given,
    )  # fmt: skip


def edge(publisher: str, reader: str, **given: Any) -> EdgePlan:
    return EdgePlan(publisher=publisher, reader=reader, **given)


def calls(name: str, *, known: dict[str, Any] | None = None, **given: Any) -> DependencyPlan:
    """Return what a step depends on, through a real guard."""
    return fd.Dependency(fd.Guard(name, **given), **(known or {})).plan()


def load(**given: Any) -> LoadPlan:
    return LoadPlan(**given)


def found(judged: Judgement, rule: str) -> list[Finding]:
    """Return what one rule found."""
    return [one for one in judged.findings if one.rule == rule]


def rule(which: str, *zones: ZonePlan, **given: Any) -> list[tuple[str, str, str]]:
    """Return severity, subject and reason of what one rule finds."""
    judged = judge(plan(*zones, **given), today=TODAY)
    return [(one.severity, one.about, one.why) for one in found(judged, which)]


def unjudged(which: str, *zones: ZonePlan, **given: Any) -> list[tuple[str, str]]:
    """Return zone and reason where one rule could not judge."""
    judged = judge(plan(*zones, **given), today=TODAY)
    return [(one.zone, one.why) for one in judged.unjudged if one.rule == which]
