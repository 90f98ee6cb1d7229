"""Liveness, readiness and metrics of one zone over HTTP, for what schedules and watches processes.

``/livez`` answers 200 as long as the process does its work, a halted zone's included: starting it
anew would not help. ``/readyz`` answers 200 while batches go through, 503 and why otherwise.
``/metrics`` answers with what Prometheus scrapes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import msgspec

from firedoor.compose.small_http import HOST, Reply, answering
from firedoor.errors import DeclarationError
from firedoor.events.exposition import CONTENT_TYPE
from firedoor.wire.records import ZoneStatus

READY = frozenset({"running", "throttled", "done"})
TEXT = CONTENT_TYPE.decode()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a zone."""

    zone: str
    ok: bool
    state: str
    cause: str = ""


Status = Callable[[], ZoneStatus | None]
"""Returns what is known of the zone; None before its runner has begun."""
Metrics = Callable[[], bytes]


def judge(path: str, zone: str, status: ZoneStatus | None) -> Answer | None:
    """Return the answer to a path, None if there is nothing there.

    A zone whose outlet is full is ready: it waits for room, as it should.
    """
    state = "starting" if status is None else status.state
    cause = "" if status is None else status.cause
    match path:
        case "/livez":
            return Answer(zone=zone, ok=True, state=state, cause=cause)
        case "/readyz":
            waits = state == "blocked" and status is not None and status.code != "broker_away"
            return Answer(zone=zone, ok=state in READY or waits, state=state, cause=cause)
        case _:
            return None


def served(
    port: int, zone: str, status: Status, *, host: str = HOST, metrics: Metrics = bytes
) -> AbstractAsyncContextManager[int]:
    """Serve while the block is at work; give the port, a free one for 0.

    Args:
        port: where.
        zone: whose health it is.
        status: returns what is known of it.
        host: where, likewise.
        metrics: returns them as text.

    Raises:
        OSError: if the port is taken, or the host is none of this machine.
    """

    async def respond(path: str) -> Reply:
        if path == "/metrics":
            return Reply("200 OK", metrics(), TEXT)
        found = judge(path, zone, status())
        if found is None:
            return Reply("404 Not Found", b'{"paths":["/livez","/readyz","/metrics"]}')
        return Reply(
            "200 OK" if found.ok else "503 Service Unavailable", msgspec.json.encode(found)
        )

    return answering(port, respond, host=host)


async def offered(
    stack: AsyncExitStack,
    port: int,
    zone: str,
    status: Status,
    *,
    host: str = "",
    metrics: Metrics = bytes,
) -> None:
    """Serve as long as a stack is at work, and print where; on loopback, if no host is named.

    Raises:
        DeclarationError: if the port is taken, or the host is none of this machine.
    """
    host = host or HOST
    try:
        serving = served(port, zone, status, host=host, metrics=metrics)
        chosen = await stack.enter_async_context(serving)
    except OSError as error:
        why = f"cannot be listened to ({error.strerror})"
        remedy = "end what listens there, or give 0 for any free port"
        raise DeclarationError("health", f"{host}:{port}", why, remedy) from error
    sys.stdout.write(f"health: http://{host}:{chosen}/readyz\n")
    sys.stdout.flush()
