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

    __slots__ = ("_died",)

    def __init__(self) -> None:
        """Begin knowing of none."""
        self._died: OrderedDict[bytes, tuple[float, tuple[str, ...]]] = OrderedDict()

    def __bool__(self) -> bool:
        """Return whether any request is known."""
        return bool(self._died)

    def __len__(self) -> int:
        """Return how many requests are known."""
        return len(self._died)

    def suspect(self, mark: bytes, now_s: float) -> bool:
        """Return whether a worker died of this request lately: it is run alone."""
        return bool(self._died) and bool(self._versions(mark, now_s))

    def known(self, version: str, mark: bytes, now_s: float) -> bool:
        """Return whether a worker of this version did."""
        return bool(self._died) and version in self._versions(mark, now_s)

    def died(self, version: str, mark: bytes, now_s: float) -> None:
        """Note a death."""
        versions = self._versions(mark, now_s)
        if version not in versions:
            versions = (*versions, version)[-VERSIONS_MAX:]
        self._died[mark] = (now_s, versions)
        self._died.move_to_end(mark)
        if len(self._died) > KEPT_MAX:
            self._died.popitem(last=False)

    def cleared(self, version: str, mark: bytes) -> None:
        """Note that a version has answered it, alone: it was only in the same batch."""
        at_s, versions = self._died.get(mark, (0.0, ()))
        left = tuple(one for one in versions if one != version)
        if left:
            self._died[mark] = (at_s, left)
        else:
            self._died.pop(mark, None)

    def _versions(self, mark: bytes, now_s: float) -> tuple[str, ...]:
        """Return of which versions it killed workers, if that is not too long ago."""
        at_s, versions = self._died.get(mark, (now_s, ()))
        if now_s - at_s <= KEPT_S:
            return versions
        del self._died[mark]
        return ()
