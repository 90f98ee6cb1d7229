"""Good answers that are kept for the fallback ladder."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from firedoor.guards.fallback import Kept, Previous, Rung, Stale

Arguments = tuple[tuple[object, ...], dict[str, object]]


FUNCTIONS_MAX = 64
"""Functions whose latest answer is kept, where one guard is called with several."""


class Memory:
    """The latest good answer, and the latest by request, bounded; the longest unused go first.

    An answer belongs to its function: two of them behind one guard never answer for each other.
    Arguments that are equal and of different types (1, 1.0, True) are different requests.
    """

    __slots__ = ("_any_request", "_kept", "_keys_max", "_lock", "_previous", "_stale")

    def __init__(self, rungs: tuple[Rung, ...]) -> None:
        """Keep what the rungs may ask for."""
        self._stale = next((rung for rung in rungs if isinstance(rung, Stale)), None)
        previous = [rung for rung in rungs if isinstance(rung, Previous)]
        self._previous = bool(previous)
        self._any_request = any(rung.any_request for rung in previous)
        requests = 0 if self._stale is None else self._stale.keys_max
        self._keys_max = requests + FUNCTIONS_MAX * self._previous
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def needed(rungs: tuple[Rung, ...]) -> bool:
        """Return whether any rung looks back."""
        return any(isinstance(rung, Stale | Previous) for rung in rungs)

    def keep(self, arguments: Arguments, value: object, now_s: float, *, skip: int = 0) -> None:
        """Keep a good answer. The first ``skip`` arguments are the function, not the request."""
        kept = Kept(value, now_s)
        keys = [key for key in self._keys(arguments, skip) if key is not None]
        with self._lock:
            for key in keys:
                self._kept[key] = kept
                self._kept.move_to_end(key)
            while len(self._kept) > self._keys_max:
                self._kept.popitem(last=False)

    def find(self, arguments: Arguments, *, skip: int = 0) -> tuple[Kept | None, Kept | None]:
        """Return the latest good answer to the same request, and to any, of the same function."""
        same, latest = self._keys(arguments, skip)
        with self._lock:
            return self._used(same), self._used(latest)

    def _used(self, key: Hashable | None) -> Kept | None:
        """Return what is kept under a key, which is used once more."""
        kept = None if key is None else self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    def _keys(self, arguments: Arguments, skip: int) -> tuple[Hashable | None, Hashable | None]:
        """Return the key of the request and that of its function; None: it has none."""
        args, kwargs = arguments
        who, asked = args[:skip], args[skip:]
        alike = self._any_request or not (asked or kwargs)
        latest = ("latest", who) if self._previous and alike else None
        if self._stale is None:
            return None, _hashed(latest)
        try:
            if self._stale.key is not None:
                same = _hashed(("key", who, self._stale.key(*asked, **kwargs)))
            else:
                named = tuple(sorted(kwargs.items()))
                types = tuple(map(type, asked)), tuple(type(value) for _, value in named)
                same = _hashed(("arguments", who, asked, named, types))
        except TypeError:  # the user's key could not make one of it
            same = None
        return same, _hashed(latest)


def _hashed(key: Hashable | None) -> Hashable | None:
    """Return a key that can be one; None for one with something in it that cannot be hashed."""
    try:
        hash(key)
    except TypeError:
        return None
    return key
