"""What a version fails at, in words that stay the same while it goes on failing so."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from firedoor.gateway.services import Failing
from firedoor.wire.serving import Outcome, Told

RECENT_S: Final = 60.0
"""How long a failure is told of after it was last seen."""
KINDS_MAX: Final = 3
"""Kinds that are told of at once; others are counted, and told of once there is room."""


_PLACE = re.compile(r" (?:at|in) \S*:\S*$")
"""Where in the code it was, as signatures end."""


class _Kind(NamedTuple):
    """A kind of failure, the first of it, and when it was last seen."""

    seen_s: float
    text: str
    request: str


class Trouble:
    """The attempts of one version: how many ended how, and what it fails at lately."""

    __slots__ = ("_kinds", "outcomes")

    def __init__(self) -> None:
        """Begin with nothing."""
        self.outcomes = [0] * (max(Outcome) + 1)
        """Attempts by outcome."""
        self._kinds: dict[str, _Kind] = {}

    def failed(self, told: Told, now_s: float, request: str) -> None:
        """Take a failure; ``request``: the id of what was failed at."""
        kind = kind_of(told)
        if kind not in self._kinds and len(self._kinds) >= KINDS_MAX:
            self._forget(now_s)
            if len(self._kinds) >= KINDS_MAX:
                return
        known = self._kinds.get(kind) or _Kind(now_s, told.message, request)
        self._kinds[kind] = known._replace(seen_s=now_s)

    def told(self, now_s: float) -> str:
        """Return what it fails at lately; empty: at nothing."""
        self._forget(now_s)
        return "; ".join(self._kinds)

    def failing(self, about: str, now_s: float) -> list[Failing]:
        """Return the same with what its code said."""
        self._forget(now_s)
        return [
            Failing(about, kind, known.text, known.request) for kind, known in self._kinds.items()
        ]

    def _forget(self, now_s: float) -> None:
        """Forget what was not seen for a while."""
        for kind, known in list(self._kinds.items()):
            if now_s - known.seen_s > RECENT_S:
                del self._kinds[kind]


def kind_of(told: Told) -> str:
    """Return what a failure is, without what the code said of it.

    >>> kind_of(Told(Outcome.RAISED, message="no Jane Doe", signature="KeyError at model.py:3"))
    'raised, KeyError at model.py:3'
    """
    kind = told.outcome.name.lower().replace("_", "-")
    if told.signature and told.signature.lower() != kind:
        return f"{kind}, {told.signature}"
    return kind


def told_to_callers(told: Told) -> str:
    """Return the same without the place in the code.

    >>> told_to_callers(Told(Outcome.DIED, signature="SIGSEGV in model.py:predict"))
    'died, SIGSEGV'
    """
    return _PLACE.sub("", kind_of(told))
