"""The table of metrics: names as Prometheus wants them, labels that are known and bounded."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from firedoor.events import metrics
from firedoor.events.metrics import BY_NAME, LABELS, PIPELINE, TABLE, Metric

ALL = pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)


def test_each_metric_is_there_once() -> None:
    assert [name for name, times in Counter(m.name for m in TABLE).items() if times > 1] == []
    assert list(BY_NAME) == [metric.name for metric in TABLE]
    named = {each for each in vars(metrics).values() if isinstance(each, Metric)}
    assert named == set(TABLE), "a metric is declared and not in the table"


@ALL
def test_a_name_says_what_prometheus_expects_of_it(metric: Metric) -> None:
    assert re.fullmatch(r"(firedoor|process)_[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    bare = metric.name.removesuffix("_total")
    assert bare.endswith("_seconds") == (metric.unit == "s")
    assert bare.endswith("_bytes") == (metric.unit == "By")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert list(metric.bounds) == sorted(set(metric.bounds))


@ALL
def test_every_label_is_known_and_says_how_many_values_it_may_have(metric: Metric) -> None:
    assert set(metric.labels) <= set(LABELS)
    assert len(set(metric.labels)) == len(metric.labels)
    assert "le" not in metric.labels
    assert metric.help.endswith(".")


def test_no_label_is_known_that_nothing_has() -> None:
    used = {label for metric in TABLE for label in metric.labels} | {"le", PIPELINE}
    assert used == set(LABELS)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (metrics.REQUESTS, "firedoor.requests"),
        (metrics.REQUEST_SECONDS, "firedoor.request"),
        (metrics.ZONE_MEMORY, "firedoor.zone_memory"),
        (metrics.ZONE_STEP, "firedoor.zone_step"),
        (metrics.ZONE_BREAKERS, "firedoor.zone_breakers"),
    ],
)
def test_a_collector_that_writes_prometheus_names_makes_the_same_of_the_otlp_name(
    metric: Metric, name: str
) -> None:
    assert metric.otlp_name == name
    unit = {"s": "_seconds", "By": "_bytes"}.get(metric.unit, "")
    total = "_total" if metric.kind == "counter" else ""
    assert name.replace(".", "_") + unit + total == metric.name
