"""Whether a new version does well what made the last one go.

Gate A: of every signature of failure, no request may fail again. With none failing of ``n``, up to
``1 - 0.05 ** (1 / n)`` of such requests may still fail, at 95 %: 1 % of 300, 4.9 % of 60.

Gate B: what was answered well before is answered well still; or else far more is mended than
broken: an exact one-sided McNemar test, at 1 %. Ten mended and one broken pass (0.0059), five and
none do not (0.031).

Gate C is in ``drilled``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

MCNEMAR_MAX = 0.01
SURE = 0.95
TOLD_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOutcome:
    """What became of the requests of an evidence pack."""

    failing: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By signature of failure: how many were replayed, how many failed again."""
    good: int = 0
    """Requests replayed that had been answered well."""
    broken: int = 0
    """How many of them failed now."""
    kinds: tuple[str, ...] = ()
    """Ways in which the last version failed, see ``drilled.FAULTS``."""
    missing: str = ""
    """Why nothing could be replayed; empty: it could."""

    @property
    def fixed(self) -> int:
        """Return how many failing requests are answered now."""
        return sum(replayed - failed for replayed, failed in self.failing.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Requalified:
    """A verdict on a replay."""

    passed: bool
    because: str


def judge(outcome: ReplayOutcome) -> Requalified:
    """Return whether a version that replayed an evidence pack may be given requests again."""
    if outcome.missing:
        return Requalified(passed=False, because=f"nothing was replayed: {outcome.missing}")
    again = {name: n for name, (_, n) in outcome.failing.items() if n}
    if again:
        named = ", ".join(f"{n} of {outcome.failing[s][0]} {s}" for s, n in _most(again))
        more = f" and {len(again) - TOLD_MAX} more signatures" if len(again) > TOLD_MAX else ""
        return Requalified(passed=False, because=f"still fails: {named}{more}")
    if outcome.broken:
        chance = mcnemar(outcome.fixed, outcome.broken)
        told = f"{outcome.fixed} requests mended, {outcome.broken} of {outcome.good} broken"
        if chance > MCNEMAR_MAX:
            because = f"{told}: that may be luck (p = {chance:.2g}, {MCNEMAR_MAX} is allowed)"
            return Requalified(passed=False, because=because)
        return Requalified(passed=True, because=f"{told} (p = {chance:.2g})")
    return Requalified(passed=True, because=_passed(outcome))


def residual(n: int) -> float:
    """Return the share that may still fail, at 95 %, where none of ``n`` did; 1 of none."""
    return 1 - (1 - SURE) ** (1 / n) if n > 0 else 1.0


def mcnemar(fixed: int, broken: int) -> float:
    """Return the chance of so many mended or more, if mending and breaking were equally likely."""
    total = fixed + broken
    return sum(math.comb(total, k) for k in range(fixed, total + 1)) * math.pow(0.5, total)


def _most(again: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(again.items(), key=lambda one: (-one[1], one[0]))[:TOLD_MAX]


def _passed(outcome: ReplayOutcome) -> str:
    """Say what a pass is worth."""
    if not outcome.failing:
        return f"no failing request was kept; {outcome.good} good ones are answered as before"
    least = min(replayed for replayed, _ in outcome.failing.values())
    return (
        f"{outcome.fixed} requests of {len(outcome.failing)} signatures failed before and none "
        f"does now; at most {residual(least):.1%} of the rarest may still fail"
    )
