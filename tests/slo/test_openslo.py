"""OpenSLO definitions are what its specification has, and refer to what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from firedoor.events.metrics import BY_NAME
from firedoor.slo.objective import Objective
from firedoor.slo.openslo import openslo
from firedoor.slo.policy import AlertPolicy, BurnRatePolicy
from slo.openslo_rules import NotOpenSLO, check_document
from slo.test_exports import OBJECTIVES, metrics_in

yaml = pytest.importorskip("yaml", reason="PyYAML reads what is written; it is not installed")
URL = "http://prometheus:9090"
ODD = (
    Objective(zone="all", kind="sink", indicator="availability", target=1.0),
    Objective(zone="none", kind="sink", indicator="availability", target=0.0),
    Objective(zone="a_" + "b" * 80, kind="job", indicator="latency", target=0.99, bound_s=0.001),
    Objective(
        zone="odd", kind="source", indicator="freshness", target=0.99, bound_s=60, period_days=1.3,
        owner='a "b": {{ c }} #', runbook="https://example.com/a?b=c#d",
    ),
)  # fmt: skip


def documents(
    objectives: Sequence[Objective], policy: AlertPolicy | None = None
) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(openslo(objectives, policy, pipeline="flights", url=URL)))


@pytest.mark.parametrize("objectives", [OBJECTIVES, ODD], ids=["usual", "odd"])
def test_every_document_is_what_the_specification_has(objectives: Sequence[Objective]) -> None:
    found = documents(objectives)
    for document in found:
        check_document(document)
    assert len([one for one in found if one["kind"] == "SLO"]) == len(objectives)


def test_windows_of_any_policy_are_whole_minutes_hours_or_days() -> None:
    rates = (BurnRatePolicy(times=2, long_s=5_400, short_s=1), BurnRatePolicy(
        times=3, long_s=12.5, short_s=2,
    ))  # fmt: skip
    for document in documents(OBJECTIVES, AlertPolicy(burn_rates=rates)):
        check_document(document)


@pytest.mark.parametrize(
    ("kind", "field", "value", "why"),
    [
        ("SLO", "objectives", [{"target": 1.0}], "is not from 0 to below 1"),
        ("SLO", "timeWindow", [{"duration": "1.5d", "isRolling": True}], "does not match"),
        ("SLO", "alertPolicies", ["burn-rate-1h"], "is no object"),
        ("SLO", "service", "A_b", "does not match"),
        ("AlertPolicy", "alertWhenNoData", "no", "is none of"),
        ("Service", "owner", "ann", "is not known"),
    ],
)
def test_what_is_none_is_refused(kind: str, field: str, value: object, why: str) -> None:
    document = next(one for one in documents(OBJECTIVES) if one["kind"] == kind)
    document["spec"][field] = value
    with pytest.raises(NotOpenSLO, match=why):
        check_document(document)


def test_definitions_refer_to_what_there_is() -> None:
    names: dict[str, set[str]] = {}
    found = documents(OBJECTIVES)
    for document in found:
        kind, name = document["kind"], document["metadata"]["name"]
        assert name not in names.setdefault(kind, set())
        names[kind].add(name)
    for slo in (document["spec"] for document in found if document["kind"] == "SLO"):
        assert slo["service"] in names["Service"]
        assert {one["alertPolicyRef"] for one in slo["alertPolicies"]} <= names["AlertPolicy"]
        ratio = slo["indicator"]["spec"]["ratioMetric"]
        for part in ("good", "total"):
            source = ratio[part]["metricSource"]
            assert source["metricSourceRef"] in names["DataSource"]
            assert metrics_in(source["spec"]["query"]) <= set(BY_NAME)
    for policy in (document["spec"] for document in found if document["kind"] == "AlertPolicy"):
        targets = {one["targetRef"] for one in policy["notificationTargets"]}
        assert targets <= names["AlertNotificationTarget"]


def test_zones_of_two_pipelines_with_one_name_are_two_services() -> None:
    other = yaml.safe_load_all(openslo(OBJECTIVES, pipeline="trips", url=URL))
    named = [
        {one["metadata"]["name"] for one in found if one["kind"] in {"SLO", "Service"}}
        for found in (documents(OBJECTIVES), list(other))
    ]
    assert named[0].isdisjoint(named[1])
    assert "flights--enrich-availability" in named[0]


def test_long_names_stay_apart_and_within_what_their_readers_take() -> None:
    zones = ["a" * 60, "a" * 59 + "b", "a_", "a", "a_" + "b" * 50]
    odd = [
        Objective(zone=zone, kind="sink", indicator="availability", target=0.9) for zone in zones
    ]
    found = documents(odd)
    names = [one["metadata"]["name"] for one in found if one["kind"] in {"SLO", "Service"}]
    assert len(set(names)) == 2 * len(zones)
    for document in found:
        check_document(document)
