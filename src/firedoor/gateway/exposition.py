"""What a gateway tells of itself in metrics: see ``events.metrics``, where each is written down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from firedoor.events import metrics
from firedoor.events.metrics import BY_NAME, Metric, Sample, Spread
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.gateway.services import Sample as Told
from firedoor.gateway.services import ServiceFacts

SAMPLES_MAX = 1_000
"""Of what a service tells besides."""


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


def samples_of(
    gateway: str,
    process: ProcessFacts,
    services: Mapping[str, tuple[ServiceCounts, ServiceFacts]],
    further: Iterable[Sample] = (),
) -> Iterator[Sample]:
    """Yield all metrics of a gateway.

    Args:
        gateway: its name: gateways that share a port are told apart by it.
        process: what it uses.
        services: what was counted of each, and how it is.
        further: what else is told, of the promises of its services.
    """
    for name, (counts, facts) in services.items():
        of = (gateway, name)
        yield from _requests(of, counts)
        yield from _route(of, facts)
        yield from _variants(of, facts)
        for told in facts.samples[:SAMPLES_MAX]:
            yield Sample(metric_of(told), (*of, *(value for _, value in told.labels)), told.value)
    yield from _log(gateway, [facts for _, facts in services.values()])
    yield from _process(gateway, process)
    yield from further


def metric_of(told: Told) -> Metric:
    """Return the metric of a number that a service tells besides."""
    name = f"firedoor_{told.name}{'_total' if told.kind == 'counter' else ''}"
    labels = ("gateway", "service", *(name for name, _ in told.labels))
    return BY_NAME.get(name) or Metric(name, told.kind, "1", labels, told.help)


def _requests(of: tuple[str, str], counts: ServiceCounts) -> Iterator[Sample]:
    """Tell what became of requests."""
    for (arm, status, degraded), count in counts.requests.items():
        yield Sample(metrics.REQUESTS, (*of, arm, str(status), degraded), count)
    bounds = metrics.REQUEST_SECONDS.bounds
    both = zip(counts.took.between(bounds), counts.failed.between(bounds), strict=True)
    spread = Spread(tuple(a + b for a, b in both), counts.seconds)
    yield Sample(metrics.REQUEST_SECONDS, of, spread)
    yield Sample(metrics.ROWS, of, counts.rows)
    yield Sample(metrics.IN_FLIGHT, of, counts.in_flight)


def _route(of: tuple[str, str], facts: ServiceFacts) -> Iterator[Sample]:
    """Tell what is followed, and how much room there is."""
    yield Sample(metrics.SERVICE_READY, of, float(facts.ready))
    yield Sample(metrics.ROUTE_GENERATION, of, facts.generation)
    yield Sample(metrics.ROUTE_WEIGHT, of, facts.weight)
    yield Sample(metrics.CONCURRENCY, of, facts.limit)
    if facts.lease_age_s is not None:
        yield Sample(metrics.LEASE_AGE, of, facts.lease_age_s)
    yield Sample(metrics.SHED, of, facts.shed)


def _variants(of: tuple[str, str], facts: ServiceFacts) -> Iterator[Sample]:
    """Tell how each version is that is held."""
    for one in facts.variants:
        version = (*of, one.name, one.arm)
        yield Sample(metrics.VARIANT_STATE, (*version, one.state), 1)
        yield Sample(metrics.VARIANT_WORKERS, version, one.replicas)
        yield Sample(metrics.VARIANT_WAITING, version, one.waiting)
        yield Sample(metrics.VARIANT_MEMORY, version, one.memory_bytes)
        for cause, count in sorted(one.deaths.items()):
            yield Sample(metrics.WORKER_DEATHS, (*version, cause), count)


def _log(gateway: str, told: Sequence[ServiceFacts]) -> Iterator[Sample]:
    """Tell of the prediction log: the services of a gateway share what writes it."""
    written = max((facts.log_written for facts in told), default=0)
    yield Sample(metrics.LOG_WRITTEN, (gateway,), written)
    dropped = max((facts.log_dropped for facts in told), default=0)
    yield Sample(metrics.LOG_DROPPED, (gateway,), dropped)


def _process(gateway: str, facts: ProcessFacts) -> Iterator[Sample]:
    """Tell what the process uses, by the names that everybody knows."""
    yield Sample(metrics.PROCESS_CPU, (gateway,), facts.cpu_s)
    yield Sample(metrics.PROCESS_MEMORY, (gateway,), facts.memory_bytes)
    yield Sample(metrics.PROCESS_START, (gateway,), facts.started_s)
    yield Sample(metrics.CONNECTIONS, (gateway,), facts.connections)
    for status, count in sorted(facts.refusals.items()):
        yield Sample(metrics.HTTP_REFUSED, (gateway, str(status)), count)
