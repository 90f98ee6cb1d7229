"""Durable, bounded streams between zones, and what is kept beside them.

``firedoor.testing.streams_conformance`` is what an implementation has to pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from firedoor.events.happened import Happened
from firedoor.events.kinds import Book
from firedoor.spec.plan import Plan
from firedoor.wire.envelope import Envelope
from firedoor.wire.prediction import Chunk
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in an inbox."""

    messages: int
    """Delivered and not acknowledged ones included; one just acknowledged perhaps, for a moment."""
    bytes: int
    bytes_max: int
    unacknowledged: int
    oldest_s: float | None
    """When the oldest was published (UTC); None if it is empty."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a book of the ledger."""

    place: int
    """In its book, rising: where whoever follows it goes on."""
    happened: Happened


class Delivery(Protocol):
    """One batch, handed to one reader until it is acknowledged or given back."""

    @property
    def envelope(self) -> Envelope:
        """What is known of the batch. Raises ``Damaged`` if the message is not what was sent."""
        ...

    @property
    def payload(self) -> bytes:
        """The rows."""
        ...

    @property
    def edge(self) -> str:
        """``publisher:reader``."""
        ...

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this one included; from 1. Survives restarts."""
        ...

    async def ack(self) -> None:
        """Take it out of the inbox for good; returns when that is durable."""
        ...

    async def give_back(self, delay_s: float = 0.0) -> None:
        """Have it delivered again, not before ``delay_s``."""
        ...

    async def working(self) -> None:
        """Say that it is still being worked on; due at least every 10 s."""
        ...


class Inbox(Protocol):
    """The reader's end of one edge; of several processes that read it, each batch goes to one."""

    async def fetch(self, count: int, wait_s: float) -> list[Delivery]:
        """Return up to ``count`` deliveries, [] if none came within ``wait_s``.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        ...

    async def pause(self, wait_s: float) -> None:
        """Have nothing delivered for so long, to any process that reads this inbox; 0 ends it.

        It ends by itself, whatever becomes of who asked for it. What is out stays out. In a
        cluster it begins a moment after this returns.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        ...


class Streams(Protocol):
    """One pipeline's streams.

    Every method raises ``StreamsUnavailable`` if the broker is away and does not come back within
    the adapter's patience: 30 s for what writes, 2 s for what reads.
    """

    async def declare(self, plan: Plan) -> None:
        """Make what is missing; bring bounds up to date.

        Raises:
            StoreRefused: if an inbox that would go away still holds batches, or the store was
                written by another version.
        """
        ...

    def inbox(self, edge: str) -> Inbox:
        """Return the reader's end of ``publisher:reader``."""
        ...

    async def publish(self, edge: str, envelope: Envelope, payload: bytes) -> bool:
        """Put a batch into an inbox; returns when it is durable. False: it is there already.

        Raises:
            StreamFull: if it does not fit; nothing was stored.
        """
        ...

    async def depth(self, edge: str) -> Depth:
        """Return what waits in an inbox."""
        ...

    async def holds(self, edge: str, batch: str) -> bool:
        """Return whether a batch is in an inbox: it is until its reader has acknowledged it."""
        ...

    # ---- records, keyed by (zone, batch)

    async def record(self, record: BatchRecord) -> bool:
        """Keep a record; returns when it is durable. False: there is one already, which stays."""
        ...

    async def recorded(self, zone: str, batch: str) -> BatchRecord | None:
        """Return the record of a batch in a zone."""
        ...

    async def last_record(self, zone: str) -> BatchRecord | None:
        """Return the record that was written last in a zone: where a source goes on."""
        ...

    def records(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[BatchRecord]:
        """Go through records in the order in which they were written.

        Of a zone, of a batch (its replays have ids of their own), or all.
        """
        ...

    async def note_attempts(self, zone: str, batch: str, attempts: Attempts | None) -> None:
        """Keep (or, with None, forget) runs that came to nothing; durable when it returns."""
        ...

    async def attempts(self, zone: str, batch: str) -> Attempts:
        """Return runs that came to nothing, empty if there were none."""
        ...

    # ---- dead letters, keyed by (zone, batch)

    async def bury(self, entry: DeadEntry, payload: bytes) -> bool:
        """Keep dead rows; returns when it is durable. False: there is an entry already, and stays.

        Raises:
            DeadLettersFull: if they do not fit. Nothing that is there is ever dropped for them.
        """
        ...

    async def rebury(self, entry: DeadEntry, payload: bytes) -> None:
        """Replace an entry after a part of it was replayed; without rows it is removed."""
        ...

    def dead(self, zone: str | None = None, batch: str | None = None) -> AsyncIterator[DeadEntry]:
        """Go through dead letters without their rows, oldest first."""
        ...

    async def dead_rows(self, zone: str, batch: str) -> tuple[DeadEntry, bytes] | None:
        """Return one entry with its payload."""
        ...

    # ---- small values: what should be, and what zones say of themselves

    async def get(self, key: str) -> bytes | None:
        """Return a durable value. Keys: dots, small letters, digits, _ and -."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Keep a durable value."""
        ...

    async def swap(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Keep a durable value, if what is kept there is still what was ``seen`` (None: nothing).

        Returns when it is durable. False: somebody else was faster, and nothing was kept. Of
        several that saw the same, one succeeds. Whether it took place is unknown after
        ``StreamsUnavailable`` only: read again then.
        """
        ...

    async def forget(self, key: str) -> None:
        """Keep a durable value no longer; one that is not there is fine."""
        ...

    async def keys(self, prefix: str) -> Sequence[str]:
        """Return the durable keys that begin so."""
        ...

    async def beat(self, key: str, value: bytes) -> None:
        """Say something of oneself: in memory, gone after 10 s without another beat."""
        ...

    async def beats(self, prefix: str) -> dict[str, bytes]:
        """Return what is being said under keys that begin so."""
        ...

    async def claim(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Beat under ``key``, if what is said there is still what was ``seen`` (None: nothing).

        False: somebody else was faster. Of several that saw the same, one succeeds.
        """
        ...

    # ---- the log of predictions: what does not fit pushes out the oldest

    async def log_predictions(self, chunk: Chunk) -> bool:
        """Keep a chunk; returns when it is durable. False: it is there already.

        Raises:
            StoreRefused: if no service of the plan keeps predictions.
        """
        ...

    def predictions(self, since_s: float, service: str | None = None) -> AsyncIterator[Chunk]:
        """Go through the chunks that were kept since then (UTC), in the order of that.

        A chunk is kept after its records were made; after the broker was away, long after.
        """
        ...

    # ---- the ledger: what happened, in two books, see ``events.kinds``

    async def enter(self, happened: Happened) -> bool:
        """Put an entry into its book; returns when it is durable. False: it is there already.

        It is told by its ``process``, ``sequence`` and ``zone``. A zone may write under its own
        name only, and no acts.

        Raises:
            LedgerFull: if there is no room for an act. For a happening the oldest goes.
        """
        ...

    def entries(
        self, book: Book, *, after: int = 0, since_s: float = 0.0, zone: str | None = None
    ) -> AsyncIterator[Entry]:
        """Go through a book in the order in which it was written.

        That is not the order in which things happened: what a process could not tell, since the
        broker was away, was written later. ``zone`` is what the broker knows of who wrote it, and
        what is of another version of firedoor and cannot be read is left out.

        Args:
            book: which.
            after: from the place after this one on.
            since_s: only what was written since then (UTC).
            zone: only of this zone or service; empty: of the pipeline as a whole.
        """
        ...

    async def last_place(self, book: Book) -> int:
        """Return the place of the entry that was written last; 0 if there was none yet."""
        ...

    async def close(self) -> None:
        """Let go of the broker."""
        ...
