"""Tell what comes in crowds at a pace: the first ones at once, then one in a while for all.

A zone that is blocked and runs again forty times a second would fill the ledger in an hour. What is
held back is not lost: numbers are added up, and the latest words are told.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from firedoor.events.happened import Happened
from firedoor.events.kinds import crowd

AT_ONCE = 5
"""Of one crowd that are told by themselves, after it was quiet."""
EACH_S = 10.0
"""After which one more is."""
CROWDS_MAX = 1_000
"""Of which that one is forgotten that told something the longest ago."""
HELD = "held_back"
"""The fact that says how many others an entry stands for."""
ADDED = frozenset({"rows", "batches", "requests", "times", HELD})
"""Facts that are added up."""


@dataclass(slots=True)
class _Crowd:
    """What is known of one."""

    left: float
    """How many may be told now."""
    at_s: float
    held: Happened | None = None


class Pace:
    """Decides what is told now. Times are of a clock that never jumps."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._crowds: dict[tuple[str, ...], _Crowd] = {}

    @property
    def holds(self) -> bool:
        """Whether something is held back."""
        return any(crowd.held is not None for crowd in self._crowds.values())

    def take(self, happened: Happened, now_s: float) -> list[Happened]:
        """Return what is to be told now: nothing, the entry, or one for several."""
        key = crowd(happened)
        if key is None:
            return [happened]
        known = self._crowds.pop(key, None) or _Crowd(AT_ONCE, now_s)
        self._crowds[key] = known
        _refill(known, now_s)
        happened = happened if known.held is None else _joined(known.held, happened)
        told: list[Happened] = []
        if known.left >= 1:
            known.left, known.held = known.left - 1, None
            told.append(happened)
        else:
            known.held = happened
        if len(self._crowds) > CROWDS_MAX:
            oldest = self._crowds.pop(next(iter(self._crowds)))
            told += [] if oldest.held is None else [oldest.held]
        return told

    def due(self, now_s: float, *, all_of_it: bool = False) -> list[Happened]:
        """Return what was held back long enough; or all of it, since nothing more will come."""
        told: list[Happened] = []
        for known in self._crowds.values():
            _refill(known, now_s)
            if known.held is not None and (all_of_it or known.left >= 1):
                told.append(known.held)
                known.left, known.held = known.left - 1, None
        return told


def _refill(known: _Crowd, now_s: float) -> None:
    """Let time count."""
    known.left = min(AT_ONCE, known.left + max(0.0, now_s - known.at_s) / EACH_S)
    known.at_s = now_s


def _joined(held: Happened, happened: Happened) -> Happened:
    """Return the later entry, which stands for both."""
    facts = dict(happened.facts)
    for name in ADDED & held.facts.keys():
        before, now = held.facts[name], facts.get(name, 0)
        if not isinstance(before, str) and not isinstance(now, str):
            facts[name] = before + now
    facts[HELD] = int(facts.get(HELD, 0)) + 1
    return replace(happened, facts=facts)
