"""Objectives as OpenSLO v1 definitions, for tools that have their own way to watch them.

Source: the specification of ``openslo/v1``, github.com/OpenSLO/OpenSLO. Where its JSON schema and
its text differ (policies that an SLO names), this is what the text and its own reader have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from firedoor.events.metrics import OBJECTIVE_UNITS
from firedoor.slo.block_yaml import Value, to_yaml
from firedoor.slo.objective import Objective
from firedoor.slo.policy import BUDGET_LEAST, AlertPolicy, BurnRatePolicy

VERSION = "openslo/v1"
SOURCE = "prometheus"
TARGET = "on-call"
AFTER = "1m"
DAY_S = 86_400.0
NAME_MAX = 40
"""Characters of a pipeline's and a zone's name together; labels have 63 at most."""
HEAD = "# Written by `firedoor export openslo`: do not edit, write it anew.\n"
Document = dict[str, Value]


def openslo(
    objectives: Sequence[Objective], policy: AlertPolicy | None = None, *, pipeline: str, url: str
) -> str:
    """Return definitions, one document each: a service a zone, an SLO an objective.

    Args:
        objectives: what is promised.
        policy: when somebody is told; of it, what OpenSLO has words for: burn rates.
        pipeline: whose objectives they are.
        url: where Prometheus answers.
    """
    policy = policy or AlertPolicy()
    zones = {objective.zone: objective for objective in objectives}
    documents = [
        _document(
            "DataSource", SOURCE, {"type": "Prometheus", "connectionDetails": {"url": url}}
        ),
        _document(
            "AlertNotificationTarget", TARGET,
            {"target": "alertmanager", "description": "Whoever owns the zone"},
        ),
        *(_alert_policy(rate) for rate in policy.burn_rates),
        *(_service(one, pipeline) for one in zones.values()),
        *(_slo(one, policy, pipeline) for one in objectives),
    ]  # fmt: skip
    return HEAD + "---\n".join(to_yaml(document) for document in documents)


def _document(kind: str, name: str, spec: Document, **metadata: Value) -> Document:
    """Return one definition."""
    return {
        "apiVersion": VERSION,
        "kind": kind,
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def _service(objective: Objective, pipeline: str) -> Document:
    """Return the service that a zone is."""
    labels: dict[str, Value] = {"pipeline": pipeline, "kind": objective.kind}
    annotations: dict[str, Value] = {}
    if objective.owner:
        annotations["owner"] = objective.owner
    if objective.runbook:
        annotations["runbook"] = objective.runbook
    more: dict[str, Value] = {"labels": labels}
    if annotations:
        more["annotations"] = annotations
    described = f"{objective.kind} of pipeline {pipeline}"
    name = _name(objective.zone, pipeline)
    return _document("Service", name, {"description": described}, **more)


def _slo(objective: Objective, policy: AlertPolicy, pipeline: str) -> Document:
    """Return one objective; what others are to blame for is no part of its total."""
    chosen = f'pipeline="{pipeline}", zone="{objective.zone}", indicator="{objective.indicator}"'
    good = f'sum(increase({OBJECTIVE_UNITS.name}{{{chosen}, outcome="good"}}[1m]))'
    total = f'sum(increase({OBJECTIVE_UNITS.name}{{{chosen}, outcome!="inherited"}}[1m]))'
    service = _name(objective.zone, pipeline)
    name = f"{service}-{objective.indicator}"
    target = min(objective.target, 1.0 - BUDGET_LEAST)  # all of them is more than may be promised
    return _document(
        "SLO",
        name,
        {
            "description": f"{objective.zone}: {objective.promise}",
            "service": service,
            "indicator": {
                "metadata": {"name": f"{name}-ratio"},
                "spec": {
                    "ratioMetric": {"counter": False, "good": _query(good), "total": _query(total)}
                },
            },
            "timeWindow": [
                {"duration": shorthand(objective.period_days * DAY_S), "isRolling": True}
            ],
            "budgetingMethod": "Occurrences",
            "objectives": [{"displayName": objective.promise, "target": target}],
            "alertPolicies": [{"alertPolicyRef": _policy_name(rate)} for rate in policy.burn_rates],
        },
    )


def _query(query: str) -> Document:
    """Return a metric that a query of Prometheus gives."""
    return {
        "metricSource": {"metricSourceRef": SOURCE, "type": "Prometheus", "spec": {"query": query}}
    }


def _alert_policy(rate: BurnRatePolicy) -> Document:
    """Return an alert by burn rate, of its long window: OpenSLO has no second one."""
    window, name = shorthand(rate.long_s), _policy_name(rate)
    condition: Document = {
        "kind": "AlertCondition",
        "metadata": {"name": name},
        "spec": {
            "description": f"The budget burns {rate.times:g} times too fast over {window}",
            "severity": "page",
            "condition": {
                "kind": "burnrate",
                "op": "gt",
                "threshold": rate.times,
                "lookbackWindow": window,
                "alertAfter": AFTER,
            },
        },
    }
    return _document(
        "AlertPolicy",
        name,
        {
            "description": f"Page: the budget burns {rate.times:g} times too fast over {window}",
            "alertWhenNoData": False,
            "alertWhenBreaching": True,
            "alertWhenResolved": True,
            "conditions": [condition],
            "notificationTargets": [{"targetRef": TARGET}],
        },
    )


def _policy_name(rate: BurnRatePolicy) -> str:
    """Return the name of the alert of a burn rate."""
    return f"burn-rate-{shorthand(rate.long_s)}"


def shorthand(seconds: float) -> str:
    """Return a time as OpenSLO writes it: a whole number of days, hours or minutes.

    >>> shorthand(30 * 86_400), shorthand(1.5 * 86_400), shorthand(21_600), shorthand(1)
    ('30d', '36h', '6h', '1m')
    """
    minutes = max(1, round(seconds / 60))
    for size, unit in ((1_440, "d"), (60, "h")):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"


def _name(zone: str, pipeline: str) -> str:
    """Return a zone's name as OpenSLO takes it, a DNS label with room for what comes after it.

    Another pipeline may have a zone of that name.
    """
    plain = f"{pipeline}--{zone}".replace("_", "-")
    if len(plain) <= NAME_MAX and not plain.endswith("-"):
        return plain
    told_apart = hashlib.sha256(f"{pipeline}.{zone}".encode()).hexdigest()[:7]
    return f"{plain[: NAME_MAX - 8].rstrip('-')}-{told_apart}"
