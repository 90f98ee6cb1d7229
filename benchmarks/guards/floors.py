"""The least that a breaker can be in Python, written by hand: what the others are compared with."""

import itertools
import time
from collections.abc import Callable
from typing import Any

Work = Callable[..., Any]


class FloorOpen(Exception):
    """The floor refuses."""


class Floor:
    """Two clock readings, a slow call told from a good one, and an atomic count."""

    __slots__ = ("good", "open", "slow", "slow_s")

    def __init__(self) -> None:
        """Begin closed."""
        self.good = itertools.count().__next__
        self.slow = itertools.count().__next__
        self.open = False
        self.slow_s = 0.15

    def wrap(self, fn: Work) -> Work:
        """Return a plain function behind it."""
        clock = time.monotonic

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.open:
                raise FloorOpen("open")
            begun = clock()
            try:
                result = fn(*args, **kwargs)
            except Exception:
                self.slow()
                raise
            if clock() - begun > self.slow_s:
                self.slow()
            else:
                self.good()
            return result

        return guarded

    def awrap(self, fn: Work) -> Work:
        """Return an async function behind it."""
        clock = time.monotonic

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.open:
                raise FloorOpen("open")
            begun = clock()
            try:
                result = await fn(*args, **kwargs)
            except Exception:
                self.slow()
                raise
            if clock() - begun > self.slow_s:
                self.slow()
            else:
                self.good()
            return result

        return guarded
