"""Hard faults of a candidate: no statistics, it is given nothing more by this gateway, at once.

What the control plane makes of it is its own affair; a gateway need not wait for that.
"""

from __future__ import annotations

from firedoor.ports.variants import VariantFacts
from firedoor.wire.serving import Outcome

IN_A_ROW = 5
"""Answers that are not finite, or misshaped, one after the other."""
DEATHS = 3
"""Workers that died within 30 s."""


class Trips:
    """What has tripped, of one candidate in one rollout."""

    __slots__ = ("_misshaped", "_non_finite", "tripped")

    def __init__(self) -> None:
        """Begin with nothing."""
        self._non_finite = self._misshaped = 0
        self.tripped: dict[str, str] = {}
        """By kind, what happened."""

    def saw(self, outcome: Outcome, message: str) -> None:
        """Take what became of an attempt, waited for or not. Others than these end a row."""
        if outcome is Outcome.OK:
            self._non_finite = self._misshaped = 0
        elif outcome is Outcome.NON_FINITE:
            self._non_finite, self._misshaped = self._non_finite + 1, 0
            if self._non_finite >= IN_A_ROW:
                self._trip("non_finite", f"{IN_A_ROW} predictions in a row: {message}")
        elif outcome is Outcome.MISSHAPED:
            self._misshaped, self._non_finite = self._misshaped + 1, 0
            if self._misshaped >= IN_A_ROW:
                self._trip("misshaped", f"{IN_A_ROW} answers in a row: {message}")

    def look(self, facts: VariantFacts) -> None:
        """Take how its workers are."""
        if facts.recent_deaths >= DEATHS:
            causes = ", ".join(f"{n} x {cause}" for cause, n in sorted(facts.deaths_by.items()))
            said = f"{facts.recent_deaths} workers died within 30 s" + (causes and f": {causes}")
            self._trip("crash_loop", said)
        if facts.state == "failed":
            self.unloadable(facts.because)

    def unloadable(self, because: str) -> None:
        """Take that it cannot be loaded."""
        self._trip("unloadable", because)

    def _trip(self, kind: str, said: str) -> None:
        """Trip once."""
        self.tripped.setdefault(kind, said[:500])
