"""One thread that sends what others hand on: bounded, so that a slow collector slows nobody.

Whoever hands something on never waits: what finds no room is dropped and counted. A collector that
is away is told of once, and once that it is back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
Item_contra = TypeVar("Item_contra", contravariant=True)
CLOSE_S = 2.0
"""Longest that the end of a process waits for its last words to be sent."""


class Exporter(Protocol[Item_contra]):
    """What the SDK's exporters are, as far as they are used here."""

    def send(self, items: Sequence[Item_contra]) -> bool:
        """Send; return whether that succeeded. Blocks, within a timeout of its own."""
        ...

    def abort(self) -> None:
        """Have ``send`` return soon, and send nothing more."""
        ...


@dataclass(slots=True, kw_only=True)
class Queue(Generic[T]):
    """What waits to be sent of one kind. One thread puts, or many; one takes."""

    what: str
    exporter: Exporter[T]
    every_s: float
    items_max: int = 2_048
    batch_max: int = 512
    fill: Callable[[], Sequence[T]] | None = None
    """Makes what is to be sent when it is due, where nobody puts anything."""
    dropped: int = 0
    failed: int = 0
    """Sendings that did not succeed, lately in a row."""
    waiting: deque[T] = field(default_factory=deque)

    def put(self, item: T) -> bool:
        """Take something to be sent; return whether so much waits that it is time."""
        if len(self.waiting) >= self.items_max:
            self.dropped += 1
            return False
        self.waiting.append(item)
        return len(self.waiting) >= self.batch_max

    def take(self) -> list[T]:
        """Return what is sent next."""
        found: list[T] = []
        while self.waiting and len(found) < self.batch_max:
            found.append(self.waiting.popleft())
        return found


class Sender:
    """The thread."""

    def __init__(
        self,
        queues: Sequence[Queue[object]],
        *,
        now_s: Callable[[], float],
        tell: Callable[[str], None],
    ) -> None:
        """Begin to send.

        Args:
            queues: of each kind.
            now_s: a clock that never jumps.
            tell: told when a collector goes and comes.
        """
        self._queues = tuple(queues)
        self._now_s = now_s
        self._tell = tell
        self._bell = threading.Event()
        self._closing = False
        self._due_s = [now_s() + queue.every_s for queue in self._queues]
        self._thread = threading.Thread(target=self._run, name="firedoor-telemetry", daemon=True)
        self._thread.start()

    def ring(self) -> None:
        """Have it look now."""
        self._bell.set()

    def close(self, within_s: float = CLOSE_S) -> None:
        """Send what waits, unless nobody takes it, and end."""
        self._closing = True
        if any(queue.failed for queue in self._queues):
            self._abort()
        self._bell.set()
        self._thread.join(within_s)
        if self._thread.is_alive():
            self._abort()

    def _run(self) -> None:
        """Send whenever it is time, and all of it at the end."""
        while not self._closing:
            self._bell.wait(max(0.0, min(self._due_s) - self._now_s()))
            self._bell.clear()
            for number, queue in enumerate(self._queues):
                due = self._now_s() >= self._due_s[number]
                if due or self._closing or len(queue.waiting) >= queue.batch_max:
                    self._due_s[number] = self._now_s() + queue.every_s
                    self._send(queue)

    def _send(self, queue: Queue[object]) -> None:
        """Send what waits of one kind; what cannot be sent is dropped."""
        if queue.fill is not None:
            for item in queue.fill():
                queue.put(item)
        while items := queue.take():
            if queue.exporter.send(items):
                if queue.failed:
                    self._tell(f"telemetry: {queue.what} are taken again")
                queue.failed = 0
                continue
            queue.dropped += len(items)
            queue.failed += 1
            if queue.failed == 1:
                self._tell(
                    f"telemetry: {queue.what} cannot be sent and are dropped until they can: look "
                    "at the collector, and at OTEL_EXPORTER_OTLP_ENDPOINT"
                )
            return

    def _abort(self) -> None:
        """Have what is being sent end."""
        for queue in self._queues:
            queue.exporter.abort()
