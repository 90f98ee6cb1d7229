"""What a gateway tells Prometheus, in its text format (version 0.0.4)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from firedoor.gateway.face_counts import BUCKETS_S, ServiceCounts
from firedoor.gateway.services import ServiceFacts

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
SAMPLES_MAX = 1_000
"""Of what a service tells besides."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """What the gateway's own process and server use."""

    cpu_s: float
    memory_bytes: int
    started_s: float
    """Seconds since 1970."""
    connections: int
    refusals: Mapping[int, int]
    """Requests that the server answered by itself, by status."""


class _Families:
    """Samples by the metric that they are of, in the order of its first one."""

    def __init__(self, gateway: str) -> None:
        self._always: Labels = (("gateway", gateway),)
        self._families: dict[str, list[str]] = {}

    def add(
        self,
        name: str,
        kind: Literal["counter", "gauge", "histogram"],
        told: str,
        labels: Labels,
        value: float,
        *,
        suffix: str = "",
    ) -> None:
        """Add one sample."""
        family = self._families.get(name)
        if family is None:
            family = [f"# HELP {name} {_escaped(told, quotes=False)}", f"# TYPE {name} {kind}"]
            self._families[name] = family
        every = ",".join(f'{key}="{_escaped(text)}"' for key, text in self._always + labels)
        family.append(f"{name}{suffix}{{{every}}} {_number(value)}")

    def text(self) -> str:
        """Return all of it."""
        return "\n".join(itertools.chain.from_iterable(self._families.values())) + "\n"


def expose(
    gateway: str,
    process: ProcessFacts,
    services: Mapping[str, tuple[ServiceCounts, ServiceFacts]],
) -> bytes:
    """Return all metrics of a gateway.

    Args:
        gateway: its name: gateways that share a port are told apart by it.
        process: what it uses.
        services: what was counted of each, and how it is.
    """
    families = _Families(gateway)
    for name, (counts, facts) in services.items():
        service: Labels = (("service", name),)
        _requests(families, service, counts)
        _route(families, service, facts)
        _variants(families, service, facts)
        for sample in facts.samples[:SAMPLES_MAX]:
            metric = f"firedoor_{sample.name}{'_total' if sample.kind == 'counter' else ''}"
            families.add(metric, sample.kind, sample.help, service + sample.labels, sample.value)
    _log(families, [facts for _, facts in services.values()])
    _process(families, process)
    return families.text().encode()


def _requests(families: _Families, service: Labels, counts: ServiceCounts) -> None:
    """Tell what became of requests."""
    for series, count in counts.requests.items():
        labels = (
            *service,
            ("arm", series.arm),
            ("status", str(series.status)),
            ("degraded", series.degraded),
        )
        families.add("firedoor_requests_total", "counter", "Requests answered.", labels, count)
    name, told = "firedoor_request_seconds", "From a request's last byte to its answer."
    total = 0
    for bound, count in zip((*BUCKETS_S, None), counts.buckets, strict=True):
        total += count
        labels = (*service, ("le", "+Inf" if bound is None else _number(bound)))
        families.add(name, "histogram", told, labels, total, suffix="_bucket")
    families.add(name, "histogram", told, service, counts.seconds, suffix="_sum")
    families.add(name, "histogram", told, service, total, suffix="_count")
    families.add("firedoor_rows_total", "counter", "Rows predicted.", service, counts.rows)
    families.add(
        "firedoor_requests_in_flight", "gauge", "Requests under way.", service, counts.in_flight
    )


def _route(families: _Families, service: Labels, facts: ServiceFacts) -> None:
    """Tell how a service is."""
    for name, told, value in _gauges(facts):
        families.add(f"firedoor_{name}", "gauge", told, service, value)
    families.add(
        "firedoor_requests_shed_total", "counter", "Requests refused for lack of room.", service,
        facts.shed,
    )  # fmt: skip


def _gauges(facts: ServiceFacts) -> Iterator[tuple[str, str, float]]:
    """Yield name, sentence and value."""
    yield "service_ready", "1: a version of the model answers.", float(facts.ready)
    yield "route_generation", "Of the route that is followed.", facts.generation
    yield "route_weight", "The candidate's share of subjects, in force.", facts.weight
    yield "concurrency_limit", "Requests that may be under way; 0: no limit.", facts.limit
    if facts.lease_age_s is not None:
        yield "lease_age_seconds", "Since the control plane's heartbeat.", facts.lease_age_s


def _variants(families: _Families, service: Labels, facts: ServiceFacts) -> None:
    """Tell how each version is that is held."""
    for variant in facts.variants:
        labels = (*service, ("variant", variant.name), ("arm", variant.arm))
        families.add(
            "firedoor_variant_state", "gauge", "1: the version is in this state.",
            (*labels, ("state", variant.state)), 1,
        )  # fmt: skip
        for name, told, value in (
            ("workers", "Workers that answer.", variant.replicas),
            ("waiting", "Requests that its workers hold.", variant.waiting),
            ("memory_bytes", "Of its workers, and what they started.", variant.memory_bytes),
        ):
            families.add(f"firedoor_variant_{name}", "gauge", told, labels, value)
        for cause, count in sorted(variant.deaths.items()):
            families.add(
                "firedoor_worker_deaths_total", "counter", "Workers that died, by cause.",
                (*labels, ("cause", cause)), count,
            )  # fmt: skip


def _log(families: _Families, told: Sequence[ServiceFacts]) -> None:
    """Tell of the prediction log: the services of a gateway share what writes it."""
    for name, words, count in (
        ("written", "Predictions in the log, durably.", [facts.log_written for facts in told]),
        ("dropped", "Predictions that the log lost.", [facts.log_dropped for facts in told]),
    ):
        most = max(count, default=0)
        families.add(f"firedoor_prediction_log_{name}_total", "counter", words, (), most)


def _process(families: _Families, facts: ProcessFacts) -> None:
    """Tell what the process uses, by the names that everybody knows."""
    families.add("process_cpu_seconds_total", "counter", "User and system time.", (), facts.cpu_s)
    families.add("process_resident_memory_bytes", "gauge", "Memory in use.", (), facts.memory_bytes)
    families.add("process_start_time_seconds", "gauge", "Since 1970.", (), facts.started_s)
    families.add("firedoor_http_connections", "gauge", "Open connections.", (), facts.connections)
    for status, count in sorted(facts.refusals.items()):
        families.add(
            "firedoor_http_refused_total", "counter", "Requests the server refused by itself.",
            (("status", str(status)),), count,
        )  # fmt: skip


def _escaped(text: str, *, quotes: bool = True) -> str:
    """Return a text as a label's value or a help has it."""
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text


def _number(value: float) -> str:
    """Return a number as Prometheus reads it."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if float(value).is_integer() else repr(float(value))
