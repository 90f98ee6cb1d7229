"""The way to a collector: where a drill has it refuse everything, or take its time.

Between what sends and the SDK's exporter, in the thread that sends: so it is met by the bounds of
what waits, by what is counted as dropped, and by what is told of a collector that is away.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from firedoor.adapters.otel.sending import Exporter
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import Place
from firedoor.ports.faults import NoFaults

T = TypeVar("T")
LOOK_S = 0.05
DOWN = "collector_down"


class CollectorFaults(Protocol):
    """What is to be injected in this process: the part of ``ports.faults.Faults`` asked here."""

    def now(self, at: Place) -> Fault | None:
        """Return the fault that is to be injected at this place now, if any is."""
        ...

    def hit(self, count: int = 1) -> None:
        """Count what it hit."""
        ...

    def over(self, fault: str) -> bool:
        """Return whether a fault, by its id, is not injected any more."""
        ...


class CollectorLink(Generic[T]):
    """Sends, unless a drill has the collector be away. See ``sending.Exporter``."""

    def __init__(self, exporter: Exporter[T]) -> None:
        """Lead to an exporter."""
        self.faults: CollectorFaults = NoFaults()
        """What is to be injected in this process."""
        self._exporter = exporter
        self._ended = threading.Event()

    def send(self, items: Sequence[T]) -> bool:
        """Send; return whether that succeeded."""
        fault = self.faults.now("exporter")
        if fault is not None:
            self.faults.hit()
            if fault.name == DOWN:
                return False
            self._wait(fault)
        return self._exporter.send(items)

    def abort(self) -> None:
        """Have ``send`` return soon, and send nothing more."""
        self._ended.set()
        self._exporter.abort()

    def _wait(self, fault: Fault) -> None:
        """Take as much longer as the fault says, until it is over."""
        left_s = fault.intensity
        while left_s > 0 and not self.faults.over(fault.id) and not self._ended.is_set():
            self._ended.wait(min(LOOK_S, left_s))
            left_s -= LOOK_S
