"""The reader's end of one edge, and batches on their way to be acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime

import msgspec

from firedoor.adapters.nats.answers import (
    NO_MESSAGE,
    NO_RESPONDERS,
    ConsumerInfo,
    Done,
    Message,
    Refusal,
    consumed,
    status_of,
)
from firedoor.adapters.nats.asked import Again, NoAnswer
from firedoor.adapters.nats.configs import IN_FLIGHT_MAX
from firedoor.adapters.nats.keeping import next_message
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import API, Names, durable_of
from firedoor.errors import StoreRefused, StreamsUnavailable
from firedoor.ports.streams import Delivery
from firedoor.wire.envelope import HEADER, Damaged, Envelope, decode_envelope

PULL_S = 2.0
"""What the broker waits for batches at most before it is asked again: a request that was lost
with a connection is missed no longer than this."""
GRACE_S = 1.0
NANOS = 1_000_000_000
PAUSE_S = 0.1
ACK_S = 2.0
ACK_LOST_S = 0.2
KNOWN_MAX = 1024
_NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""What the broker takes for no pause."""


class NatsDelivery:
    """One batch. See ``ports.streams.Delivery``."""

    __slots__ = ("_deliveries", "_edge", "_envelope", "_link", "_losses", "_message")

    def __init__(self, link: Link, message: Message, *, edge: str, deliveries: int) -> None:
        """Wrap what was delivered."""
        self._deliveries = deliveries
        self._losses = link.losses
        self._link = link
        self._message = message
        self._edge = edge
        self._envelope: Envelope | None = None

    @property
    def envelope(self) -> Envelope:
        """What is known of the batch. Raises ``Damaged`` if the message is not what was sent."""
        if self._envelope is None:
            header = (self._message.headers or {}).get(HEADER)
            if header is None:
                message = f"{self._message.subject} has no envelope: firedoor did not publish it"
                raise Damaged(message)
            self._envelope = decode_envelope(header, self._message.data)
        return self._envelope

    @property
    def payload(self) -> bytes:
        """The rows."""
        return self._message.data

    @property
    def edge(self) -> str:
        """``publisher:reader``."""
        return self._edge

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this one included; from 1."""
        return self._deliveries

    async def ack(self) -> None:
        """Take it out of the inbox for good; returns when that is durable.

        A broker that was killed within a tenth of a second after it delivered has forgotten that it
        did, and leaves an acknowledgement without an answer. The batch is deleted then, which is
        what an acknowledgement does in a work queue.
        """

        async def once(left_s: float) -> None:
            asked = self._link.expect(self._message.reply)
            known = self._link.losses == self._losses
            try:
                await self._link.send(asked, b"+ACK")
                answer = await asked.next(min(left_s, ACK_S if known else ACK_LOST_S))
            except NoAnswer:
                await self._delete(left_s)
            else:
                if status_of(answer) == NO_RESPONDERS:
                    message = f"nobody keeps the inbox {self._edge}"
                    raise Again(message)
            finally:
                self._link.forget(asked)

        await self._link.patiently(once, patience_s=self._link.write_s)

    async def give_back(self, delay_s: float = 0.0) -> None:
        """Have it delivered again, not before ``delay_s``."""
        body = b"-NAK"
        if delay_s > 0:
            body += msgspec.json.encode({"delay": int(delay_s * NANOS)})
        await self._settle(body)

    async def working(self) -> None:
        """Say that it is still being worked on; due at least every 10 s."""
        await self._settle(b"+WPI")

    async def _delete(self, patience_s: float) -> None:
        """Delete it from the inbox; one that is gone already is fine."""
        at = consumed(self._message)
        verb = f"STREAM.MSG.DELETE.{at.consumer.partition('.')[0]}"
        body = {"seq": at.seq, "no_erase": True}
        try:
            await self._link.api(verb, body, answer=Done, patience_s=patience_s)
        except Refusal as refusal:
            if refusal.fault.err_code not in NO_MESSAGE:
                raise StoreRefused(str(refusal)) from refusal

    async def _settle(self, body: bytes) -> None:
        """Tell the broker, until it says that it knows. Saying it twice does no harm."""
        await self._link.ask(
            self._message.reply, body, read=lambda _: None, patience_s=self._link.write_s
        )


class NatsInbox:
    """See ``ports.streams.Inbox``.

    Batches that came for a fetch that was given up are kept for the next one.
    """

    def __init__(self, link: Link, names: Names, edge: str) -> None:
        """Prepare; nothing is asked for before ``fetch``."""
        self._link = link
        self._edge = edge
        stream, durable = names.inbox(edge), durable_of(edge)
        self._paused = f"{stream}.{durable}"
        self._asked = link.expect(
            f"{API}.CONSUMER.MSG.NEXT.{stream}.{durable}", consumer=f"{stream}.{durable}"
        )
        self._turn = asyncio.Lock()
        self._left: deque[Message] = deque()
        self._seen: dict[int, int] = {}
        self._pulls = 0

    async def fetch(self, count: int, wait_s: float) -> list[Delivery]:
        """Return up to ``count`` deliveries, [] if none came within ``wait_s``.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        ends_s = self._link.clock.now_s() + wait_s
        try:
            async with asyncio.timeout(max(wait_s, PAUSE_S)):
                await self._turn.acquire()
        except TimeoutError:
            return []
        try:
            return await self._fetch(count, ends_s)
        finally:
            self._turn.release()

    async def pause(self, wait_s: float) -> None:
        """Have nothing delivered for so long, to any process that reads this inbox; 0 ends it."""
        until_s = self._link.clock.utc_s() + wait_s
        until = datetime.fromtimestamp(until_s, UTC) if wait_s > 0 else _NEVER
        body = {"pause_until": until.isoformat()}
        verb = f"CONSUMER.PAUSE.{self._paused}"
        try:
            await self._link.api(verb, body, answer=Done, patience_s=self._link.read_s)
        except Refusal as refusal:
            raise StoreRefused(str(refusal)) from refusal

    async def _fetch(self, count: int, ends_s: float) -> list[Delivery]:
        """Ask for batches until some came or the time is up."""
        clock = self._link.clock
        missing_since_s: float | None = None
        while True:
            self._sort_out()
            left_s = max(ends_s - clock.now_s(), 0.0)
            why = ""
            if len(self._left) < 1:
                await self._link.up(self._link.read_s)
                try:
                    why = await self._pull(count, min(left_s, PULL_S))
                except Again as error:
                    why = str(error)
            if self._left:
                came = [self._left.popleft() for _ in range(min(count, len(self._left)))]
                return [self._delivery(message) for message in came]
            now_s = clock.now_s()
            if why != NO_RESPONDERS:
                missing_since_s = None
            elif missing_since_s is None:
                missing_since_s = now_s
            if missing_since_s is not None and now_s >= min(
                missing_since_s + self._link.read_s, ends_s
            ):
                message = f"nobody keeps the inbox {self._edge}: is the pipeline declared there"
                more = ", and are most servers of the cluster up" if self._link.clustered else ""
                raise StreamsUnavailable(f"{message}{more}?")
            if now_s >= ends_s:
                return []
            if why:
                await clock.wait(min(PAUSE_S, ends_s - now_s))

    def _delivery(self, message: Message) -> NatsDelivery:
        """Wrap a message.

        The broker writes down with a delay how often it delivered: what this reader saw counts,
        if it is more.
        """
        at = consumed(message)
        count = max(at.deliveries, self._seen.pop(at.seq, 0) + 1)
        self._seen[at.seq] = count
        while len(self._seen) > KNOWN_MAX:
            del self._seen[next(iter(self._seen))]
        return NatsDelivery(self._link, message, edge=self._edge, deliveries=count)

    async def _pull(self, count: int, wait_s: float) -> str:
        """Ask once, and keep what comes; return why nothing more did, empty if time was up.

        ``no_wait`` with ``expires``: the broker answers with what is there, or with the first that
        comes in time, and then says that this was all.
        """
        body: dict[str, object] = {"batch": count, "no_wait": True}
        if wait_s > 0:
            body["expires"] = int(wait_s * NANOS)
        self._pulls += 1
        reply = await self._link.send(self._asked, msgspec.json.encode(body), tag=f".{self._pulls}")
        ends_s = self._link.clock.now_s() + wait_s + GRACE_S
        while len(self._left) < count:
            try:
                answer = await self._asked.next(max(ends_s - self._link.clock.now_s(), 0.0))
            except Again:
                return "" if self._left else "no answer"
            status = status_of(answer)
            if not status:
                self._left.append(answer)
            elif answer.subject == reply:
                return status if status not in {"404", "408"} else ""
        return ""

    def _sort_out(self) -> None:
        """Keep what came for an earlier request; forget what was said of it."""
        while not self._asked.answers.empty():
            answer = self._asked.answers.get_nowait()
            if not isinstance(answer, Exception) and not status_of(answer):
                self._left.append(answer)

    async def close(self) -> None:
        """Give back at once what no fetch took."""
        self._sort_out()
        self._link.forget(self._asked)
        for message in self._left:
            try:
                await self._link.ask(
                    message.reply, b"-NAK", read=lambda _: None, patience_s=PAUSE_S
                )
            except StreamsUnavailable:
                return  # it comes again when the time for its acknowledgement is over
        self._left.clear()


async def release(link: Link, names: Names, edge: str) -> int:
    """Give back every batch of an inbox that was delivered and not acknowledged.

    The broker takes "not acknowledged" from whoever knows the number of a delivery; any of its
    numbers that are out will do. What lies in a work queue up to the last number delivered is out.
    """
    stream, durable = names.inbox(edge), durable_of(edge)
    reader = await link.api(f"CONSUMER.INFO.{stream}.{durable}", answer=ConsumerInfo)
    if not reader.num_ack_pending:
        return 0
    given = 0
    seq, last = 1, reader.delivered.stream_seq
    while seq <= last and given < IN_FLIGHT_MAX:
        found = await next_message(link, stream, names.batch(edge, "*"), seq)
        if found is None or found.seq > last:
            break
        seq = found.seq + 1
        # deliveries . stream_seq . consumer_seq . time . pending
        at = f"$JS.ACK.{stream}.{durable}.1.{found.seq}.{reader.delivered.consumer_seq}.0.0"
        await link.ask(at, b"-NAK", read=lambda _: None)
        given += 1
    return given
