"""OpenTelemetry's variables mean what its specification says, and nonsense is told of."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased

from firedoor.adapters.otel.wishes import Sampling, wishes_of

AT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.mark.parametrize(
    ("environ", "signals"),
    [
        ({}, set()),
        (AT, {"traces", "metrics", "logs"}),
        ({**AT, "OTEL_SDK_DISABLED": "true"}, set()),
        ({**AT, "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}, {"traces"}),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, {"traces"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a/v1/traces"}, {"traces"}),
        ({**AT, "OTEL_TRACES_EXPORTER": "zipkin"}, {"metrics", "logs"}),
    ],
)
def test_what_is_told_is_what_somebody_asks_for(environ: dict[str, str], signals: set[str]) -> None:
    assert wishes_of(environ).signals == signals


@pytest.mark.parametrize(
    "environ",
    [
        {**AT, "OTEL_TRACES_EXPORTER": "zipkin"},
        {**AT, "OTEL_TRACES_SAMPLER": "sometimes"},
        {**AT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "half"},
        {**AT, "OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"},
        {**AT, "OTEL_BSP_MAX_QUEUE_SIZE": "0"},
        {**AT, "OTEL_METRIC_EXPORT_INTERVAL": "soon"},
        {**AT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_what_cannot_be_meant_is_told_of_and_does_not_end_anything(environ: dict[str, str]) -> None:
    found = wishes_of(environ)
    (complaint,) = found.complaints
    assert complaint.startswith("OTEL_")


def test_numbers_are_milliseconds_as_the_specification_has_them() -> None:
    found = wishes_of(
        {**AT, "OTEL_BSP_SCHEDULE_DELAY": "250", "OTEL_METRIC_EXPORT_INTERVAL": "1500",
         "OTEL_BSP_MAX_QUEUE_SIZE": "7", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "3"}
    )  # fmt: skip
    assert (found.spans_s, found.metrics_s) == (0.25, 1.5)
    assert (found.spans_max, found.batch_max) == (7, 3)


@pytest.mark.parametrize(
    ("name", "argument", "sampling"),
    [
        ("", "", Sampling()),
        ("always_on", "", Sampling(parent_based=False)),
        ("always_off", "", Sampling(parent_based=False, share=0.0)),
        ("traceidratio", "0.25", Sampling(parent_based=False, share=0.25)),
        ("parentbased_always_off", "", Sampling(share=0.0)),
        ("parentbased_traceidratio", "0.5", Sampling(share=0.5)),
    ],
)
def test_samplers_have_their_names(name: str, argument: str, sampling: Sampling) -> None:
    environ = {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    assert wishes_of({**AT, **environ}).sampling == sampling


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_same_traces_are_seen_as_by_the_sdk_s_sampler(share: float) -> None:
    theirs = ParentBased(TraceIdRatioBased(share))
    ours = Sampling(share=share)
    for number in range(200):
        trace = number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128
        seen = theirs.should_sample(None, trace, "any").decision is Decision.RECORD_AND_SAMPLE
        assert ours.begins(trace) == seen
