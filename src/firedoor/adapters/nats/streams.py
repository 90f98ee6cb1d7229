"""One pipeline's streams on NATS JetStream. See ``ports.streams``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

import msgspec

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats import ledger, letters, predictions
from firedoor.adapters.nats.answers import ConsumerInfo, Done, Refusal, StreamInfo
from firedoor.adapters.nats.asked import Absent
from firedoor.adapters.nats.declaring import declare, make_beats, prune, read_time
from firedoor.adapters.nats.inbox import NatsInbox, release
from firedoor.adapters.nats.keeping import (
    EXPECTED,
    MESSAGE_ID,
    last_message,
    last_messages,
    message_of,
    messages,
    store,
    store_next,
    store_once,
)
from firedoor.adapters.nats.link import OPEN_S, READ_S, WRITE_S, Link
from firedoor.adapters.nats.naming import Names, durable_of
from firedoor.adapters.nats.session import Trust
from firedoor.adapters.nats.sweeping import sweep
from firedoor.errors import FrameRefused, StoreRefused, StreamFull
from firedoor.events.happened import Happened
from firedoor.events.kinds import Book
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Depth, Entry
from firedoor.spec.plan import Plan
from firedoor.units import format_bytes
from firedoor.wire.envelope import HEADER, PAYLOAD_MAX, Envelope, encode_envelope
from firedoor.wire.prediction import Chunk
from firedoor.wire.records import Attempts, BatchRecord, DeadEntry

T = TypeVar("T")

ACK_WAIT_S = 30.0
FORGOTTEN_S = 3600
"""How long it is kept that there are no attempts: longer than anybody still reads older ones."""


async def connect(
    url: str,
    *,
    pipeline: str,
    user: str | None = None,
    password: str | None = None,
    zone: str | None = None,
    trust: Trust | None = None,
    clock: Clock | None = None,
    ack_wait_s: float = ACK_WAIT_S,
    write_s: float = WRITE_S,
    read_s: float = READ_S,
    open_s: float = OPEN_S,
) -> NatsStreams:
    """Connect to a broker as a zone, or as the one that may do everything.

    ``url`` is like ``nats://127.0.0.1:4222``, several are joined by commas, and ``tls://`` insists
    on TLS, as ``trust`` does that names a file. ``zone`` says whose user it is, None: the
    supervisor's and the commands'. A batch that nobody acknowledged comes again after
    ``ack_wait_s`` (as declared). A broker that is away is waited for ``write_s`` by what writes,
    ``read_s`` by what reads, ``open_s`` here.

    Raises:
        StreamsUnavailable: if nobody answers there.
        StoreRefused: if the password is wrong, or the broker is not trusted.
    """
    link = Link(
        url,
        user=user,
        password=password,
        zone=zone,
        trust=trust,
        clock=SystemClock() if clock is None else clock,
        write_s=write_s,
        read_s=read_s,
    )
    await link.open(open_s)
    return NatsStreams(link, Names(pipeline), ack_wait_s=ack_wait_s)


class NatsStreams:
    """See ``ports.streams.Streams``. ``link`` and ``names`` are for checks of the store."""

    def __init__(self, link: Link, names: Names, *, ack_wait_s: float) -> None:
        """Wrap an open connection."""
        self.link = link
        self.names = names
        self._ack_wait_s = ack_wait_s
        self._inboxes: dict[str, NatsInbox] = {}

    async def declare(self, plan: Plan) -> None:
        """Make what is missing; bring bounds up to date.

        Raises:
            StoreRefused: if an inbox that would go away still holds batches, or the store was
                written by another version.
        """
        await declare(self.link, self.names, plan, ack_wait_s=self._ack_wait_s)

    async def prune(self, plan: Plan) -> None:
        """Remove records past retention, but the last of each zone; ``declare`` does so, too.

        Raises:
            StreamsUnavailable: if the broker is away.
            StoreRefused: if it refuses.
        """
        try:
            await prune(self.link, self.names, plan)
        except Refusal as refusal:
            message = f"{refusal}: is the pipeline declared in this store?"
            raise StoreRefused(message) from refusal

    # ---- inboxes

    def inbox(self, edge: str) -> NatsInbox:
        """Return the reader's end of ``publisher:reader``."""
        if edge not in self._inboxes:
            self._inboxes[edge] = NatsInbox(self.link, self.names, edge)
        return self._inboxes[edge]

    async def publish(self, edge: str, envelope: Envelope, payload: bytes) -> bool:
        """Put a batch into an inbox; returns when it is durable. False: it is there already.

        Raises:
            StreamFull: if it does not fit; nothing was stored.
            FrameRefused: if it is larger than any batch may be.
        """
        if len(payload) > PAYLOAD_MAX:
            message = (
                f"batch {envelope.batch} has {format_bytes(len(payload))}, at most "
                f"{format_bytes(PAYLOAD_MAX)} travel at once: lower batch_rows="
            )
            raise FrameRefused(message)
        headers = {
            HEADER: encode_envelope(envelope),
            MESSAGE_ID: f"{envelope.batch}/{edge}",
        }
        subject = self.names.batch(edge, envelope.batch)
        return await store(self.link, subject, payload, headers=headers, full=StreamFull)

    async def release(self, edge: str) -> int:
        """Have everything that is out delivered again at once; return how many batches that is.

        For whoever knows that every reader of an inbox is gone: the supervisor, before it starts a
        zone's process again. Otherwise they come when the time for their acknowledgement is over.
        """
        return await release(self.link, self.names, edge)

    async def sweep(self, edge: str) -> int:
        """Delete what a reader is done with and a full disk kept; return how many batches.

        Raises:
            StreamsUnavailable: if the broker is away.
            StoreRefused: if it refuses.
        """
        try:
            return await sweep(self.link, self.names, edge)
        except Refusal as refusal:
            message = f"{refusal}: is the pipeline declared in this store?"
            raise StoreRefused(message) from refusal

    async def depth(self, edge: str) -> Depth:
        """Return what waits in an inbox."""
        stream = self.names.inbox(edge)
        info = await self._info(f"STREAM.INFO.{stream}", StreamInfo)
        reader = await self._info(f"CONSUMER.INFO.{stream}.{durable_of(edge)}", ConsumerInfo)
        state = info.state
        return Depth(
            messages=state.messages,
            bytes=state.bytes,
            bytes_max=info.config.max_bytes,
            unacknowledged=reader.num_ack_pending,
            oldest_s=read_time(state.first_ts) if state.messages else None,
        )

    async def holds(self, edge: str, batch: str) -> bool:
        """Return whether a batch is in an inbox: it is until its reader has acknowledged it."""
        subject = self.names.batch(edge, batch)
        verb = f"STREAM.INFO.{self.names.inbox(edge)}"
        info = await self._info(verb, StreamInfo, {"subjects_filter": subject})
        return subject in info.state.subjects

    async def _info(self, verb: str, answer: type[T], body: object = None) -> T:
        """Ask about a stream or consumer."""
        try:
            return await self.link.api(verb, body, answer=answer)
        except Refusal as refusal:
            message = f"{refusal}: is the pipeline declared in this store?"
            raise StoreRefused(message) from refusal

    # ---- records

    async def record(self, record: BatchRecord) -> bool:
        """Keep a record; returns when it is durable. False: there is one already, which stays."""
        subject = self.names.record(record.zone, record.batch)
        return await store_once(self.link, subject, msgspec.json.encode(record))

    async def recorded(self, zone: str, batch: str) -> BatchRecord | None:
        """Return the record of a batch in a zone."""
        subject = self.names.record(zone, batch)
        found = await message_of(self.link, self.names.records, subject)
        return None if found is None else msgspec.json.decode(found.data, type=BatchRecord)

    async def last_record(self, zone: str) -> BatchRecord | None:
        """Return the record that was written last in a zone: where a source goes on."""
        subjects = self.names.record(zone, "*")
        found = await last_message(self.link, self.names.records, subjects)
        return None if found is None else msgspec.json.decode(found.data, type=BatchRecord)

    async def records(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[BatchRecord]:
        """Go through records in the order in which they were written."""
        subjects = self.names.record(zone or "*", batch or "*")
        async for found in messages(self.link, self.names.records, subjects):
            yield msgspec.json.decode(found.data, type=BatchRecord)

    async def note_attempts(self, zone: str, batch: str, attempts: Attempts | None) -> None:
        """Keep (or, with None, forget) runs that came to nothing; durable when it returns."""
        subject = self.names.attempt(zone, batch)
        if attempts is not None:
            await store(self.link, subject, msgspec.json.encode(attempts))
            return
        if await message_of(self.link, self.names.attempts, subject) is None:
            return
        # An empty one takes its place, which goes away by itself: zones may not delete.
        headers = {"Nats-TTL": f"{FORGOTTEN_S}s"}
        await store(self.link, subject, msgspec.json.encode(Attempts()), headers=headers)

    async def attempts(self, zone: str, batch: str) -> Attempts:
        """Return runs that came to nothing, empty if there were none."""
        subject = self.names.attempt(zone, batch)
        found = await message_of(self.link, self.names.attempts, subject)
        return Attempts() if found is None else msgspec.json.decode(found.data, type=Attempts)

    # ---- dead letters

    async def bury(self, entry: DeadEntry, payload: bytes) -> bool:
        """Keep dead rows; returns when it is durable. False: there is an entry already, and stays.

        Raises:
            DeadLettersFull: if they do not fit. Nothing that is there is ever dropped for them.
        """
        return await letters.bury(self.link, self.names, entry, payload)

    async def rebury(self, entry: DeadEntry, payload: bytes) -> None:
        """Replace an entry after a part of it was replayed; without rows it is removed."""
        await letters.rebury(self.link, self.names, entry, payload)

    async def dead(
        self, zone: str | None = None, batch: str | None = None
    ) -> AsyncIterator[DeadEntry]:
        """Go through dead letters without their rows, oldest first."""
        subjects = self.names.letter(zone or "*", batch or "*")
        async for entry in letters.dead(self.link, self.names, subjects):
            yield entry

    async def dead_rows(self, zone: str, batch: str) -> tuple[DeadEntry, bytes] | None:
        """Return one entry with its payload."""
        return await letters.dead_rows(self.link, self.names, zone, batch)

    # ---- small values

    async def get(self, key: str) -> bytes | None:
        """Return a durable value. Keys: dots, small letters, digits, _ and -."""
        found = await message_of(self.link, self.names.values, self.names.value(key))
        return None if found is None else found.data

    async def put(self, key: str, value: bytes) -> None:
        """Keep a durable value."""
        await store(self.link, self.names.value(key), value)

    async def swap(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Keep a durable value, if what is kept there is still what was ``seen``; None: nothing."""
        subject = self.names.value(key)
        found = await message_of(self.link, self.names.values, subject)
        if (None if found is None else found.data) != seen:
            return False
        after = 0 if found is None else found.seq
        return await store_next(self.link, self.names.values, subject, value, after=after)

    async def forget(self, key: str) -> None:
        """Keep a durable value no longer; one that is not there is fine.

        Raises:
            StoreRefused: if it refuses.
        """
        body = {"filter": self.names.value(key)}
        verb = f"STREAM.PURGE.{self.names.values}"
        try:
            await self.link.api(verb, body, answer=Done, patience_s=self.link.write_s)
        except Refusal as refusal:
            message = f"{refusal}: is the pipeline declared in this store?"
            raise StoreRefused(message) from refusal

    async def keys(self, prefix: str) -> Sequence[str]:
        """Return the durable keys that begin so."""
        every = self.names.value("")
        folder, dot, _ = prefix.rpartition(".")
        body = {"subjects_filter": f"{every}{folder}{dot}>"}
        verb = f"STREAM.INFO.{self.names.values}"
        info = await self.link.api(verb, body, answer=StreamInfo)
        keys = (subject.removeprefix(every) for subject in info.state.subjects)
        return sorted(key for key in keys if key.startswith(prefix))

    async def beat(self, key: str, value: bytes) -> None:
        """Say something of oneself: in memory, gone after 10 s without another beat."""
        subject = self.names.beat(key)
        read_s = self.link.read_s
        try:
            await store(self.link, subject, value, patience_s=read_s, wait_for_it=False)
        except Absent:  # the broker was restarted, and what was in memory is gone
            await make_beats(self.link, self.names)
            await store(self.link, subject, value, patience_s=read_s)

    async def beats(self, prefix: str) -> dict[str, bytes]:
        """Return what is being said under keys that begin so."""
        every = self.names.beat("")
        whole = prefix[: prefix.rfind(".") + 1]  # a pattern is of whole words
        try:
            found = await last_messages(self.link, self.names.beats, f"{every}{whole}>")
        except Absent:
            return {}
        keys = {kept.subject.removeprefix(every): kept.data for kept in found}
        return {key: data for key, data in keys.items() if key.startswith(prefix)}

    async def claim(self, key: str, value: bytes, seen: bytes | None) -> bool:
        """Beat under ``key``, if what is said there is still what was ``seen`` (None: nothing)."""
        subject = self.names.beat(key)
        found = await message_of(self.link, self.names.beats, subject)
        if (None if found is None else found.data) != seen:
            return False
        expected = {EXPECTED: "0" if found is None else str(found.seq)}
        try:
            return await store(
                self.link,
                subject,
                value,
                headers=expected,
                patience_s=self.link.read_s,
                wait_for_it=False,
            )
        except Absent:  # the broker was restarted: nobody has said anything yet
            await make_beats(self.link, self.names)
            return False

    # ---- predictions

    async def log_predictions(self, chunk: Chunk) -> bool:
        """Keep a chunk; returns when it is durable. False: it is there already."""
        return await predictions.append(self.link, self.names, chunk)

    async def predictions(self, since_s: float, service: str | None = None) -> AsyncIterator[Chunk]:
        """Go through the chunks that were kept since then."""
        async for chunk in predictions.read(self.link, self.names, since_s, service):
            yield chunk

    # ---- the ledger

    async def enter(self, happened: Happened) -> bool:
        """Put an entry into its book; returns when it is durable. False: it is there already."""
        return await ledger.enter(self.link, self.names, happened)

    async def entries(
        self, book: Book, *, after: int = 0, since_s: float = 0.0, zone: str | None = None
    ) -> AsyncIterator[Entry]:
        """Go through a book in the order in which it was written."""
        found = ledger.entries(self.link, self.names, book, after=after, since_s=since_s, zone=zone)
        async for entry in found:
            yield entry

    async def last_place(self, book: Book) -> int:
        """Return the place of the entry that was written last; 0 if there was none yet."""
        return await ledger.last_place(self.link, self.names, book)

    async def close(self) -> None:
        """Let go of the broker; what no fetch took is given back."""
        for inbox in self._inboxes.values():
            await inbox.close()
        await self.link.close()
