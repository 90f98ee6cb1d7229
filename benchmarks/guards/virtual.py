"""Virtual time for libraries that read the clock themselves: imported before any of them.

``time.monotonic``, ``time.time`` and ``datetime`` answer with the time of the virtual event loop
that runs. Only for a process that does nothing else.
"""

import asyncio
import datetime as dt
import time

from firedoor.testing.loop import EPOCH_S


def now_s() -> float:
    """Return the virtual time; 0 where no loop runs."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - the quickest way, and None outside a loop
    return loop.time() if loop is not None else 0.0


class VirtualDatetime(dt.datetime):
    """A datetime whose present is virtual."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "VirtualDatetime":
        """Return the virtual present."""
        return cls.fromtimestamp(EPOCH_S + now_s(), tz)

    @classmethod
    def utcnow(cls) -> "VirtualDatetime":
        """Return the virtual present, naive."""
        return cls.fromtimestamp(EPOCH_S + now_s(), dt.UTC).replace(tzinfo=None)


def install() -> None:
    """Make time virtual in this process."""
    time.monotonic = now_s
    time.time = now_s
    dt.datetime = VirtualDatetime  # type: ignore[misc]
