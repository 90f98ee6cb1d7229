"""What a drill may spend of error budgets, could come to spend, and has spent.

Everything is reckoned in seconds in which all units are bad: how many units that are, and whether a
zone is busy, cancels out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from firedoor.drill.catalogue import fault_kind
from firedoor.drill.planning import Exercise
from firedoor.drill.stage import Stage
from firedoor.events.objective import INDICATORS, Indicator

SPEND_MAX = 0.05
"""Of what is left of an error budget, that a drill may spend."""
NOTICE_S = 5.0
"""In which a fault is taken back from a zone that should not feel it: three bad seconds at the
least, a look each second, and whoever injects it asks twice a second."""
BUDGET_LEAST = 1e-6
"""What a promise of 100 % is taken for, as whoever judges it does."""
DAY_S = 86_400.0
Promise = tuple[str, Indicator]
"""Of which zone, and which of its promises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remaining:
    """What is left of one error budget."""

    zone: str
    indicator: Indicator
    left: float
    """Share of the whole; below 0: overdrawn."""
    period_days: float = 30.0

    def share(self, bad_s: float, budget: float) -> float:
        """Return which share of it is spent by so many seconds in which all units are bad.

        Args:
            bad_s: seconds.
            budget: share of units that may be bad.
        """
        rest_s = max(BUDGET_LEAST, budget) * self.left * self.period_days * DAY_S
        if rest_s > 0:
            return bad_s / rest_s
        return math.inf if bad_s > 0 else 0.0


def unknown(stage: Stage, remaining: Sequence[Remaining]) -> tuple[Promise, ...]:
    """Return the promises of which nobody says what is left of their budgets."""
    known = {(each.zone, each.indicator) for each in remaining}
    return tuple(
        (seat.name, indicator)
        for seat in stage.seats
        for indicator in INDICATORS
        if seat.budget(indicator) is not None and (seat.name, indicator) not in known
    )


def could_last_s(exercises: Sequence[Exercise], stage: Stage) -> dict[str, float]:
    """Return for how long all units of each zone could be bad by a drill, at the worst.

    Those that a fault may hurt for as long as it lasts, by the share that it hits. The others until
    it is taken back: in production the first of them that is hurt ends the drill.
    """
    made = dict.fromkeys(stage.names, 0.0)
    for name in made:
        inside = [each for each in exercises if name in each.may_hurt]
        made[name] = sum(each.for_s * _share(each) for each in inside)
        if len(inside) < len(exercises):
            made[name] += NOTICE_S
    return made


def _share(exercise: Exercise) -> float:
    """Return the share of units that a fault hits."""
    return exercise.fault.share if fault_kind(exercise.fault.name).of_what else 1.0


def too_dear(
    exercises: Sequence[Exercise], stage: Stage, remaining: Sequence[Remaining]
) -> tuple[str, ...]:
    """Return in words which budgets could be spent by more than ``SPEND_MAX``, the worst first."""
    lasts_s = could_last_s(exercises, stage)
    found: list[tuple[float, str]] = []
    for each in remaining:
        budget = stage.seat(each.zone).budget(each.indicator) if each.zone in lasts_s else None
        if budget is None:
            continue
        bad_s = lasts_s[each.zone]
        share = each.share(bad_s, budget)
        if share > SPEND_MAX:
            found.append((share, _tell_dear(each, share, bad_s)))
    return tuple(text for _, text in sorted(found, key=lambda pair: -pair[0]))


def _tell_dear(remaining: Remaining, share: float, bad_s: float) -> str:
    """Return that a drill could spend too much, and what to do."""
    named = f"the error budget of {remaining.zone} for {remaining.indicator}"
    if remaining.left <= 0:
        return f"{named} is spent: drill when it has come back"
    return (
        f"it could spend {_percent(share)} of what is left of {named} ({_percent(remaining.left)} "
        f"of it is left, and all could be bad for {bad_s:.3g} s), and may spend "
        f"{_percent(SPEND_MAX)}: have faults last less (for_s), or hit less (share), or drill "
        "when it has come back"
    )


@dataclass(slots=True, kw_only=True)
class Spending:
    """What one drill spends in zones that its faults should not hurt."""

    stage: Stage
    remaining: Sequence[Remaining] = ()
    _before_s: dict[Promise, float] = field(default_factory=dict)
    """By exercises that are over."""

    def overspent(self, bad_s: Mapping[Promise, float]) -> tuple[tuple[str, str], ...]:
        """Return the zones of which more was spent than may be, each with that in words.

        Args:
            bad_s: what was spent in this exercise so far, see ``Following.bad_s``.
        """
        found: list[tuple[str, str]] = []
        for each in self.remaining:
            promise = (each.zone, each.indicator)
            budget = self.stage.seat(each.zone).budget(each.indicator) if promise in bad_s else None
            if budget is None:
                continue
            spent_s = self._before_s.get(promise, 0.0) + bad_s[promise]
            share = each.share(spent_s, budget)
            if share > SPEND_MAX:
                found.append((each.zone, _tell_overspent(each, share)))
        return tuple(found)

    def close(self, bad_s: Mapping[Promise, float]) -> None:
        """Take what an exercise has spent that is over."""
        for promise, more_s in bad_s.items():
            self._before_s[promise] = self._before_s.get(promise, 0.0) + more_s


def _tell_overspent(remaining: Remaining, share: float) -> str:
    """Return that a drill has spent too much."""
    much = "what was left" if math.isinf(share) else f"{_percent(share)} of what was left"
    return (
        f"it has spent {much} of the error budget of {remaining.zone} for {remaining.indicator}, "
        f"and may spend {_percent(SPEND_MAX)}"
    )


def _percent(share: float) -> str:
    """Return a share.

    >>> _percent(0.0512), _percent(1.0), _percent(25.0)
    ('5.12 %', '100 %', '2500 %')
    """
    return f"{share * 100:.4g} %" if share >= 1 else f"{share * 100:.3g} %"
