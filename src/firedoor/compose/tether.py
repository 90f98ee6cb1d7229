"""End with whoever holds the other end of standard input, however that one ends.

A pipe whose writer is gone reads as end of file, after SIGKILL as well. A thread waits for that, so
that it works while the event loop is busy or user code hangs.
"""

from __future__ import annotations

import asyncio
import os
import threading

GONE_CODE = 75
"""Exit code of a process that ended because its parent did: EX_TEMPFAIL."""


def tie(loop: asyncio.AbstractEventLoop | None = None, go: asyncio.Event | None = None) -> None:
    """End this process at once when standard input ends.

    Args:
        loop: whose event is set.
        go: set by the first line that comes.
    """
    watch = threading.Thread(target=_watch, args=(loop, go), name="tether", daemon=True)
    watch.start()


def _watch(loop: asyncio.AbstractEventLoop | None, go: asyncio.Event | None) -> None:
    """Read until the end."""
    while True:
        try:
            said = os.read(0, 64)
        except OSError:
            said = b""
        if not said:
            os._exit(GONE_CODE)
        if loop is not None and go is not None and b"\n" in said:
            loop.call_soon_threadsafe(go.set)
