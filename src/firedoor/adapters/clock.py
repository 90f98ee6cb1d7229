"""The machine's clocks."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Real time. See ``ports.clock.Clock``."""

    def now_s(self) -> float:
        """Return seconds that never jump."""
        return time.monotonic()

    def utc_s(self) -> float:
        """Return seconds since 1970, UTC."""
        return time.time()  # noqa: TID251 - the one place that reads the system's clock

    async def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the one place that only waits
