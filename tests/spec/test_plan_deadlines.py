"""When batches of a source are late: by the promise that is hardest to keep of those they reach."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from firedoor.spec.plan import EdgePlan, Plan, ZonePlan

CUT_S = 1_000.0


def plan_of(promises: Mapping[str, float], *edges: str) -> Plan:
    names = list(dict.fromkeys(name for edge in edges for name in edge.split(":")))
    zones = [
        ZonePlan(
            name=name,
            kind="transform",
            owner="me",
            version="1",
            slo={"freshness_s": promises[name]} if name in promises else {"availability": 0.99},
        )
        for name in names
    ]
    pairs = [edge.split(":") for edge in edges]
    return Plan(
        pipeline="p",
        owner="me",
        file="/p.py",
        sys_path=(),
        zones=tuple(zones),
        edges=tuple(EdgePlan(publisher=first, reader=second) for first, second in pairs),
    )


@pytest.mark.parametrize(
    ("promises", "expected"),
    [
        ({}, None),
        ({"store": 60.0}, 1_060.0),
        ({"store": 60.0, "clean": 5.0}, 1_005.0),
        ({"intake": 2.0, "store": 60.0}, 1_002.0),
        ({"elsewhere": 1.0}, None),
        ({"elsewhere": 1.0, "post": 30.0}, 1_030.0),
    ],
)
def test_a_batch_is_late_by_the_hardest_promise_of_the_zones_that_it_reaches(
    promises: Mapping[str, float], expected: float | None
) -> None:
    edges = ("other:elsewhere", "intake:clean", "clean:store", "clean:post")
    assert plan_of(promises, *edges).deadline_s("intake", CUT_S) == expected
