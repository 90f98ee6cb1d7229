"""Events of work as spans: one for a batch or request, one below it for each run in a worker.

Workers are sealed and can tell nobody. Their spans are told by the process that they work for, with
their ``process.pid``. Names of attributes are OpenTelemetry's where it has one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from firedoor.events.trace import Place, read
from firedoor.events.work import BatchWorked, Ran, RequestAnswered

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

TEXT_MAX = 200
"""Characters of a signature."""
EVENTS_MAX = 64
SERVER_ERROR = 500
SPAN_IDS = 64
"""Bits."""

_KINDS = {"process": SpanKind.CONSUMER, "cut": SpanKind.PRODUCER, "job": SpanKind.INTERNAL}
Value = str | int | float | bool | Sequence[str]


class Spans:
    """Makes spans for one process."""

    def __init__(
        self, resource: Resource, scope: InstrumentationScope, chance: random.Random
    ) -> None:
        """Take who tells, and what ids are drawn from."""
        self._resource = resource
        self._scope = scope
        self._chance = chance

    def of_batch(self, worked: BatchWorked) -> Iterator[ReadableSpan]:
        """Yield the spans of a batch."""
        place = read(worked.traceparent)
        if place is None:
            return
        began_ns = _ns(worked.began_s)
        ended_ns = began_ns + _ns(worked.seconds)
        bad = worked.fate == "bad"
        yield self._span(
            f"{_does(worked)} {worked.zone}",
            place,
            parent=read(worked.parent),
            kind=_KINDS[_does(worked)],
            began_ns=began_ns,
            ended_ns=ended_ns,
            attributes=_of_batch(worked),
            events=_happened(worked, ended_ns),
            error=(worked.trouble or "bad") if bad else "",
        )
        name = f"{'read' if worked.origin else 'run'} {worked.zone}"
        yield from self._runs(name, place, worked.ran, {"firedoor.zone": worked.zone})

    def of_request(self, answered: RequestAnswered) -> Iterator[ReadableSpan]:
        """Yield the spans of a request."""
        place = read(answered.traceparent)
        if place is None:
            return
        began_ns = _ns(answered.began_s)
        failed = answered.status >= SERVER_ERROR
        yield self._span(
            f"predict {answered.service}",
            place,
            parent=read(answered.parent),
            kind=SpanKind.SERVER,
            began_ns=began_ns,
            ended_ns=began_ns + _ns(answered.seconds),
            attributes=_of_request(answered),
            error=str(answered.status) if failed else "",
        )
        about = {"firedoor.service": answered.service, "firedoor.model.version": answered.version}
        yield from self._runs(f"run {answered.service}", place, answered.ran, about)

    def _runs(
        self, name: str, place: Place, ran: Sequence[Ran], about: Mapping[str, Value]
    ) -> Iterator[ReadableSpan]:
        """Yield a span for each run in a worker."""
        for run in ran:
            began_ns = _ns(run.began_s)
            attributes: dict[str, Value] = {**about, "firedoor.rows": run.rows}
            if run.pid:
                attributes["process.pid"] = run.pid
            if run.died_of:
                attributes["error.type"] = run.died_of
            yield self._span(
                name,
                Place(place.trace, self._chance.getrandbits(SPAN_IDS) or 1, place.sampled),
                parent=place,
                kind=SpanKind.INTERNAL,
                began_ns=began_ns,
                ended_ns=began_ns + _ns(run.seconds),
                attributes=attributes,
                error=run.died_of,
            )

    def _span(
        self,
        name: str,
        place: Place,
        *,
        parent: Place | None,
        kind: SpanKind,
        began_ns: int,
        ended_ns: int,
        attributes: Mapping[str, Value],
        events: Sequence[Event] = (),
        links: Sequence[Link] = (),
        error: str = "",
    ) -> ReadableSpan:
        """Return one span."""
        return ReadableSpan(
            name=name,
            context=_context(place),
            parent=None if parent is None else _context(parent, remote=True),
            resource=self._resource,
            attributes=dict(attributes),
            events=events,
            links=links,
            kind=kind,
            status=Status(StatusCode.ERROR, error) if error else Status(StatusCode.UNSET),
            start_time=began_ns,
            end_time=ended_ns,
            instrumentation_scope=self._scope,
        )


def _does(worked: BatchWorked) -> str:
    """Return in a word what was done with a batch; that of a job is its run."""
    if worked.edge:
        return "process"
    return "cut" if worked.origin else "job"


def _of_batch(worked: BatchWorked) -> dict[str, Value]:
    """Return what is told of a batch."""
    told: dict[str, Value] = {
        "firedoor.zone": worked.zone,
        "firedoor.batch": worked.batch,
        "firedoor.fate": worked.fate,
        "firedoor.rows.in": worked.rows_in,
        "firedoor.rows.out": worked.rows_out,
        "firedoor.rows.dead": sum(died.rows for died in worked.dead),
        "firedoor.rows.dropped": worked.dropped,
        "firedoor.rows.shed": worked.shed,
    }
    if worked.edge:
        told |= {
            "messaging.system": "nats",
            "messaging.operation.type": "process",
            "messaging.destination.name": worked.edge,
            "messaging.message.id": worked.batch,
            "firedoor.waited_s": worked.waited_s,
            "firedoor.deliveries": worked.deliveries,
        }
    if worked.origin:
        told["firedoor.origin"] = worked.origin
    if worked.models:
        told["firedoor.models"] = worked.models
    if worked.cause:
        told["firedoor.cause"] = worked.cause
    if worked.trouble:
        told["error.type"] = worked.trouble
    return told


def _of_request(answered: RequestAnswered) -> dict[str, Value]:
    """Return what is told of a request."""
    told: dict[str, Value] = {
        "firedoor.service": answered.service,
        "firedoor.prediction": answered.id,
        "firedoor.fate": answered.fate,
        "firedoor.rows.in": answered.rows,
        "firedoor.arm": answered.arm,
        "firedoor.model.version": answered.version,
        "http.request.method": "POST",
        "http.response.status_code": answered.status,
    }
    if answered.source:
        told["firedoor.source"] = answered.source
    if answered.degraded:
        told["firedoor.degraded"] = answered.degraded
    if answered.cause:
        told["firedoor.cause"] = answered.cause
    if answered.status >= SERVER_ERROR:
        told["error.type"] = str(answered.status)
    return told


def _happened(worked: BatchWorked, ended_ns: int) -> list[Event]:
    """Return what happened on the way: dead letters, runs and deliveries that came to nothing."""
    events = [
        Event(
            "dead_letters",
            {
                "firedoor.code": died.code,
                "firedoor.signature": died.signature[:TEXT_MAX],
                "firedoor.rows": died.rows,
            },
            ended_ns,
        )
        for died in worked.dead
    ]
    events += [
        Event("retry", {"firedoor.cause": cause, "firedoor.times": times}, ended_ns)
        for cause, times in worked.attempts
    ]
    if worked.deliveries > 1:
        told = {"firedoor.deliveries": worked.deliveries}
        events.append(Event("redelivered", told, _ns(worked.began_s)))
    return events[:EVENTS_MAX]


def _context(place: Place, *, remote: bool = False) -> SpanContext:
    """Return a place as the SDK writes it."""
    flags = TraceFlags(TraceFlags.SAMPLED if place.sampled else TraceFlags.DEFAULT)
    return SpanContext(place.trace, place.span, is_remote=remote, trace_flags=flags)


def _ns(seconds: float) -> int:
    """Return seconds as whole nanoseconds."""
    return int(seconds * 1e9)
