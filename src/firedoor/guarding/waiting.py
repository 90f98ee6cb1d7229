"""Waiting in a thread: for a bell that another thread rings, or for time to pass."""

from __future__ import annotations

import threading
from collections.abc import Callable

from firedoor.guarding.edge import Edge


class Bell:
    """Rung once, from any thread."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        """Begin silent."""
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who waits."""
        if self._lock.locked():
            self._lock.release()

    def wait(self, seconds: float) -> bool:
        """Return when it rings, or after so many seconds."""
        return self._lock.acquire(timeout=seconds)


def sleep(edge: Edge, seconds: float) -> None:
    """Let time pass between two attempts; nothing can ring earlier."""
    if seconds > 0:
        edge.sleep(seconds)


def pass_time(seconds: float) -> None:
    """Wait in this thread; a signal handler that raises ends it."""
    threading.Event().wait(seconds)


Sleep = Callable[[float], None]
