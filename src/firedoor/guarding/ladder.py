"""Good answers that are kept for the fallback ladder."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from firedoor.guards.fallback import Kept, Previous, Rung, Stale

Arguments = tuple[tuple[object, ...], dict[str, object]]


class Memory:
    """The latest good answer, and the latest by request, bounded; the longest unused go first."""

    __slots__ = ("_kept", "_keys_max", "_latest", "_lock", "_stale")

    def __init__(self, rungs: tuple[Rung, ...]) -> None:
        """Keep what the rungs may ask for."""
        self._stale = next((rung for rung in rungs if isinstance(rung, Stale)), None)
        self._keys_max = 0 if self._stale is None else self._stale.keys_max
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._latest: Kept | None = None
        self._lock = threading.Lock()

    @staticmethod
    def needed(rungs: tuple[Rung, ...]) -> bool:
        """Return whether any rung looks back."""
        return any(isinstance(rung, Stale | Previous) for rung in rungs)

    def keep(self, arguments: Arguments, value: object, now_s: float, *, skip: int = 0) -> None:
        """Keep a good answer; the user's ``key`` is not given the first ``skip`` arguments."""
        kept = Kept(value, now_s)
        self._latest = kept
        key = self._key(arguments, skip)
        if key is not None:
            with self._lock:
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > self._keys_max:
                    self._kept.popitem(last=False)

    def find(self, arguments: Arguments, *, skip: int = 0) -> tuple[Kept | None, Kept | None]:
        """Return the latest good answer to the same request, and to any."""
        key = self._key(arguments, skip)
        if key is None:
            return None, self._latest
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        return kept, self._latest

    def _key(self, arguments: Arguments, skip: int) -> Hashable | None:
        """Return what tells requests apart; None: this one cannot be told from others."""
        if self._stale is None:
            return None
        args, kwargs = arguments
        try:
            if self._stale.key is not None:
                key = ("key", self._stale.key(*args[skip:], **kwargs))
            else:
                key = ("arguments", (args, tuple(sorted(kwargs.items()))))
            hash(key)
        except TypeError:  # something in it cannot be hashed
            return None
        return key
