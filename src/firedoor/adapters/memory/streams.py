"""Clients of a ``MemoryStore``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, TypeVar

from firedoor.adapters.memory.box import Message
from firedoor.adapters.memory.store import Call, MemoryStore
from firedoor.errors import StreamsUnavailable
from firedoor.events.happened import Happened
from firedoor.events.kinds import Book
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Delivery, Depth, Entry
from firedoor.spec.plan import Plan
from firedoor.wire.envelope import Envelope, decode_envelope, encode_envelope
from firedoor.wire.prediction import Chunk
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry

T = TypeVar("T")


class Link(Protocol):
    """The way between a client and the broker, which takes time and can be cut."""

    async def ask(self, call: Call) -> None:
        """Return when the question has arrived; may raise, or never return."""
        ...

    async def answer(self, call: Call) -> None:
        """Return when the answer has arrived; what was asked for is done by now."""
        ...


class Wire:
    """A way that takes no time and lets others run."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock to yield by."""
        self._clock = clock

    async def ask(self, call: Call) -> None:
        """Let others run, as every question over a socket does."""
        del call
        await self._clock.wait(0.0)

    async def answer(self, call: Call) -> None:
        """Return at once."""


class MemoryStreams:
    """One client. See ``ports.streams.Streams`` for what each method promises."""

    def __init__(self, store: MemoryStore, clock: Clock, *, link: Link | None = None) -> None:
        """Open a client of ``store``; ``link`` is how worlds come between the two."""
        self._store = store
        self._clock = clock
        self._link: Link = Wire(clock) if link is None else link
        self._closed = False

    async def ask(self, call: Call, act: Callable[[], T]) -> T:
        """Do what is asked for, if the question arrives, and return its answer, if that does."""
        await self._link.ask(call)
        self.check(call)
        result = act()
        self._store.check(call, done=True)
        await self._link.answer(call)
        return result

    def check(self, call: Call) -> None:
        """Raise ``StreamsUnavailable`` if there is nobody to ask."""
        if self._closed:
            raise StreamsUnavailable(f"{call}: this client was closed; open another")
        self._store.check(call)

    async def declare(self, plan: Plan) -> None:
        """Make what is missing; bring bounds up to date."""
        await self.ask("declare", lambda: self._store.declare(plan))

    def inbox(self, edge: str) -> MemoryInbox:
        """Return the reader's end of an edge."""
        return MemoryInbox(self, self._store, self._clock, self._link, edge)

    async def publish(self, edge: str, envelope: Envelope, payload: bytes) -> bool:
        """Put a batch into an inbox; False if it is there already."""
        identity, header = f"{envelope.batch}/{edge}", encode_envelope(envelope)
        now_s = self._clock.utc_s
        return await self.ask(
            "publish", lambda: self._store.box(edge).put(identity, header, payload, now_s())
        )

    async def depth(self, edge: str) -> Depth:
        """Return what waits in an inbox."""
        return await self.ask("depth", lambda: self._store.box(edge).depth())

    async def holds(self, edge: str, batch: str) -> bool:
        """Return whether a batch is in an inbox."""
        return await self.ask("holds", lambda: self._store.box(edge).holds(f"{batch}/{edge}"))

    # ---- records

    async def record(self, record: BatchRecord) -> bool:
        """Keep a record; False if there is one already."""
        return await self.ask("record", lambda: self._store.record(record))

    async def recorded(self, zone: str, batch: str) -> BatchRecord | None:
        """Return the record of a batch in a zone."""
        return await self.ask("recorded", lambda: self._store.records.get((zone, batch)))

    async def last_record(self, zone: str) -> BatchRecord | None:
        """Return the record written last in a zone."""
        return await self.ask("last_record", lambda: self._store.last_record(zone))

    async def records(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[BatchRecord]:
        """Go through records in the order in which they were written."""
        for record in await self.ask("records", lambda: list(self._store.records.values())):
            if zone in {None, record.zone} and batch in {None, record.batch}:
                yield record

    async def note_attempts(self, zone: str, batch: str, attempts: Attempts | None) -> None:
        """Keep or forget runs that came to nothing."""
        await self.ask("note_attempts", lambda: self._store.note_attempts((zone, batch), attempts))

    async def attempts(self, zone: str, batch: str) -> Attempts:
        """Return runs that came to nothing."""
        return await self.ask(
            "attempts", lambda: self._store.attempts.get((zone, batch), Attempts())
        )

    # ---- dead letters

    async def bury(self, entry: DeadEntry, payload: bytes) -> bool:
        """Keep dead rows; False if there is an entry already."""
        return await self.ask("bury", lambda: self._store.bury(entry, payload))

    async def rebury(self, entry: DeadEntry, payload: bytes) -> None:
        """Replace an entry; without rows it is removed."""
        await self.ask("rebury", lambda: self._store.rebury(entry, payload))

    async def dead(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[DeadEntry]:
        """Go through dead letters without their rows, oldest first."""
        for entry, _ in await self.ask("dead", lambda: list(self._store.dead.values())):
            if zone in {None, entry.zone} and batch in {None, entry.batch}:
                yield entry

    async def dead_rows(self, zone: str, batch: str) -> tuple[DeadEntry, bytes] | None:
        """Return one entry with its payload."""
        return await self.ask("dead_rows", lambda: self._store.dead.get((zone, batch)))

    # ---- small values

    async def get(self, key: str) -> bytes | None:
        """Return a durable value."""
        return await self.ask("get", lambda: self._store.values.get(key))

    async def put(self, key: str, value: bytes) -> None:
        """Keep a durable value."""
        await self.ask("put", lambda: self._store.values.update({key: value}))

    async def swap(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Keep a durable value, if nobody else did since."""
        return await self.ask("swap", lambda: self._store.swap(key, value, seen))

    async def forget(self, key: str) -> None:
        """Keep a durable value no longer."""
        await self.ask("forget", lambda: self._store.values.pop(key, None))

    async def keys(self, prefix: str) -> Sequence[str]:
        """Return the durable keys that begin so."""
        return await self.ask(
            "keys", lambda: [key for key in self._store.values if key.startswith(prefix)]
        )

    async def beat(self, key: str, value: bytes) -> None:
        """Say something of oneself."""
        await self.ask("beat", lambda: self._store.beat(key, value, self._clock.utc_s()))

    async def beats(self, prefix: str) -> dict[str, bytes]:
        """Return what is being said."""
        return await self.ask("beats", lambda: self._store.beats(prefix, self._clock.utc_s()))

    async def claim(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Beat under a key, if nobody else did since."""
        return await self.ask(
            "claim", lambda: self._store.claim(key, value, seen, self._clock.utc_s())
        )

    # ---- predictions

    async def log_predictions(self, chunk: Chunk) -> bool:
        """Keep a chunk; False if it is there already."""
        now_s = self._clock.utc_s
        return await self.ask(
            "log_predictions", lambda: self._store.log_predictions(chunk, now_s())
        )

    async def predictions(self, since_s: float, service: str | None = None) -> AsyncIterator[Chunk]:
        """Go through the chunks that were kept since then."""
        for chunk, at_s in await self.ask("predictions", self._store.read_predictions):
            if at_s >= since_s and service in {None, chunk.service}:
                yield chunk

    # ---- the ledger

    async def enter(self, happened: Happened) -> bool:
        """Put an entry into its book; False if it is there already."""
        now_s = self._clock.utc_s
        return await self.ask("enter", lambda: self._store.ledger.enter(happened, now_s()))

    async def entries(
        self, book: Book, *, after: int = 0, since_s: float = 0.0, zone: str | None = None
    ) -> AsyncIterator[Entry]:
        """Go through a book in the order in which it was written."""
        now_s = self._clock.utc_s
        found = await self.ask("entries", lambda: self._store.ledger.read(book, now_s()))
        for entry, at_s in found:
            if entry.place > after and at_s >= since_s and zone in {None, entry.happened.zone}:
                yield entry

    async def last_place(self, book: Book) -> int:
        """Return the place of the entry that was written last."""
        return await self.ask("last_place", lambda: self._store.ledger.places[book])

    async def close(self) -> None:
        """Let go of the broker."""
        self._closed = True


class MemoryInbox:
    """The reader's end of one edge."""

    def __init__(
        self, streams: MemoryStreams, store: MemoryStore, clock: Clock, link: Link, edge: str
    ) -> None:
        """Read ``edge`` through a client."""
        self._streams = streams
        self._store = store
        self._clock = clock
        self._link = link
        self._edge = edge

    async def fetch(self, count: int, wait_s: float) -> list[Delivery]:
        """Return up to ``count`` deliveries, [] if none came within ``wait_s``."""
        await self._link.ask("fetch")
        until_s = self._clock.utc_s() + wait_s
        while True:
            self._streams.check("fetch")
            now_s = self._clock.utc_s()
            box = self._store.box(self._edge)
            taken = box.take(count, now_s, self._store.shuffle)
            if taken or now_s >= until_s:
                break
            due_s = box.next_due_s()
            await box.changed((until_s if due_s is None else min(due_s, until_s)) - now_s)
        deliveries: list[Delivery] = [
            MemoryDelivery(self._streams, self._store, self._clock, self._edge, number)
            for number in taken
        ]
        self._store.check("fetch", done=True)
        await self._link.answer("fetch")
        return deliveries

    async def pause(self, wait_s: float) -> None:
        """Have nothing delivered for so long."""
        until_s = self._clock.utc_s() + wait_s
        await self._streams.ask("pause", lambda: self._store.box(self._edge).pause(until_s))


class MemoryDelivery:
    """One batch, out to one reader."""

    def __init__(
        self, streams: MemoryStreams, store: MemoryStore, clock: Clock, edge: str, number: int
    ) -> None:
        """Hold message ``number`` of an inbox, as it is now."""
        self._streams = streams
        self._store = store
        self._clock = clock
        self._edge = edge
        self._number = number
        self._message: Message = store.box(edge).messages[number]
        self._deliveries = self._message.deliveries

    @property
    def envelope(self) -> Envelope:
        """What is known of the batch. Raises ``Damaged``."""
        return decode_envelope(self._message.header, self._message.payload)

    @property
    def payload(self) -> bytes:
        """The rows."""
        return self._message.payload

    @property
    def edge(self) -> str:
        """``publisher:reader``."""
        return self._edge

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this one included."""
        return self._deliveries

    async def ack(self) -> None:
        """Take it out of the inbox for good."""
        await self._streams.ask("ack", lambda: self._store.box(self._edge).drop(self._number))

    async def give_back(self, delay_s: float = 0.0) -> None:
        """Have it delivered again, not before ``delay_s``."""
        due_s = self._clock.utc_s() + delay_s
        await self._streams.ask(
            "give_back", lambda: self._store.box(self._edge).give_back(self._number, due_s)
        )

    async def working(self) -> None:
        """Say that it is still being worked on."""
        await self._streams.ask(
            "working",
            lambda: self._store.box(self._edge).extend(self._number, self._clock.utc_s()),
        )
