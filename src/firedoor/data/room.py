"""A room that batches share, or one has for itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """Lets in many at once, or one alone: a batch whose runner died twice must harm no other.

    Who wants to be alone goes first, so that it is not starved.
    """

    def __init__(self) -> None:
        """Open it, empty."""
        self._inside = 0
        self._alone = 0
        """Batches that are alone inside, or want to be."""
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def entered(self, *, alone: bool) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        if alone:
            await self._enter_alone()
        else:
            await self._enter()
        try:
            yield
        finally:
            self._inside -= 1
            self._alone -= alone
            self._wake()

    async def _enter(self) -> None:
        """Come in when nobody is alone inside, or wants to be."""
        while self._alone:
            await self._changed.wait()
        self._inside += 1

    async def _enter_alone(self) -> None:
        """Come in when nobody is inside."""
        self._alone += 1
        try:
            while self._inside:
                await self._changed.wait()
        except asyncio.CancelledError:
            self._alone -= 1
            self._wake()  # those who let it go first
            raise
        self._inside += 1

    def _wake(self) -> None:
        """Let those who wait look again."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
