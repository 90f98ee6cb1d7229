"""Answer GET requests of whoever watches a process: a path in, a few bytes out, one at a time each.

Not for callers of services: those have ``gateway.http_server``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

HOST = "127.0.0.1"
REQUEST_S = 5.0
REQUEST_BYTES = 8_192
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered."""

    status: str
    """``200 OK``."""
    body: bytes
    kind: str = JSON


Respond = Callable[[str], Awaitable[Reply]]
"""Returns the answer to a path, without what follows ``?``."""


@asynccontextmanager
async def answering(port: int, respond: Respond, *, host: str = HOST) -> AsyncIterator[int]:
    """Answer while the block is at work; give the port, a free one for 0.

    Raises:
        OSError: if the port is taken, or the host is none of this machine.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await reader.readuntil(b"\r\n")
                writer.write(_encoded(await respond(_path(request))))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever asked has gone, or asks too slowly or for too much
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, port, limit=REQUEST_BYTES)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def _path(request: bytes) -> str:
    """Return the path of the first line of a request; empty: it has none."""
    words = request.split()
    return words[1].decode("ascii", "replace").partition("?")[0] if len(words) > 1 else ""


def _encoded(reply: Reply) -> bytes:
    """Return a reply as HTTP has it."""
    head = (
        f"HTTP/1.1 {reply.status}\r\nContent-Type: {reply.kind}\r\n"
        f"Content-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + reply.body
