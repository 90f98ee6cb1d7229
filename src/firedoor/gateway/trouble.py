"""What a version fails at, in words that stay the same while it goes on failing so."""

from __future__ import annotations

from typing import Final

from firedoor.wire.serving import Outcome, Told

RECENT_S: Final = 60.0
"""How long a failure is told of after it was last seen."""
KINDS_MAX: Final = 3
"""Kinds that are told of at once; others are counted, and told of once there is room."""


class Trouble:
    """The attempts of one version: how many ended how, and what it fails at lately."""

    __slots__ = ("_kinds", "outcomes")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.outcomes = [0] * (max(Outcome) + 1)
        """Attempts by outcome."""
        self._kinds: dict[str, float] = {}

    def failed(self, told: Told, now_s: float) -> None:
        """Take a failure."""
        kind = told.outcome.name.lower().replace("_", "-")
        if told.signature and told.signature.lower() != kind:
            kind = f"{kind}, {told.signature}"
        if kind not in self._kinds and len(self._kinds) >= KINDS_MAX:
            self._forget(now_s)
            if len(self._kinds) >= KINDS_MAX:
                return
        self._kinds[kind] = now_s

    def told(self, now_s: float) -> str:
        """Return what it fails at lately; empty: at nothing."""
        self._forget(now_s)
        return "; ".join(self._kinds)

    def _forget(self, now_s: float) -> None:
        """Forget what was not seen for a while."""
        for kind, seen_s in list(self._kinds.items()):
            if now_s - seen_s > RECENT_S:
                del self._kinds[kind]
