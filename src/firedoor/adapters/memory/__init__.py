"""Streams in memory: the reference of ``ports.streams``, for tests and simulated worlds."""

from firedoor.adapters.memory.journal import MemoryJournal
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import Link, MemoryStreams

__all__ = ["Link", "MemoryJournal", "MemoryStore", "MemoryStreams"]
