"""Answer the control API at a port, for as long as the coroutine is not cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from firedoor.errors import DeclarationError

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE_S = 2.0
"""For requests under way, at the end."""
CONNECTIONS_MAX = 64
HEAD_BYTES = 32 * 2**10
IDLE_S = 5
REQUEST_S = 10.0
"""From one answer to the end of the next request."""


class _Patient(H11Protocol):
    """Waits so long for a request, and no longer: who sends none takes a place all the same."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first one."""
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        """Wait for the next one."""
        super().on_response_complete()
        self._await_request()

    def _await_request(self) -> None:
        """Look in a while whether head and body have come."""
        self.loop.call_later(REQUEST_S, self._look, self.cycle)

    def _look(self, before: RequestResponseCycle | None) -> None:
        """Hang up, if they have not."""
        if (self.cycle is before or self.cycle.more_body) and not self.transport.is_closing():
            self.transport.close()


class _Server(uvicorn.Server):
    """One that leaves signals to whoever runs the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


async def serve_control(
    app: FastAPI,
    host: str,
    port: int,
    *,
    shared: bool = False,
    began: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer at ``host:port`` until cancelled; 0 takes any free port.

    Args:
        app: of ``control_app``.
        host: loopback, unless something before it speaks TLS: tokens travel as they are.
        port: where.
        shared: whether somebody else of this user holds the port for it; else it has to be free.
        began: called with the address once it answers.

    Raises:
        DeclarationError: if the port cannot be had.
    """
    try:
        listening = socket.create_server((host, port), reuse_port=shared)
    except OSError as error:
        why = f"cannot be listened to ({error.strerror or error})"
        remedy = "end what listens there, or give 0 for any free port"
        raise DeclarationError("port", f"{host}:{port}", why, remedy) from error
    server = _Server(
        uvicorn.Config(
            app,
            http=_Patient,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            h11_max_incomplete_event_size=HEAD_BYTES,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=int(GRACE_S),
        )
    )
    with contextlib.closing(listening):
        began(f"http://{host}:{listening.getsockname()[1]}")
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(server.serve(sockets=[listening]))
            try:
                await asyncio.wait([serving])
            except asyncio.CancelledError:
                server.should_exit = True
                await asyncio.wait([serving], timeout=2 * GRACE_S)
                raise
