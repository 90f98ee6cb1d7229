"""A link that a drill disturbs: what lies between a zone's process and the broker.

Only batches, and what is kept of them, are disturbed; a cut (``partition``) cuts everything off.
Without a fault each call goes straight through. What a fault does comes from the key of a message
and a seed, so that it hits the same ones again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from firedoor.data.link_deliveries import Disturbed, FaultyInbox
from firedoor.drill import chance
from firedoor.drill.fault import Fault
from firedoor.errors import StreamFull, StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.events.kinds import Book
from firedoor.flow.full import FullPolicy
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults
from firedoor.ports.streams import Depth, Entry, Inbox, Streams
from firedoor.spec.plan import Plan
from firedoor.wire.envelope import Envelope
from firedoor.wire.prediction import Chunk
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry

FULL_S = FullPolicy().patience_s / 2
"""How long an edge that detaches is said to be full at a stretch."""
REMEMBERED_MAX = 4_096
"""Publishings that are remembered to have been lost once."""


class LinkFaults:
    """A client of the broker behind a link. See ``ports.streams.Streams``."""

    def __init__(
        self,
        streams: Streams,
        faults: Faults,
        clock: Clock,
        *,
        detaching: frozenset[str] = frozenset(),
    ) -> None:
        """Stand before a client.

        Args:
            streams: the client.
            faults: what a drill injects here.
            clock: the time.
            detaching: edges that are cut where they stay full, and stay cut when a drill is over.
                They are said to be full for a shorter time than that takes, again and again.
        """
        self._streams = streams
        self._clock = clock
        self._detaching = detaching
        self._full_since_s: dict[str, float] = {}
        """Of edges that detach."""
        self._lost: dict[str, None] = {}
        self._link = Disturbed(faults, clock)

    async def declare(self, plan: Plan) -> None:
        """Make what is missing."""
        await self._link.pass_by()
        await self._streams.declare(plan)

    def inbox(self, edge: str) -> Inbox:
        """Return the reader's end of an edge."""
        return FaultyInbox(self._streams.inbox(edge), self._link)

    async def publish(self, edge: str, envelope: Envelope, payload: bytes) -> bool:
        """Put a batch into an inbox; False if it is there already."""
        fault = self._link.fault()
        if fault is None:
            return await self._streams.publish(edge, envelope, payload)
        key = f"publish/{edge}/{envelope.batch}"
        await self._link.pass_by(key)
        if fault.name == "stream_full" and not await self._streams.holds(edge, envelope.batch):
            self._refuse(fault, edge, key)  # what waits in it a full inbox knows, and takes as put
        stored = await self._streams.publish(edge, envelope, payload)
        self._full_since_s.pop(edge, None)
        if fault.name == "duplicate" and chance.hits(fault, key):
            self._link.count()
            await self._streams.publish(edge, envelope, payload)
        if fault.name == "drop" and self._loses(fault, key):
            message = f"{edge}: drill fault {fault.id} has lost the answer"
            raise StreamsUnavailable(message)
        return stored

    async def depth(self, edge: str) -> Depth:
        """Return what waits in an inbox."""
        await self._link.pass_by()
        return await self._streams.depth(edge)

    async def holds(self, edge: str, batch: str) -> bool:
        """Return whether a batch is in an inbox."""
        await self._link.pass_by()
        return await self._streams.holds(edge, batch)

    async def record(self, record: BatchRecord) -> bool:
        """Keep a record."""
        await self._link.pass_by(f"record/{record.batch}")
        return await self._streams.record(record)

    async def recorded(self, zone: str, batch: str) -> BatchRecord | None:
        """Return the record of a batch in a zone."""
        await self._link.pass_by(f"recorded/{batch}")
        return await self._streams.recorded(zone, batch)

    async def last_record(self, zone: str) -> BatchRecord | None:
        """Return the record that was written last in a zone."""
        await self._link.pass_by()
        return await self._streams.last_record(zone)

    def records(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[BatchRecord]:
        """Go through records."""
        return self._streams.records(zone, batch)

    async def note_attempts(self, zone: str, batch: str, attempts: Attempts | None) -> None:
        """Keep or forget runs that came to nothing."""
        await self._link.pass_by(f"attempts/{batch}")
        await self._streams.note_attempts(zone, batch, attempts)

    async def attempts(self, zone: str, batch: str) -> Attempts:
        """Return runs that came to nothing."""
        await self._link.pass_by(f"attempts/{batch}")
        return await self._streams.attempts(zone, batch)

    async def bury(self, entry: DeadEntry, payload: bytes) -> bool:
        """Keep dead rows."""
        await self._link.pass_by(f"bury/{entry.batch}")
        return await self._streams.bury(entry, payload)

    async def rebury(self, entry: DeadEntry, payload: bytes) -> None:
        """Replace an entry."""
        await self._link.pass_by()
        await self._streams.rebury(entry, payload)

    def dead(self, zone: str | None = None, batch: str | None = None) -> AsyncIterator[DeadEntry]:
        """Go through dead letters."""
        return self._streams.dead(zone, batch)

    async def dead_rows(self, zone: str, batch: str) -> tuple[DeadEntry, bytes] | None:
        """Return one entry with its payload."""
        await self._link.pass_by()
        return await self._streams.dead_rows(zone, batch)

    # ---- small values

    async def get(self, key: str) -> bytes | None:
        """Return a durable value."""
        await self._link.pass_by()
        return await self._streams.get(key)

    async def put(self, key: str, value: bytes) -> None:
        """Keep a durable value."""
        await self._link.pass_by()
        await self._streams.put(key, value)

    async def swap(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Keep a durable value, if nobody else did since."""
        await self._link.pass_by()
        return await self._streams.swap(key, value, seen)

    async def forget(self, key: str) -> None:
        """Keep a durable value no longer."""
        await self._link.pass_by()
        await self._streams.forget(key)

    async def keys(self, prefix: str) -> Sequence[str]:
        """Return the durable keys that begin so."""
        await self._link.pass_by()
        return await self._streams.keys(prefix)

    async def beat(self, key: str, value: bytes) -> None:
        """Say something of oneself."""
        await self._link.pass_by()
        await self._streams.beat(key, value)

    async def beats(self, prefix: str) -> dict[str, bytes]:
        """Return what is being said."""
        await self._link.pass_by()
        return await self._streams.beats(prefix)

    async def claim(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Beat under a key, if nobody else did since."""
        await self._link.pass_by()
        return await self._streams.claim(key, value, seen)

    # ---- predictions

    async def log_predictions(self, chunk: Chunk) -> bool:
        """Keep a chunk."""
        await self._link.pass_by()
        return await self._streams.log_predictions(chunk)

    def predictions(self, since_s: float, service: str | None = None) -> AsyncIterator[Chunk]:
        """Go through the chunks that were kept since then."""
        return self._streams.predictions(since_s, service)

    # ---- the ledger

    async def enter(self, happened: Happened) -> bool:
        """Put an entry into its book."""
        await self._link.pass_by()
        return await self._streams.enter(happened)

    def entries(
        self, book: Book, *, after: int = 0, since_s: float = 0.0, zone: str | None = None
    ) -> AsyncIterator[Entry]:
        """Go through a book."""
        return self._streams.entries(book, after=after, since_s=since_s, zone=zone)

    async def last_place(self, book: Book) -> int:
        """Return the place of the entry that was written last."""
        await self._link.pass_by()
        return await self._streams.last_place(book)

    async def close(self) -> None:
        """Let go of the broker."""
        await self._streams.close()

    def _refuse(self, fault: Fault, edge: str, key: str) -> None:
        """Say that an inbox is full; one that would be cut for that takes a batch now and then.

        Raises:
            StreamFull: if the batch is hit.
        """
        if not chance.hits(fault, key):
            return
        if edge in self._detaching:
            now_s = self._clock.now_s()
            if now_s - self._full_since_s.setdefault(edge, now_s) >= FULL_S:
                return
        self._link.count()
        message = f"{edge} takes no more: drill fault {fault.id} says that it is full"
        raise StreamFull(message)

    def _loses(self, fault: Fault, key: str) -> bool:
        """Return whether the answer to a publishing is lost: the first one only."""
        if key in self._lost or not chance.hits(fault, key):
            return False
        self._lost[key] = None
        if len(self._lost) > REMEMBERED_MAX:
            del self._lost[next(iter(self._lost))]
        self._link.count()
        return True
