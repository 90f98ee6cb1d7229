"""Plain rows on their way from a head that was let in to an answer that is sent.

What depends on the head alone is found once for all requests that have the same. Where nobody
listens to requests, nothing here knows of traces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.face_counts import OK, ServiceCounts
from firedoor.gateway.face_rows import rows_response, whole_rows
from firedoor.gateway.http_message import Begin, Endpoint, Reply, Response
from firedoor.gateway.services import Service
from firedoor.gateway.watching import Watch


class Counter(Protocol):
    """Answers and counts. See ``Face``."""

    def __call__(self, service: Service, request: Request, parent: str) -> Awaitable[Answer]:
        """Have a request answered, and count it; ``parent`` is the caller's ``traceparent``."""
        ...


def plain_endpoint(
    service: Service,
    counts: ServiceCounts,
    like: Request,
    *,
    answer: Counter,
    now_s: Callable[[], float],
    parent: str,
    watch: Watch | None,
) -> Endpoint:
    """Return who answers bodies behind one head.

    Args:
        service: that answers.
        counts: its.
        like: a request as the head says, without a body.
        answer: answers in a task, and counts.
        now_s: seconds that never jump.
        parent: the caller's ``traceparent``.
        watch: who is told of requests; None: nobody listens.
    """

    async def handle(body: bytes) -> Response:
        return rows_response(await answer(service, like._replace(body=body), parent))

    begin = _beginning(service, counts, like, now_s, parent, watch)
    return Endpoint(handle, service.limits.body_bytes, begin=begin)


def _beginning(
    service: Service,
    counts: ServiceCounts,
    like: Request,
    now_s: Callable[[], float],
    parent: str,
    watch: Watch | None,
) -> Begin:
    """Return what begins to answer a body without a task."""
    form, _, *rest = like
    after, most = tuple(rest), service.limits.concurrency

    def begin(body: bytes, reply: Reply) -> bool:
        if counts.in_flight >= most:
            return False
        began_s, request = now_s(), Request._make((form, body, *after))
        seen = None if watch is None else watch.see(request, parent)
        if seen is not None:
            request = seen.request

        def answered(answer: Answer) -> None:
            counts.in_flight -= 1
            seconds = now_s() - began_s
            counts.answered(answer, seconds)
            if seen is not None and watch is not None:
                watch.tell(service.name, seen, answer, seconds, counts)
            lines = reply.lines
            if lines and answer.status == OK:
                reply.wrote(whole_rows(answer, lines))
            else:
                reply.answered(rows_response(answer))

        counts.in_flight += 1
        begun = service.begin(request, answered)
        counts.in_flight -= not begun
        return begun

    return begin
