"""Whether a worker keeps more processors busy than it may, judged by what it has used since when.

Two things are done about it, the milder one first: it yields to everybody else, and it is ended.
Each is done the sooner the further beyond its processors it is.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Beyond(NamedTuple):
    """So many times its processors, for so long."""

    window_s: float
    times: float
    parts: int = 1
    """In each of so many parts of that time: a burst that is over is none of these."""


YIELD = (Beyond(0.1, 1.25, 2), Beyond(0.5, 1.1))
"""After which a worker yields, if it is to. One thread at work, and what its interpreter does
besides, is less than 1.1."""
END = (Beyond(1.0, 1.25, 4), Beyond(2.0, 1.1))
"""After which it is ended. Where all processors are busy, who wants four gets little more than one
of two: a bound of twice its processors would be out of reach there."""
WINDOW_S = max(one.window_s for one in END)


class _Seen(NamedTuple):
    """What it had used at some time between two."""

    from_s: float
    until_s: float
    used_s: float


class Burning:
    """What one worker has used, as far back as matters."""

    __slots__ = ("_cpus", "_seen")

    def __init__(self, cpus: float) -> None:
        """Begin; it may keep ``cpus`` processors busy."""
        self._cpus = cpus
        self._seen: deque[_Seen] = deque()

    def look(self, from_s: float, until_s: float, used_s: float) -> None:
        """Take note of the CPU seconds that it has used since it began.

        They were found out between two times. A gateway that is held up meanwhile must not make
        its worker seem busier than it is: the longest span that it can have been counts.
        """
        self._seen.append(_Seen(from_s, until_s, used_s))
        while len(self._seen) > 1 and self._seen[1].until_s <= from_s - WINDOW_S:
            self._seen.popleft()

    def beyond(self, bounds: tuple[Beyond, ...]) -> Beyond | None:
        """Return which of some bounds it is beyond, for all of a time until now; None: of none."""
        return next((one for one in bounds if self._is_beyond(one)), None)

    def _is_beyond(self, bound: Beyond) -> bool:
        """Return whether it was beyond it in each part of the window that ends now."""
        later, parts = self._seen[-1], 0
        for seen in reversed(self._seen):
            if later.from_s - seen.until_s < bound.window_s / bound.parts:
                continue
            span_s = later.until_s - seen.from_s
            if later.used_s - seen.used_s <= span_s * self._cpus * bound.times:
                return False
            later, parts = seen, parts + 1
            if parts == bound.parts:
                return True
        return False
