"""The server as its connections see it, and they as it sees them."""

from __future__ import annotations

import asyncio
from typing import Protocol

from firedoor.gateway.http_message import Application, HttpLimits
from firedoor.gateway.http_reading import Heads


class Client(Protocol):
    """A connection, to who keeps its time."""

    until_s: float
    """When it is cut if nothing changes."""

    def expire(self) -> None:
        """Cut a client whose time is over."""
        ...

    def part(self, until_s: float) -> None:
        """Leave a connection without a request open no longer than that."""
        ...

    def abort(self) -> None:
        """Cut it at once."""
        ...


class Hub(Protocol):
    """The server, to a connection."""

    limits: HttpLimits
    application: Application
    tasks: asyncio.TaskGroup
    connections: set[Client]
    heads: Heads
    date: bytes
    lines: bytes
    """``date`` and that the connection goes on; empty: it does not, this is the end."""
    idle_until_s: float
    """When a connection is cut at which nothing is going on from now."""
    draining: bool
    parting_s: float
    """How long a connection without a request is left open while it drains."""
    under_way: int
    """Requests that are being answered, of those that are counted."""
    held_bytes: int
    """Of bodies, from their first byte to their answer."""

    def now_s(self) -> float:
        """Return seconds that never jump."""
        ...

    def make_id(self) -> str:
        """Return an id for a request that has none."""
        ...

    def refused(self, status: int) -> None:
        """Count a request that never came to the application."""
        ...

    def failed(self, error: Exception) -> None:
        """Take note of an exception that an endpoint did not mean."""
        ...
