"""The reader's end of a link that a drill disturbs."""

from __future__ import annotations

from firedoor.drill import chance
from firedoor.drill.fault import Fault
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults
from firedoor.ports.streams import Delivery, Inbox
from firedoor.wire.envelope import Damaged, Envelope

CUT_S = 0.5
"""After so long a call over a link that is cut has failed."""


class Disturbed:
    """The faults of a link that all its calls have in common: it is slow, or it is cut."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        """Take what a drill injects here, and the time."""
        self._faults = faults
        self._clock = clock
        self._calls = 0

    def fault(self) -> Fault | None:
        """Return the fault of the link, if there is one now."""
        return self._faults.now("link")

    def count(self) -> None:
        """Count a message that was hit."""
        self._faults.hit()

    async def pass_by(self, key: str = "") -> None:
        """Let a call by: late, or not at all.

        Args:
            key: of the message; empty: it is about no batch, and only a cut concerns it.

        Raises:
            StreamsUnavailable: if the link is cut.
        """
        fault = self.fault()
        if fault is None:
            return
        if fault.name == "partition":
            await self._clock.wait(CUT_S)
            if self.fault() is not None:
                self.count()
                message = f"the link is cut by drill fault {fault.id}"
                raise StreamsUnavailable(message)
        elif key and fault.name in {"latency", "jitter"} and chance.hits(fault, key):
            self.count()
            await self._clock.wait(self._late_s(fault, key))

    def _late_s(self, fault: Fault, key: str) -> float:
        """Return by how much a call is late."""
        if fault.name == "latency":
            return fault.intensity
        self._calls += 1
        return fault.intensity * chance.chance_of(fault.seed, f"{key}/{self._calls}")


class FaultyInbox:
    """See ``ports.streams.Inbox``."""

    def __init__(self, inbox: Inbox, link: Disturbed) -> None:
        """Stand before an inbox."""
        self._inbox = inbox
        self._link = link

    async def fetch(self, count: int, wait_s: float) -> list[Delivery]:
        """Return up to ``count`` deliveries, [] if none came within ``wait_s``."""
        await self._link.pass_by()
        deliveries = await self._inbox.fetch(count, wait_s)
        fault = self._link.fault()
        if fault is None or fault.name == "partition":  # what came before the cut is here
            return deliveries
        came: list[Delivery] = []
        for delivery in deliveries:
            key = f"deliver/{delivery.edge}/{_batch_of(delivery)}"
            if await self._loses(fault, delivery, key):
                continue
            await self._link.pass_by(key)
            came.append(FaultyDelivery(delivery, self._link, fault, key))
        return came

    async def pause(self, wait_s: float) -> None:
        """Have nothing delivered for so long."""
        await self._link.pass_by()
        await self._inbox.pause(wait_s)

    async def _loses(self, fault: Fault, delivery: Delivery, key: str) -> bool:
        """Return whether a delivery does not arrive now: the first one comes again, or later."""
        first = delivery.deliveries == 1 and fault.name in {"drop", "reorder"}
        if not first or not chance.hits(fault, key):
            return False
        self._link.count()
        await delivery.give_back(fault.intensity if fault.name == "reorder" else 0.0)
        return True


class FaultyDelivery:
    """See ``ports.streams.Delivery``."""

    def __init__(self, delivery: Delivery, link: Disturbed, fault: Fault, key: str) -> None:
        """Stand before a delivery that came while there was a fault."""
        self._delivery = delivery
        self._link = link
        self._fault = fault
        self._key = key

    @property
    def envelope(self) -> Envelope:
        """What is known of the batch. Raises ``Damaged``."""
        return self._delivery.envelope

    @property
    def payload(self) -> bytes:
        """The rows."""
        return self._delivery.payload

    @property
    def edge(self) -> str:
        """``publisher:reader``."""
        return self._delivery.edge

    @property
    def deliveries(self) -> int:
        """How often it was delivered, this one included."""
        return self._delivery.deliveries

    async def ack(self) -> None:
        """Take it out of the inbox; where it is to be doubled it comes again instead, once."""
        await self._link.pass_by(f"ack/{self._key}")
        again = self._fault.name == "duplicate" and self.deliveries == 1
        if again and chance.hits(self._fault, self._key):
            self._link.count()
            await self._delivery.give_back()
        else:
            await self._delivery.ack()

    async def give_back(self, delay_s: float = 0.0) -> None:
        """Have it delivered again."""
        await self._link.pass_by(f"give_back/{self._key}")
        await self._delivery.give_back(delay_s)

    async def working(self) -> None:
        """Say that it is still being worked on."""
        await self._link.pass_by()
        await self._delivery.working()


def _batch_of(delivery: Delivery) -> str:
    """Return the id of a batch, or a word for one that cannot be read."""
    try:
        return delivery.envelope.batch
    except Damaged:
        return "damaged"
