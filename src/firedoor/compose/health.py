"""Liveness and readiness of one zone over HTTP, for what schedules processes.

``/livez`` answers 200 as long as the process does its work, a halted zone's included: starting it
anew would not help. ``/readyz`` answers 200 while batches go through, 503 and why otherwise.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from firedoor.errors import DeclarationError
from firedoor.wire.records import ZoneStatus

HOST = "127.0.0.1"
REQUEST_S = 5.0
REQUEST_BYTES = 8_192
READY = frozenset({"running", "throttled", "done"})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a zone."""

    zone: str
    ok: bool
    state: str
    cause: str = ""


Status = Callable[[], ZoneStatus | None]
"""Returns what is known of the zone; None before its runner has begun."""


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


@asynccontextmanager
async def served(port: int, zone: str, status: Status, *, host: str = HOST) -> AsyncIterator[int]:
    """Serve while the block is at work; give the port, a free one for 0.

    Raises:
        OSError: if the port is taken, or the host is none of this machine.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await reader.readuntil(b"\r\n")
                writer.write(_respond(request, zone, status()))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked has gone, or asks too slowly or for too much
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


async def offered(
    stack: AsyncExitStack, port: int, zone: str, status: Status, *, host: str = ""
) -> None:
    """Serve as long as a stack is at work, and print where; on loopback, if no host is named.

    Raises:
        DeclarationError: if the port is taken, or the host is none of this machine.
    """
    host = host or HOST
    try:
        chosen = await stack.enter_async_context(served(port, zone, status, host=host))
    except OSError as error:
        why = f"cannot be listened to ({error.strerror})"
        remedy = "end what listens there, or give 0 for any free port"
        raise DeclarationError("health", f"{host}:{port}", why, remedy) from error
    sys.stdout.write(f"health: http://{host}:{chosen}/readyz\n")
    sys.stdout.flush()


def _respond(request: bytes, zone: str, status: ZoneStatus | None) -> bytes:
    """Return the response to the first line of a request."""
    words = request.split()
    path = words[1].decode("ascii", "replace").partition("?")[0] if len(words) > 1 else ""
    found = judge(path, zone, status)
    if found is None:
        code, body = "404 Not Found", b'{"paths":["/livez","/readyz"]}'
    else:
        code = "200 OK" if found.ok else "503 Service Unavailable"
        body = msgspec.json.encode(found)
    head = f"HTTP/1.1 {code}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body
