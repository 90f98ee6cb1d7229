"""One inbox: bounded, each message out until it is acknowledged, each id stored once."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass, field

from firedoor.errors import StreamFull
from firedoor.ports.streams import Depth
from firedoor.units import format_bytes

ACK_WAIT_S = 30.0
"""After which what was delivered and not acknowledged is delivered again."""
DUPLICATES_S = 600.0
"""For which the id of a message is remembered."""


@dataclass(slots=True, eq=False)
class Message:
    """A batch in an inbox."""

    id: str
    header: str
    payload: bytes
    at_s: float
    due_s: float
    """Not delivered before."""
    deliveries: int = 0
    held: bool = False

    @property
    def size(self) -> int:
        """Bytes that it takes of the bound."""
        return len(self.id) + len(self.header) + len(self.payload)


@dataclass(slots=True, eq=False)
class Box:
    """The messages of one edge, and who waits for them."""

    edge: str
    bytes_max: int
    ack_wait_s: float = ACK_WAIT_S
    messages: dict[int, Message] = field(default_factory=dict)
    """By sequence number, from 1."""
    paused_until_s: float = -math.inf
    """Nothing is handed out before."""
    _ids: dict[str, float] = field(default_factory=dict)
    """When each id was stored, oldest first."""
    _sequence: int = 0
    _bytes: int = 0
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def put(self, identity: str, header: str, payload: bytes, now_s: float) -> bool:
        """Store a message; False if its id is known.

        Raises:
            StreamFull: if there is no room.
        """
        self._forget_old(now_s)
        if identity in self._ids:
            return False
        message = Message(identity, header, payload, now_s, due_s=now_s)
        if self._bytes + message.size > self.bytes_max:
            raise StreamFull(
                f"the inbox {self.edge} has no room for {format_bytes(message.size)}: "
                f"{format_bytes(self._bytes)} of {format_bytes(self.bytes_max)} are taken; "
                "its reader has to catch up"
            )
        self._sequence += 1
        self._bytes += message.size
        self._ids[identity] = now_s
        self.messages[self._sequence] = message
        self.wake()
        return True

    def take(self, count: int, now_s: float, shuffle: random.Random | None) -> list[int]:
        """Hand out up to ``count`` messages that are due; return their numbers."""
        if now_s < self.paused_until_s:
            return []
        due = [number for number, message in self.messages.items() if message.due_s <= now_s]
        if shuffle is not None:
            shuffle.shuffle(due)
        for number in due[:count]:
            message = self.messages[number]
            message.deliveries += 1
            message.held = True
            message.due_s = now_s + self.ack_wait_s
        return due[:count]

    def next_due_s(self) -> float | None:
        """Return when the next message is due; None if there is none."""
        first = min((message.due_s for message in self.messages.values()), default=None)
        return None if first is None else max(first, self.paused_until_s)

    def pause(self, until_s: float) -> None:
        """Hand nothing out before a time."""
        self.paused_until_s = until_s
        self.wake()

    def drop(self, number: int) -> None:
        """Take a message out for good; one that is out already stays so."""
        message = self.messages.pop(number, None)
        if message is not None:
            self._bytes -= message.size

    def give_back(self, number: int, due_s: float) -> None:
        """Have a message delivered again from ``due_s`` on."""
        message = self.messages.get(number)
        if message is not None:
            message.held = False
            message.due_s = due_s
            self.wake()

    def extend(self, number: int, now_s: float) -> None:
        """Wait for the acknowledgement of a message from now on."""
        message = self.messages.get(number)
        if message is not None:
            message.due_s = now_s + self.ack_wait_s

    def depth(self) -> Depth:
        """Return what waits. ``oldest_s`` is in the time in which messages were put."""
        return Depth(
            messages=len(self.messages),
            bytes=self._bytes,
            bytes_max=self.bytes_max,
            unacknowledged=sum(message.held for message in self.messages.values()),
            oldest_s=next((message.at_s for message in self.messages.values()), None),
        )

    def holds(self, identity: str) -> bool:
        """Return whether a message is in it."""
        return any(message.id == identity for message in self.messages.values())

    def restart(self) -> None:
        """Remember only the ids of what is still there, as the broker does from its files."""
        self._ids = {message.id: message.at_s for message in self.messages.values()}
        self.wake()

    async def changed(self, within_s: float) -> None:
        """Return when something may have become due, or after ``within_s``."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(max(0.0, within_s)):
                await waiter
        except TimeoutError:
            return
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def wake(self) -> None:
        """Let everybody who waits look again."""
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _forget_old(self, now_s: float) -> None:
        """Forget ids whose time is over."""
        for identity, at_s in list(self._ids.items()):
            if now_s - at_s < DUPLICATES_S:
                return
            del self._ids[identity]
