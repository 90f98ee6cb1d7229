"""What drills want of the services of one gateway, heard beside what else it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from firedoor.compose.drilled_service import DrilledService
from firedoor.compose.injection import Injection
from firedoor.compose.service_faults import ServiceFaults
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import Place
from firedoor.drill.lease import POLL_S, PREFIX
from firedoor.drill.permission import Environment
from firedoor.ports.clock import Clock
from firedoor.spec.service_plan import ServicePlan

if TYPE_CHECKING:
    from firedoor.ports.streams import Streams

PLACES: tuple[Place, ...] = ("gateway", "replica", "link")


class GatewayFaults:
    """Injects what drills want of a gateway's services. Used from one event loop."""

    def __init__(
        self,
        services: Mapping[str, ServicePlan],
        drilled: Mapping[str, DrilledService],
        *,
        process: str,
        environment: Callable[[], Environment],
        champion: Callable[[str], str],
        deafen: Callable[[str], Callable[[], None]],
        absolve: Callable[[str, str], None],
        clock: Clock,
    ) -> None:
        """Begin with nothing.

        Args:
            services: by name.
            drilled: what of each can be reached.
            process: name of the gateway.
            environment: says in which one it runs, as far as that is known by now.
            champion: as ``ServiceFaults``.
            deafen: likewise.
            absolve: likewise.
            clock: likewise.
        """
        self._clock, self._environment = clock, environment
        self._again_s = 0.0
        self._services = {
            name: ServiceFaults(
                name,
                drilled[name],
                Injection(
                    name, "service", clock, process=process, places=PLACES, drills=plan.drills
                ),
                champion=champion,
                deafen=deafen,
                absolve=absolve,
                clock=clock,
            )
            for name, plan in services.items()
        }

    def export(self) -> None:
        """Have faults of the collector be injected here, too: this gateway exports."""
        for service in self._services.values():
            service.injection.offer("exporter")

    # ---- asked by the thread that exports, see ``adapters.otel.collector_link``

    def now(self, at: Place) -> Fault | None:
        """Return the fault that is to be injected at this place now: what is exported is of all."""
        return next((fault for one in self._injections if (fault := one.now(at))), None)

    def hit(self, count: int = 1) -> None:
        """Count what it hit."""
        for one in self._injections:
            if one.now("exporter"):
                one.hit(count)

    def over(self, fault: str) -> bool:
        """Return whether a fault is not injected any more."""
        return all(one.over(fault) for one in self._injections)

    @property
    def _injections(self) -> Iterator[Injection]:
        return (service.injection for service in self._services.values())

    # ---- asked by the feed

    async def look(self, streams: Streams) -> None:
        """Do what is wanted now, and say what is done, if it is time to look again.

        Raises:
            StreamsUnavailable: if the broker does not answer: leases run out here.
        """
        now_s = self._clock.now_s()
        if now_s < self._again_s:
            return
        self._again_s = now_s + POLL_S
        said = await streams.beats(PREFIX)
        environment = self._environment()
        for name, service in self._services.items():
            service.injection.environment = environment
            service.injection.hear(said.get(f"{PREFIX}{name}"))
            service.apply()
            await service.injection.say(streams)
