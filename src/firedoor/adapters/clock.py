"""The machine's clocks."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Real time. See ``ports.clock.Clock``."""

    # The functions themselves: a request reads the clock six times.
    now_s = staticmethod(time.monotonic)
    utc_s = staticmethod(time.time)  # noqa: TID251 - the one place that reads the system's clock

    async def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the one place that only waits
