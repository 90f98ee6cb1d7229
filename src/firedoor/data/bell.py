"""Wake whoever waits for something to change."""

from __future__ import annotations

import asyncio


class Bell:
    """Rings for those who wait at that moment; who looks, then waits, misses nothing between.

    That holds because nothing else runs between a look and a wait that no ``await`` divides.
    """

    def __init__(self) -> None:
        """Hang it."""
        self._event = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self, within_s: float) -> bool:
        """Return when it rings (True), or after ``within_s`` (False)."""
        event = self._event
        try:
            async with asyncio.timeout(max(0.0, within_s)):
                await event.wait()
        except TimeoutError:
            return False
        return True
