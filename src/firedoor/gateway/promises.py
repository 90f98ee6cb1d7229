"""What the services of one gateway keep of their promises, said each second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firedoor.events.objective import Objectives
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.gateway.services import Service
from firedoor.ports.clock import Clock


class Promises:
    """Reads promises from counts. Used from one event loop."""

    def __init__(
        self,
        services: Sequence[Service],
        counts: Mapping[str, ServiceCounts],
        *,
        gateway: str,
        clock: Clock,
    ) -> None:
        """Begin; ``gateway`` is the name of this process."""
        self._services, self._counts = services, counts
        self._gateway, self._clock = gateway, clock
        self._boot = f"{clock.utc_s():.3f}"
        self._begun: set[str] = set()
        """Services that were ready once: before, nobody was promised anything."""

    def look(self) -> list[Objectives]:
        """Count the time since the last look, and return what was kept so far, of each service."""
        return [self._look(service) for service in self._services]

    def _look(self, service: Service) -> Objectives:
        """Do so for one service."""
        facts, counts = service.facts(), self._counts[service.name]
        if facts.ready:
            self._begun.add(service.name)
        state = "ready" if facts.ready else "switched_off" if facts.ordered else "not_ready"
        unjudged = facts.ordered or service.name not in self._begun
        counts.look(self._clock.now_s(), ready=None if unjudged else facts.ready)
        return counts.objectives(
            service.name, process=self._gateway, boot=self._boot, at_s=self._clock.utc_s(),
            state=state, unjudged=unjudged,
        )  # fmt: skip
