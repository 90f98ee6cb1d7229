"""Samples in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from firedoor.events.metrics import PIPELINE, Metric, Sample, Spread

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
SAMPLES_MAX = 20_000
"""Of one answer; what comes after them is left out, so that no zone can make it endless."""


def expose(samples: Iterable[Sample], *, pipeline: str = "") -> bytes:
    """Return samples as Prometheus reads them, a metric's together, in the order of its first.

    Args:
        samples: of any number of metrics.
        pipeline: whose they are: a further label of each; empty: nobody has to tell them apart.
    """
    whose = f'{PIPELINE}="{_escaped(pipeline)}"' if pipeline else ""
    families: dict[str, list[str]] = {}
    for sample in itertools.islice(samples, SAMPLES_MAX):
        metric = sample.metric
        family = families.get(metric.name)
        if family is None:
            family = families[metric.name] = _head(metric)
        assert len(sample.labels) == len(metric.labels), metric.name
        named = zip(metric.labels, sample.labels, strict=True)
        told = [f'{name}="{_escaped(value)}"' for name, value in named]
        labels = ",".join([*told, whose] if whose else told)
        if isinstance(sample.value, Spread):
            family += _histogram(metric, labels, sample.value)
        else:
            family.append(f"{metric.name}{{{labels}}} {_number(sample.value)}")
    lines = itertools.chain.from_iterable(families.values())
    return ("\n".join(lines) + "\n").encode() if families else b""


def _head(metric: Metric) -> list[str]:
    """Return the lines that come before a metric's samples."""
    told = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    return [f"# HELP {metric.name} {told}", f"# TYPE {metric.name} {metric.kind}"]


def _histogram(metric: Metric, labels: str, spread: Spread) -> list[str]:
    """Return the lines of a histogram, whose buckets add up."""
    assert len(spread.counts) == len(metric.bounds) + 1, metric.name
    lines, total = [], 0
    before = f"{labels}," if labels else ""
    for bound, count in zip((*metric.bounds, math.inf), spread.counts, strict=True):
        total += count
        lines.append(f'{metric.name}_bucket{{{before}le="{_number(bound)}"}} {total}')
    lines.append(f"{metric.name}_sum{{{labels}}} {_number(spread.total)}")
    lines.append(f"{metric.name}_count{{{labels}}} {total}")
    return lines


def _escaped(text: str) -> str:
    """Return a label's value as the format has it."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    """Return a number as Prometheus reads it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
