"""What a gateway shows of its services: promises, metrics, and requests to whoever listens."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from firedoor.adapters.prometheus.zones import samples_of_objectives
from firedoor.compose.observed import gathered, listening
from firedoor.compose.outfit import version
from firedoor.compose.slo_files import judged
from firedoor.events.metrics import Sample
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.gateway.path import ServicePath
from firedoor.gateway.promises import Promises
from firedoor.gateway.watching import Watch
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

if TYPE_CHECKING:
    from firedoor.adapters.otel.listening import Listening
    from firedoor.compose.gateway_faults import GatewayFaults

NAME = "gateway"
"""Under which a gateway is told of to collectors: its services are in what it tells."""
SAMPLER = "OTEL_TRACES_SAMPLER"
OWN_A_S = 10
"""Traces that begin at a gateway in a second, where nobody says how many: two spans cost as much as
three requests. Those that come sampled are seen, all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """The counts of one gateway, and who is told."""

    pipeline: str
    counts: Mapping[str, ServiceCounts]
    promises: Promises
    watch: Watch | None
    """None: nobody listens."""
    judged: Callable[[], Iterable[Sample]]
    """Budgets and alerts, where a judge of services is at work beside."""
    _listening: Listening | None

    def further(self) -> Iterator[Sample]:
        """Yield what was kept of promises, as metrics, and what a judge makes of it."""
        for told in self.promises.look():
            yield from samples_of_objectives(told)
        yield from self.judged()

    def drilled_by(self, faults: GatewayFaults) -> None:
        """Have the collector be away or slow where a drill wants that, if there is one."""
        if self._listening is not None:
            self._listening.drilled_by(faults)
            faults.export()

    def measure(self, samples: Callable[[], Iterable[Sample]]) -> None:
        """Have all metrics told, if somebody listens; called in the event loop."""
        if self._listening is not None:
            self._listening.measure(gathered(asyncio.get_running_loop(), samples))


def view_of(
    stack: AsyncExitStack,
    plan: Plan,
    paths: Mapping[str, ServicePath],
    *,
    folder: Path,
    gateway: str,
    clock: Clock,
) -> GatewayView:
    """Return what a gateway shows; whoever listens is told until the stack ends.

    Args:
        stack: is closed when the process ends.
        plan: whose services.
        paths: they, by name.
        folder: ``.firedoor``, in which a judge may write.
        gateway: name of this process.
        clock: the time.
    """
    found = listening(plan.pipeline, NAME, process=gateway, clock=clock, release=version())
    if found is not None:
        stack.push_async_callback(asyncio.to_thread, found.close)
    own_a_s = None if SAMPLER in os.environ else OWN_A_S
    counts = {
        service.name: ServiceCounts(service.slo.get("latency_p99_s")) for service in plan.services
    }
    return GatewayView(
        pipeline=plan.pipeline,
        counts=counts,
        promises=Promises(list(paths.values()), counts, gateway=gateway, clock=clock),
        watch=None if found is None else Watch(found, clock.utc_s, own_a_s=own_a_s),
        judged=lambda: judged(folder, "services", now_s=clock.utc_s()),
        _listening=found,
    )
