"""The error budget of an objective: what may be bad in a period, and what was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from firedoor.slo.objective import Tick

SLOTS = 720
"""Of a period: hours of 30 days. A budget that is spent comes back slot by slot."""
DAY_S = 86_400.0


class Slot(NamedTuple):
    """What was counted in a part of the period."""

    slot: int
    good: int = 0
    own: int = 0
    inherited: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What was counted in the period, the oldest first; slots without units are not there."""

    slots: tuple[Slot, ...] = ()

    @property
    def good(self) -> int:
        """Units that were as promised."""
        return sum(slot.good for slot in self.slots)

    @property
    def own(self) -> int:
        """Units that were bad by the zone's own fault."""
        return sum(slot.own for slot in self.slots)

    @property
    def inherited(self) -> int:
        """Units that were bad by somebody else's."""
        return sum(slot.inherited for slot in self.slots)


def spend(budget: Budget, tick: Tick, *, period_days: float) -> Budget:
    """Return the state after so many units."""
    if not tick.units:
        return budget
    number = int(tick.at_s // (period_days * DAY_S / SLOTS))
    slots = budget.slots
    last = slots[-1] if slots else Slot(slot=number)
    before = slots[:-1]
    if last.slot < number:
        before, last = slots, Slot(slot=number)
    here = Slot(
        slot=last.slot, good=last.good + tick.good, own=last.own + tick.own,
        inherited=last.inherited + sum(tick.inherited.values()),
    )  # fmt: skip
    return expire(Budget(slots=(*before, here)), at_s=tick.at_s, period_days=period_days)


def expire(budget: Budget, *, at_s: float, period_days: float) -> Budget:
    """Return the state without what is past the period."""
    first = int(at_s // (period_days * DAY_S / SLOTS)) - SLOTS
    if not budget.slots or budget.slots[0].slot > first:
        return budget
    return Budget(slots=tuple(slot for slot in budget.slots if slot.slot > first))


def left(budget: Budget, share: float) -> float:
    """Return what is left of the budget, as a share of it; below 0: overdrawn.

    Only own faults spend it. 1 where nothing was counted yet.

    Args:
        budget: what was counted.
        share: of units that may be bad.
    """
    units = budget.good + budget.own
    return 1.0 - budget.own / (share * units) if units else 1.0
