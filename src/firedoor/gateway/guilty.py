"""Requests that workers died of while they ran them alone: not given to that version again.

Bounded by number and age, so that a million poisonous requests cost no more than ten thousand.
"""

from __future__ import annotations

from collections import OrderedDict

GUILTY_AFTER = 2
"""Deaths alone, in fresh workers, after which a request is guilty."""
KEPT_MAX = 10_000
KEPT_S = 600.0


class Suspicions:
    """Deaths by version and request."""

    __slots__ = ("_deaths", "_known")

    def __init__(self) -> None:
        """Begin knowing of none."""
        self._deaths: OrderedDict[tuple[str, bytes], tuple[int, float]] = OrderedDict()
        self._known: dict[bytes, int] = {}

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._deaths)

    def suspect(self, mark: bytes) -> bool:
        """Return whether some version's worker died of this request lately: run it alone."""
        return bool(self._known) and mark in self._known

    def guilty(self, version: str, mark: bytes, now_s: float) -> bool:
        """Return whether this version is not to be asked."""
        if not self._known or mark not in self._known:
            return False
        deaths, at_s = self._deaths.get((version, mark), (0, now_s))
        if now_s - at_s > KEPT_S:
            self._forget((version, mark))
            return False
        return deaths >= GUILTY_AFTER

    def died(self, version: str, mark: bytes, now_s: float, *, alone: bool) -> None:
        """Note a death; only one ``alone`` speaks against the request."""
        place = (version, mark)
        deaths, _ = self._deaths.pop(place, (0, now_s))
        if not deaths and place not in self._deaths:
            self._known[mark] = self._known.get(mark, 0) + 1
        self._deaths[place] = (deaths + alone, now_s)
        while self._deaths:
            oldest = next(iter(self._deaths))
            if len(self._deaths) <= KEPT_MAX and now_s - self._deaths[oldest][1] <= KEPT_S:
                break
            self._forget(oldest)

    def _forget(self, place: tuple[str, bytes]) -> None:
        """Forget one."""
        if self._deaths.pop(place, None) is None:
            return
        left = self._known.pop(place[1], 1) - 1
        if left > 0:
            self._known[place[1]] = left
