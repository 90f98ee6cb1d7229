"""What a step calls out of its zone: guards, and what is known of what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from firedoor.errors import DeclarationError
from firedoor.spec.checking import check_number, check_switch
from firedoor.spec.plan import DependencyPlan, GuardPlan

DEPENDS_MAX = 16
"""Guards of one zone. A step that calls more is several steps."""
CALLS_MAX = 1e6


@runtime_checkable
class Guarding(Protocol):
    """What can be asked for a guard's numbers: an ``fd.Guard``."""

    @property
    def name(self) -> str:
        """Who calls whom."""

    def plan(self) -> GuardPlan:
        """Return its numbers as plain values."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A guard, with what is known of what it stands before. For ``firedoor check`` only."""

    guard: Guarding
    """An ``fd.Guard``, the one that the step calls through."""
    availability: float | None = None
    """Share of calls that the dependency promises to answer. 0 to 1; None: not known."""
    calls: float | None = None
    """Calls that a batch makes. 0.001 to 1,000,000; None: not known."""
    idempotent: bool | None = None
    """Whether a call made twice does no more than one made once; None: not known."""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _plan_of(self.guard, "guard")
        if self.availability is not None:
            check_number("availability", self.availability, 0, 1, "as a share of the calls")
        if self.calls is not None:
            check_number("calls", self.calls, 0.001, CALLS_MAX, "calls a batch")
        if self.idempotent is not None:
            check_switch("idempotent", self.idempotent)

    def plan(self) -> DependencyPlan:
        """Return it as a plain value."""
        return DependencyPlan(
            guard=self.guard.plan(),
            availability=None if self.availability is None else float(self.availability),
            calls=None if self.calls is None else float(self.calls),
            idempotent=self.idempotent,
        )


Depends: TypeAlias = "Sequence[Guarding | Dependency]"
"""What ``depends=`` takes."""


def check_depends(value: object) -> tuple[DependencyPlan, ...]:
    """Return what a step depends on, as plain values.

    Raises:
        DeclarationError: for what is no guard, one that is named twice, or too many.
    """
    if isinstance(value, str) or not isinstance(value, Sequence):
        remedy = 'write depends=[guard], with guard = fd.Guard("enrich->weather")'
        raise DeclarationError("depends", value, "is no list of guards", remedy)
    if len(value) > DEPENDS_MAX:
        why = f"names {len(value)} guards, more than {DEPENDS_MAX}"
        raise DeclarationError("depends", value, why, "split the step")
    plans: list[DependencyPlan] = []
    for item in value:
        if isinstance(item, Dependency):
            plan = item.plan()
        else:
            plan = DependencyPlan(guard=_plan_of(item, "depends"))
        if any(plan.guard.name == other.guard.name for other in plans):
            why = "is named twice"
            raise DeclarationError("depends", plan.guard.name, why, "name each guard once")
        plans.append(plan)
    return tuple(plans)


def _plan_of(guard: object, field: str) -> GuardPlan:
    """Return the numbers of a guard; refuse anything else."""
    plan = guard.plan() if isinstance(guard, Guarding) and not isinstance(guard, type) else None
    if isinstance(plan, GuardPlan):
        return plan
    around = getattr(guard, "guard", None)
    remedy = 'give the fd.Guard itself: guard = fd.Guard("enrich->weather")'
    if isinstance(around, Guarding):
        remedy = f"name its guard, {around.name!r}, and not the function that it stands around"
    raise DeclarationError(field, guard, "is no guard", remedy)
