"""Values of features as they were fetched, by key: the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from firedoor.wire.fetching import Scalar

ENTRY_BYTES = 256
"""About what an entry takes beside its key and its texts."""
VALUE_BYTES = 64
"""About what a value takes, with the time at which it was fetched."""


class Kept(NamedTuple):
    """What is known of one key, a value a column."""

    values: tuple[Scalar, ...]
    """None: the store had none."""
    at_s: tuple[float | None, ...]
    """When each was asked for; None: never with success."""


class FeatureCache:
    """Bounded by entries and by bytes."""

    def __init__(self, *, entries_max: int, bytes_max: int) -> None:
        """Begin empty."""
        self.bytes = 0
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._kept: OrderedDict[bytes, tuple[Kept, int]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._kept)

    def get(self, key: bytes) -> Kept | None:
        """Return what is known of a key, which is used by that."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: bytes, kept: Kept) -> None:
        """Keep what is known of a key; others go for it."""
        texts = sum(len(value) for value in kept.values if isinstance(value, str))
        size = ENTRY_BYTES + len(key) + texts + VALUE_BYTES * len(kept.values)
        before = self._kept.pop(key, None)
        if before is not None:
            self.bytes -= before[1]
        if size > self._bytes_max:
            return
        self._kept[key] = kept, size
        self.bytes += size
        while len(self._kept) > self._entries_max or self.bytes > self._bytes_max:
            _, (_, gone) = self._kept.popitem(last=False)
            self.bytes -= gone
