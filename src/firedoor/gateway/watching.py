"""Whoever listens to the requests of a gateway, and what it is told of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from firedoor.events.trace import is_sampled
from firedoor.events.work import RequestAnswered
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.face_counts import ServiceCounts
from firedoor.ports.telemetry import Telemetry


class Seen(NamedTuple):
    """A request that somebody wants to see."""

    request: Request
    """With its trace."""
    parent: str
    """``traceparent`` under which it came."""
    began_s: float
    """UTC."""


class Watch:
    """Tells of requests whose traces are sampled. A gateway without a listener has none."""

    __slots__ = ("_left", "_most", "_second", "_telemetry", "_utc_s")

    def __init__(
        self, telemetry: Telemetry, utc_s: Callable[[], float], *, own_a_s: int | None = None
    ) -> None:
        """Tell a listener.

        Args:
            telemetry: is told.
            utc_s: returns seconds since 1970.
            own_a_s: traces that may begin here in a second; None: as many as are sampled. Of
                requests that bring a trace it is who began that who decides.
        """
        self._telemetry, self._utc_s = telemetry, utc_s
        self._most = self._left = own_a_s
        self._second = 0

    def see(self, request: Request, parent: str) -> Seen | None:
        """Return a request as it is to be answered; None: nobody wants to see it."""
        utc_s = self._utc_s()
        if self._most is not None and not is_sampled(parent) and not self._begins(int(utc_s)):
            return None
        trace = self._telemetry.begin(parent)
        if not is_sampled(trace):
            return None
        return Seen(request._replace(trace=trace), parent, utc_s)

    def _begins(self, second: int) -> bool:
        """Return whether another trace may begin in a second."""
        if second != self._second:
            self._second, self._left = second, self._most
        if not self._left:
            return False
        self._left -= 1
        return True

    def tell(
        self, service: str, seen: Seen, answer: Answer, seconds: float, counts: ServiceCounts
    ) -> None:
        """Tell of one that was answered."""
        request = seen.request
        self._telemetry.request(
            RequestAnswered(
                service=service, id=answer.prediction or answer.id, began_s=seen.began_s,
                seconds=seconds, rows=answer.rows, status=answer.status, arm=answer.arm,
                version=answer.version, degraded=answer.degraded,
                fate=counts.fate(answer, seconds), cause=answer.cause, ran=answer.ran,
                traceparent=request.trace, parent=seen.parent, source=request.source,
            )
        )  # fmt: skip
