"""The server: sockets, time limits of clients, and an end that loses no answer."""

from __future__ import annotations

import asyncio
import email.utils
import random
import socket
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from firedoor.gateway.http_connection import Connection
from firedoor.gateway.http_hub import Client
from firedoor.gateway.http_leaving import SETTLE_S, let_nobody_in
from firedoor.gateway.http_message import KEEP, Application, HttpLimits
from firedoor.gateway.http_reading import Heads
from firedoor.gateway.identity import Identities
from firedoor.ports.clock import Clock

BACKLOG = 1_024
TICK_S = 0.5
"""Between two looks at whose time is over, at most."""
DRAINING_TICK_S = 0.02
MADE_HERE = "http"
"""In ids of requests that came to no service, in place of a gateway's name."""
PARTING_S = 1.0
"""How long a connection without a request is left open at the end: a request may be on its way."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the quickest event loop that is installed: uvloop's, or else Python's."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def bind(host: str, port: int, *, shared: bool = True) -> socket.socket:
    """Return a socket that is bound, and does not listen yet.

    Args:
        host: an address of this machine, ``127.0.0.1`` or ``::1``.
        port: 0: a free one.
        shared: whether other processes of this user may listen there besides. The kernel spreads
            connections over those that listen. Without it, a port that anybody uses is refused.

    Raises:
        OSError: if the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


def _waiting(opened: socket.socket) -> list[socket.socket]:
    """Return the connections that nobody has taken yet."""
    taken: list[socket.socket] = []
    while len(taken) < BACKLOG:
        try:
            client, _ = opened.accept()
        except OSError:
            break
        client.settimeout(0)
        taken.append(client)
    return taken


class HttpServer:
    """Answers HTTP/1.1 by an application. Used as ``async with``, which ends it gracefully."""

    def __init__(
        self,
        application: Application,
        *,
        limits: HttpLimits,
        clock: Clock,
        failed: Callable[[Exception], None],
    ) -> None:
        """Listen nowhere yet.

        Args:
            application: what stands behind it.
            limits: what clients may use.
            clock: for time limits and dates.
            failed: is told of exceptions that the application did not mean.
        """
        self.application = application
        self.limits = limits
        self.tasks = asyncio.TaskGroup()
        self.connections: set[Client] = set()
        self.heads = Heads()
        self.date = self.lines = b""
        self.idle_until_s = 0.0
        self.draining = False
        self.under_way = 0
        self.held_bytes = 0
        self.refusals: Counter[int] = Counter()
        """Requests that never came to the application, by status."""
        self.failed = failed
        self.now_s = clock.now_s
        self._clock = clock
        self._ids = Identities(MADE_HERE, random.SystemRandom())
        self._listening: list[tuple[asyncio.Server, socket.socket]] = []
        self._tick: asyncio.TimerHandle | None = None
        self._parted = asyncio.Event()
        self.parting_s = min(PARTING_S, limits.drain_s / 4)
        self._tick_s = max(0.01, min(TICK_S, limits.body_s / 4, limits.idle_s / 4))

    async def __aenter__(self) -> Self:
        """Begin to keep time."""
        await self.tasks.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what is under way, at most ``drain_s``, and cut the rest."""
        try:
            await self.drain()
        finally:
            if self._tick is not None:
                self._tick.cancel()
            for connection in tuple(self.connections):
                connection.abort()
            await self.tasks.__aexit__(kind, error, trace)

    async def listen(self, opened: socket.socket) -> int:
        """Answer what comes to a bound socket, and return its port. The server closes it."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), sock=opened, backlog=BACKLOG)
        self._listening.append((server, opened))
        return int(opened.getsockname()[1])

    async def drain(self) -> None:
        """Take no further connection, answer what was asked, and wait until everybody has gone.

        Each answer from here on closes its connection. Returns after ``drain_s`` at the latest.
        """
        self.draining, self.lines = True, b""
        leaving = [let_nobody_in(opened) for _, opened in self._listening]
        if any(leaving):
            await self._clock.wait(SETTLE_S)
        # Whoever the kernel has let in already is taken first, since closing would reset them. That
        # nothing comes between the two, nothing is awaited between them.
        taken: list[socket.socket] = []
        for server, opened in self._listening:
            taken += _waiting(opened)
            server.close()
        self._listening.clear()
        loop = asyncio.get_running_loop()
        for client in taken:
            await loop.connect_accepted_socket(lambda: Connection(self), client)
        parting_s = self.now_s() + self.parting_s
        for connection in self.connections:
            connection.part(parting_s)
        # Not at once: those that were taken a moment ago are not among the connections yet.
        self._look_again(DRAINING_TICK_S)
        try:
            async with asyncio.timeout(self.limits.drain_s):
                await self._parted.wait()
        except TimeoutError:
            pass

    def make_id(self) -> str:
        """Return an id for a request that has none: nobody but its caller knows it."""
        return self._ids.make(self._clock.utc_s())

    def refused(self, status: int) -> None:
        """Count a request that never came to the application."""
        self.refusals[status] += 1

    def _look(self) -> None:
        """Cut clients whose time is over, and look again in a while."""
        now_s = self.now_s()
        self.idle_until_s = now_s + self.limits.idle_s + self._tick_s
        date = f"Date: {email.utils.formatdate(self._clock.utc_s(), usegmt=True)}\r\n".encode()
        if date != self.date:  # else it stays the very same, and so does what is made of it
            self.date, self.lines = date, b"" if self.draining else date + KEEP
        for connection in tuple(self.connections):
            if connection.until_s <= now_s:
                connection.expire()
        if self.draining and not self.connections:
            self._parted.set()
        self._look_again(DRAINING_TICK_S if self.draining else self._tick_s)

    def _look_again(self, wait_s: float) -> None:
        """Look in a while, and not before."""
        if self._tick is not None:
            self._tick.cancel()
        self._tick = asyncio.get_running_loop().call_later(wait_s, self._look)
