"""Samples as OpenTelemetry's metrics: totals since the process began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, cast

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)

from firedoor.events import metrics
from firedoor.events.metrics import Sample, Spread

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

POINTS_MAX = 20_000
UNKNOWN = cast("float", None)
"""Left out by the encoder: totals do not say the least and the greatest."""


def metrics_of(
    samples: Iterable[Sample],
    *,
    pipeline: str,
    resource: Resource,
    scope: InstrumentationScope,
    began_ns: int,
    now_ns: int,
) -> MetricsData:
    """Return samples as what an exporter takes.

    Args:
        samples: of any number of metrics.
        pipeline: whose they are: an attribute of each point, as Prometheus has it.
        resource: who tells.
        scope: what made them.
        began_ns: when counting began, in nanoseconds since 1970.
        now_ns: the time now, likewise.
    """
    found: dict[str, list[Sample]] = {}
    for count, sample in enumerate(samples):
        if count >= POINTS_MAX:
            break
        found.setdefault(sample.metric.name, []).append(sample)
    whose = {metrics.PIPELINE: pipeline} if pipeline else {}
    told = [_metric(group, whose, began_ns, now_ns) for group in found.values()]
    scoped = ScopeMetrics(scope=scope, metrics=told, schema_url="")
    of = ResourceMetrics(resource=resource, scope_metrics=[scoped], schema_url="")
    return MetricsData(resource_metrics=[of])


def _metric(samples: list[Sample], whose: Mapping[str, str], began_ns: int, now_ns: int) -> Metric:
    """Return one metric with all its points."""
    about = samples[0].metric
    data: Sum | Gauge | Histogram
    if about.kind == "histogram":
        data = Histogram(
            data_points=[_spread(sample, whose, began_ns, now_ns) for sample in samples],
            aggregation_temporality=AggregationTemporality.CUMULATIVE,
        )
    else:
        points = [
            NumberDataPoint(
                attributes=_attributes(sample, whose),
                start_time_unix_nano=began_ns,
                time_unix_nano=now_ns,
                value=sample.value,
            )
            for sample in samples
            if not isinstance(sample.value, Spread)
        ]
        data = (
            Gauge(data_points=points)
            if about.kind == "gauge"
            else Sum(
                data_points=points,
                aggregation_temporality=AggregationTemporality.CUMULATIVE,
                is_monotonic=True,
            )
        )
    return Metric(name=about.otlp_name, description=about.help, unit=about.unit, data=data)


def _spread(
    sample: Sample, whose: Mapping[str, str], began_ns: int, now_ns: int
) -> HistogramDataPoint:
    """Return the point of a histogram."""
    spread = sample.value
    assert isinstance(spread, metrics.Spread), sample.metric.name
    return HistogramDataPoint(
        attributes=_attributes(sample, whose),
        start_time_unix_nano=began_ns,
        time_unix_nano=now_ns,
        count=sum(spread.counts),
        sum=spread.total,
        bucket_counts=list(spread.counts),
        explicit_bounds=list(sample.metric.bounds),
        min=UNKNOWN,
        max=UNKNOWN,
    )


def _attributes(sample: Sample, whose: Mapping[str, str]) -> dict[str, str]:
    """Return the labels that are not empty: an empty one is as good as none."""
    named = zip(sample.metric.labels, sample.labels, strict=True)
    return {name: value for name, value in named if value} | dict(whose)
