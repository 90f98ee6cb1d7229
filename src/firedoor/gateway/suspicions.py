"""Requests that workers died of, lately.

A version finds out by itself whether it is the request that kills (``ports.variants``), and answers
copies of a guilty one without running them. What is left to the path: other versions run it alone
as well, and only its first death in a version is evidence against that version. Bounded by number
and age, so that a million poisonous requests cost no more than ten thousand.
"""

from __future__ import annotations

from collections import OrderedDict

KEPT_MAX = 10_000
KEPT_S = 600.0
VERSIONS_MAX = 8
"""Of which a request is remembered to have killed workers."""


class Suspicions:
    """Versions by request."""

    __slots__ = ("died_of",)

    def __init__(self) -> None:
        """Begin knowing of none."""
        self.died_of: OrderedDict[bytes, tuple[float, tuple[str, ...]]] = OrderedDict()
        """When, and of which versions; mostly empty, which each request asks."""

    def __bool__(self) -> bool:
        """Return whether any request is known."""
        return bool(self.died_of)

    def __len__(self) -> int:
        """Return how many requests are known."""
        return len(self.died_of)

    def suspect(self, mark: bytes, now_s: float) -> bool:
        """Return whether a worker died of this request lately: it is run alone."""
        return bool(self.died_of) and bool(self._versions(mark, now_s))

    def known(self, version: str, mark: bytes, now_s: float) -> bool:
        """Return whether a worker of this version did."""
        return bool(self.died_of) and version in self._versions(mark, now_s)

    def died(self, version: str, mark: bytes, now_s: float) -> None:
        """Note a death."""
        versions = self._versions(mark, now_s)
        if version not in versions:
            versions = (*versions, version)[-VERSIONS_MAX:]
        self.died_of[mark] = (now_s, versions)
        self.died_of.move_to_end(mark)
        if len(self.died_of) > KEPT_MAX:
            self.died_of.popitem(last=False)

    def cleared(self, version: str, mark: bytes) -> None:
        """Note that a version has answered it, alone: it was only in the same batch."""
        at_s, versions = self.died_of.get(mark, (0.0, ()))
        left = tuple(one for one in versions if one != version)
        if left:
            self.died_of[mark] = (at_s, left)
        else:
            self.died_of.pop(mark, None)

    def _versions(self, mark: bytes, now_s: float) -> tuple[str, ...]:
        """Return of which versions it killed workers, if that is not too long ago."""
        at_s, versions = self.died_of.get(mark, (now_s, ()))
        if now_s - at_s <= KEPT_S:
            return versions
        del self.died_of[mark]
        return ()
