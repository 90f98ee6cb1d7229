"""Keys under suspicion: a call that had them failed, and it may be one of them and not the store.

They are asked for again in calls half as large, apart from other keys, until one is alone. A key
that fails by itself, while others are answered, is not asked for any more for a while. Where all
calls fail it is the store: nobody is suspected then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import NamedTuple

SUSPECT_S = 30.0
GUILTY_S = 60.0
ENTRIES_MAX = 10_000


class _Held(NamedTuple):
    """One key."""

    keys_max: int
    """Of a call that it may be in; 0: of none."""
    until_s: float
    answered: int
    """Calls that had been answered when it came under suspicion."""


class Suspects:
    """Bounded; the oldest are forgotten."""

    def __init__(self) -> None:
        """Begin with none."""
        self._held: OrderedDict[bytes, _Held] = OrderedDict()

    def __len__(self) -> int:
        """Return how many keys are under suspicion."""
        return len(self._held)

    def keys_max(self, key: bytes, now_s: float) -> int | None:
        """Return how many keys a call with this one may have; 0: none may; None: any number."""
        held = self._held.get(key)
        if held is None:
            return None
        if now_s >= held.until_s:
            del self._held[key]
            return None
        return held.keys_max

    def accuse(self, keys: Collection[bytes], now_s: float, answered: int) -> bool:
        """Suspect the keys of a call that failed.

        Args:
            keys: of the call.
            now_s: on any clock that does not jump.
            answered: calls that were answered so far.

        Returns:
            Whether it is their doing: each was suspected before, and others were answered since.
        """
        before = [self._held.get(key) for key in keys]
        theirs = all(held is not None and answered > held.answered for held in before)
        guilty = theirs and len(keys) == 1
        keys_max = 0 if guilty else max(1, len(keys) // 2)
        until_s = now_s + (GUILTY_S if guilty else SUSPECT_S)
        for key, held in zip(keys, before, strict=True):
            since = answered if held is None else held.answered
            self._held[key] = _Held(keys_max, until_s, since)
            self._held.move_to_end(key)
        while len(self._held) > ENTRIES_MAX:
            self._held.popitem(last=False)
        return theirs

    def acquit(self, keys: Iterable[bytes]) -> None:
        """Suspect keys no more that were answered."""
        for key in keys if self._held else ():
            self._held.pop(key, None)

    def clear(self) -> None:
        """Suspect nobody."""
        self._held.clear()
