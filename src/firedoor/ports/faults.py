"""What a drill wants injected here and now: asked where it would strike, and told that it did."""

from __future__ import annotations

from typing import Protocol

from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import Place


class Faults(Protocol):
    """The fault of one process, if it has one. Never awaited, never raises; one thread asks."""

    def now(self, at: Place) -> Fault | None:
        """Return the fault that is to be injected at this place now, if any is."""
        ...

    def ends_s(self) -> float:
        """Return when it ends if nothing more is heard, on the machine's clock that never jumps."""
        ...

    def hit(self, count: int = 1) -> None:
        """Count what it hit."""
        ...

    def strike(self, batch: str, count: int = 1) -> None:
        """Note that it hits a batch, and how many rows of it or messages."""
        ...

    def struck(self, batch: str) -> str:
        """Return the id of the fault that hit a batch lately; empty: none did."""
        ...

    def forget(self, batch: str) -> None:
        """Take a batch, or its next attempt, for one that was not hit."""
        ...

    def over(self, fault: str) -> bool:
        """Return whether a fault, by its id, is not injected any more."""
        ...

    def unable(self, why: str) -> None:
        """Say that it cannot be injected here, with what to do."""
        ...


class NoFaults:
    """Nothing is injected, ever: what a plane has that nobody drills."""

    def now(self, at: Place) -> Fault | None:
        """Return nothing."""
        del at
        return None

    def ends_s(self) -> float:
        """Return that it is long over."""
        return 0.0

    def hit(self, count: int = 1) -> None:
        """Do nothing."""

    def strike(self, batch: str, count: int = 1) -> None:
        """Do nothing."""

    def struck(self, batch: str) -> str:
        """Return that none did."""
        del batch
        return ""

    def forget(self, batch: str) -> None:
        """Do nothing."""

    def over(self, fault: str) -> bool:
        """Return that it is."""
        del fault
        return True

    def unable(self, why: str) -> None:
        """Do nothing."""
