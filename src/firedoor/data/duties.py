"""What a runner does beside its batches: take orders, say how it goes, bury dead rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.data.faults import Leaving
from firedoor.data.insist import LEAVE_S, Insist
from firedoor.errors import DeadLettersFull, StreamsUnavailable
from firedoor.flow.zone import DEAD_LETTERS, BrokerAway, BrokerBack, Emptied, Filled
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.wire.records import DeadEntry, Order, ZoneStatus

ORDERS_S = 0.5
BEAT_S = 1.0
ROOM_RETRY_S = 1.0
"""Wait between two looks for room among the dead letters."""


class Duties:
    """Orders and beats of one zone's process."""

    def __init__(
        self,
        streams: Streams,
        clock: Clock,
        *,
        conduct: Conduct,
        replica: str,
        status: Callable[[], ZoneStatus],
        refresh: Callable[[], Awaitable[None]],
    ) -> None:
        """Take what is needed.

        Args:
            streams: the zone's end of the broker.
            clock: the time.
            conduct: whom to tell.
            replica: which process this is.
            status: what to say.
            refresh: called whenever orders are read, for what else may have changed.
        """
        self.beats_lost = 0
        self._zone = conduct.plan.name
        self._beat_key = f"zone.{self._zone}.{replica}"
        self._streams = streams
        self._clock = clock
        self._conduct = conduct
        self._status = status
        self._refresh = refresh

    async def follow_orders(self) -> None:
        """Look what is wanted, for ever.

        A source that waits for rows asks the broker nothing else: here it notices that it is away.
        """
        away = ""
        while True:
            await self._clock.wait(ORDERS_S)
            self._conduct.clear()
            try:
                await self.read_order()
                await self._refresh()
            except StreamsUnavailable as error:  # what was wanted last still is
                if not self._conduct.state.away:
                    away = str(error)
                    self._conduct.tell(BrokerAway(away))
            else:
                # What a failed write has told is not over because a read was answered.
                if away and self._conduct.state.away == away:
                    self._conduct.tell(BrokerBack())
                away = ""

    async def read_order(self) -> None:
        """Read the order; what cannot be read is none.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        value = await self._streams.get(f"order.{self._zone}")
        try:
            order = msgspec.json.decode(value, type=Order) if value else Order()
        except msgspec.DecodeError:
            order = Order(generation=max(0, self._conduct.state.generation))
        self._conduct.order(order)

    async def beat(self) -> None:
        """Say how it goes each second, for ever."""
        while True:
            await self.beat_once()
            await self._clock.wait(BEAT_S)

    async def beat_once(self) -> None:
        """Say how it goes; nobody has to hear it."""
        try:
            await self._streams.beat(self._beat_key, msgspec.json.encode(self._status()))
        except StreamsUnavailable:
            self.beats_lost += 1


async def bury(
    entry: DeadEntry,
    payload: bytes,
    *,
    streams: Streams,
    insist: Insist,
    conduct: Conduct,
    clock: Clock,
) -> None:
    """Keep dead rows; while there is no room for them the zone is paused.

    Raises:
        Leaving: if the zone drains and there stays no room.
        StreamsUnavailable: if it drains and the broker stays away.
    """
    leaving_s = 0.0
    while True:
        try:
            await insist(lambda: streams.bury(entry, payload))
        except DeadLettersFull:
            conduct.tell(Filled(DEAD_LETTERS))
            if leaving_s >= LEAVE_S:
                raise Leaving("there is no room for dead letters") from None
            await clock.wait(ROOM_RETRY_S)
            leaving_s += ROOM_RETRY_S * conduct.leaving
        else:
            if DEAD_LETTERS in conduct.state.full:
                conduct.tell(Emptied(DEAD_LETTERS))
            return
