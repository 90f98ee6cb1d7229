"""Whether the control plane lives: without that, a candidate is given nothing after a while.

A heartbeat is a value that changes. One that stays as it is was left behind by somebody who is
gone, however often it is read.
"""

from __future__ import annotations


class Lease:
    """The last sign of life."""

    __slots__ = ("_began_s", "_value", "seen_s")

    def __init__(self, now_s: float) -> None:
        """Begin; until a first heartbeat the beginning counts as one."""
        self._began_s = now_s
        self._value: object = None
        self.seen_s: float | None = None

    def heartbeat(self, value: object, now_s: float) -> None:
        """Take the value of the beat as it is now; None: there is none."""
        if value is None or value == self._value:
            return
        first, self._value = self._value is None, value
        if not first:  # the first value may be as old as can be
            self.seen_s = now_s

    def alive(self, now_s: float) -> None:
        """Take another sign of life: a newer route, which nobody else writes."""
        self.seen_s = now_s

    def age_s(self, now_s: float) -> float:
        """Return how old the last sign of life is."""
        return now_s - (self._began_s if self.seen_s is None else self.seen_s)

    def lapsed(self, lease_s: float | None, now_s: float) -> bool:
        """Return whether a lease is over."""
        return lease_s is not None and self.age_s(now_s) > lease_s
