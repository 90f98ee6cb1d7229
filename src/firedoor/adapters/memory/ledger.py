"""The two books of the ledger, in memory."""

from __future__ import annotations

import math

import msgspec

from firedoor.events.happened import Happened
from firedoor.events.kinds import BOOKS, Book, book_of
from firedoor.ports.streams import Entry

HAPPENINGS_BYTES = 64 * 2**20
DAY_S = 86_400.0
Key = tuple[str, str, int]
"""Zone, process and sequence."""


class MemoryLedger:
    """What of a ``MemoryStore`` is its ledger."""

    def __init__(self) -> None:
        """Begin with both books empty."""
        self.places: dict[Book, int] = dict.fromkeys(BOOKS, 0)
        self.keeps_s = math.inf
        """Age at which happenings go."""
        self._held = 0
        """Bytes of happenings."""
        self._books: dict[Book, dict[Key, tuple[Entry, float, int]]] = {book: {} for book in BOOKS}
        """Entries in the order of writing, with when that was and their bytes."""

    def enter(self, happened: Happened, now_s: float) -> bool:
        """Keep an entry, unless it is there; the oldest happenings go for it."""
        book, key = book_of(happened.kind), (happened.zone, happened.process, happened.sequence)
        entries = self._books[book]
        if key in entries:
            return False
        self.places[book] += 1
        size = len(msgspec.json.encode(happened))
        entries[key] = Entry(self.places[book], happened), now_s, size
        self._held += size if book == "happenings" else 0
        self._expire(now_s)
        return True

    def read(self, book: Book, now_s: float) -> list[tuple[Entry, float]]:
        """Return a book: entries, and when each was written."""
        self._expire(now_s)
        return [(entry, at_s) for entry, at_s, _ in self._books[book].values()]

    def _expire(self, now_s: float) -> None:
        """Let go what is too old, or has no room."""
        entries = self._books["happenings"]
        while entries:
            key, (_, at_s, size) = next(iter(entries.items()))
            if self._held <= HAPPENINGS_BYTES and now_s - at_s <= self.keeps_s:
                break
            del entries[key]
            self._held -= size
