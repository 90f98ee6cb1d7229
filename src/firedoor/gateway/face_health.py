"""Whether a gateway lives, and whether it should be sent requests.

It is ready when every service has been ready once and one of them is: a new gateway waits for all
its models, and one service that breaks later does not take the others out of the balance. What is
wrong is said either way; ``/readyz/SERVICE`` tells of one alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from firedoor.gateway.face_request import OK, UNAVAILABLE
from firedoor.gateway.http_message import Response, error_response, json_response
from firedoor.gateway.services import Service, ServiceFacts

_DRAINING: Final = "it is ending: requests under way are finished, and no more are taken"


class Health:
    """What is said to those who ask."""

    def __init__(
        self, services: Sequence[Service], *, gateway: str, draining: Callable[[], bool]
    ) -> None:
        """Know the services."""
        self._services = services
        self._gateway = gateway
        self._draining = draining
        self._seen: set[str] = set()
        """Services that have been ready."""

    def live(self) -> Response:
        """Say that the process works: whatever is wrong, starting it anew would not help."""
        return json_response(OK, {"live": True, "gateway": self._gateway})

    def ready(self) -> Response:
        """Say whether to send requests here, and how each service is."""
        ready, because, facts = self._judge()
        said = {
            "ready": ready,
            "because": because,
            "gateway": self._gateway,
            "services": {name: _service(told) for name, told in facts.items()},
        }
        return json_response(OK if ready else UNAVAILABLE, said)

    def v2_ready(self) -> Response:
        """Say the same as the protocol has it."""
        ready, because, _ = self._judge()
        if ready:
            return json_response(OK, {"ready": True})
        return json_response(UNAVAILABLE, {"ready": False, "error": because})

    def service_ready(self, service: Service) -> Response:
        """Say how one service is."""
        facts = self._facts(service)
        ready = facts.ready and not self._draining()
        return json_response(OK if ready else UNAVAILABLE, _service(facts) | {"ready": ready})

    def v2_model(self, service: Service, version: str) -> Response:
        """Say whether a model answers, or one version of it."""
        metadata = service.metadata(version)
        if metadata is None:
            return self.no_version(service, version)
        ready = metadata.ready and not self._draining()
        said: dict[str, object] = {"name": service.name, "ready": ready}
        if not ready:
            said["error"] = service.facts().because or f"{service.name} is not ready"
        return json_response(OK if ready else UNAVAILABLE, said)

    def no_version(self, service: Service, version: str) -> Response:
        """Say that there is no such version, and which there are."""
        metadata = service.metadata()
        versions = metadata.versions if metadata is not None else ()
        there = ", ".join(versions) or "none"
        return error_response(
            404, f"there is no version {version!r} of {service.name} here; there are: {there}"
        )

    def _judge(self) -> tuple[bool, str, dict[str, ServiceFacts]]:
        """Return whether to send requests here, why not, and how each service is."""
        facts = {service.name: self._facts(service) for service in self._services}
        awaited = [name for name in facts if name not in self._seen]
        broken = [f"{name}: {told.because}" for name, told in facts.items() if not told.ready]
        if self._draining():
            return False, _DRAINING, facts
        if awaited or len(broken) == len(facts):
            return False, "; ".join(broken) or "there is no service", facts
        return True, "; ".join(broken), facts

    def _facts(self, service: Service) -> ServiceFacts:
        """Return how a service is, and remember that it was ready."""
        facts = service.facts()
        if facts.ready:
            self._seen.add(service.name)
        return facts


def _service(facts: ServiceFacts) -> dict[str, object]:
    """Return how a service is, for people."""
    return {
        "ready": facts.ready,
        "because": facts.because,
        "mode": facts.mode,
        "weight": facts.weight,
        "generation": facts.generation,
        "variants": {
            variant.name: {"arm": variant.arm, "state": variant.state, "because": variant.because}
            for variant in facts.variants
        },
    }
