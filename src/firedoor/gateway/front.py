"""The front of a gateway: the routes of its services, behind a server of their limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import psutil

from firedoor.events.metrics import Sample
from firedoor.gateway.exposition import ProcessFacts
from firedoor.gateway.face import Face
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.gateway.http_message import HttpLimits
from firedoor.gateway.http_server import HttpServer
from firedoor.gateway.services import Service
from firedoor.gateway.watching import Watch
from firedoor.ports.clock import Clock


def front(
    services: Sequence[Service],
    *,
    gateway: str,
    release: str,
    clock: Clock,
    failed: Callable[[Exception], None],
    limits: HttpLimits | None = None,
    counts: Mapping[str, ServiceCounts] | None = None,
    further: Callable[[], Iterable[Sample]] = tuple,
    watch: Watch | None = None,
    measure: Callable[[Callable[[], Iterable[Sample]]], None] = lambda _: None,
    pipeline: str = "",
) -> HttpServer:
    """Return a server that listens nowhere yet; used as ``async with``.

    Args:
        services: by different names.
        gateway: name of this process, for metrics and health.
        release: of firedoor, which ``GET /v2`` tells.
        clock: for time limits, durations and dates.
        failed: is told of exceptions that nobody meant; each cost one request.
        limits: what clients may use; None: as services declare, see ``HttpLimits.of``.
        counts: where answers are counted, by service; None: made here.
        further: what else is told in metrics, of the promises of services.
        watch: who is told of requests; None: nobody listens.
        measure: is given what returns all metrics.
        pipeline: whose services, for metrics.
    """
    own = psutil.Process()

    def process() -> ProcessFacts:
        times = own.cpu_times()
        return ProcessFacts(
            cpu_s=times.user + times.system,
            memory_bytes=own.memory_info().rss,
            started_s=own.create_time(),
            connections=len(server.connections),
            refusals=server.refusals,
        )

    face = Face(
        services,
        gateway=gateway,
        release=release,
        now_s=clock.now_s,
        process=process,
        draining=lambda: server.draining,
        counts=counts,
        further=further,
        watch=watch,
        pipeline=pipeline,
    )
    measure(face.samples)
    limits = limits or HttpLimits.of([service.limits for service in services])
    server = HttpServer(face, limits=limits, clock=clock, failed=failed)
    return server
