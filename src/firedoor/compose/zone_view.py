"""What a zone's process shows of itself: its metrics, and its batches to whoever listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from firedoor.adapters.prometheus.zones import samples_of_inboxes, samples_of_zone
from firedoor.compose.observed import gathered, listening
from firedoor.compose.outfit import replica, version
from firedoor.events.exposition import expose

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from firedoor.adapters.otel.listening import Listening
    from firedoor.compose.injection import Injection
    from firedoor.data.runner import Runner
    from firedoor.data.source import SourceRunner
    from firedoor.events.metrics import Sample
    from firedoor.ports.clock import Clock
    from firedoor.spec.plan import Plan

    Known = Runner | SourceRunner | None
    """None before it has begun."""


def samples(runner: Known) -> Iterator[Sample]:
    """Yield the metrics of a zone's process; none before its runner has begun."""
    if runner is not None:
        status = runner.status()
        yield from samples_of_zone(status, runner.freshness.told())
        yield from samples_of_inboxes([status])


def exposed(runner: Known, *, pipeline: str) -> bytes:
    """Return the metrics of a zone's process as Prometheus reads them."""
    return expose(samples(runner), pipeline=pipeline)


def tell(
    stack: AsyncExitStack,
    plan: Plan,
    faults: Injection,
    runner: Callable[[], Known],
    clock: Clock,
) -> Listening | None:
    """Return whom the zone tells of its batches, and have its metrics told; None: nobody listens.

    It ends with the stack, in a thread: what waits is sent while the event loop says its metrics.

    Args:
        stack: is closed when the process ends.
        plan: the pipeline's.
        faults: what drills want of the zone; met by what it sends, too.
        runner: returns who knows.
        clock: the time.
    """
    zone = faults.zone
    found = listening(plan.pipeline, zone, process=replica(), clock=clock, release=version())
    if found is not None:
        stack.push_async_callback(asyncio.to_thread, found.close)
        found.drilled_by(faults)
        faults.offer("exporter")
        loop = asyncio.get_running_loop()
        found.measure(gathered(loop, lambda: samples(runner())))
    return found
