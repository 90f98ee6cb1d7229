"""Failure modes and effects: what could go wrong, ranked by severity x occurrence x detection.

| Figure | 1 to 10 |
|---|---|
| severity | the share of zones that stand still with it; half of that behind a fallback |
| occurrence | 5: not known, until there are drills and incidents to count |
| detection | 10: nothing is promised, so nothing alerts; 7: no runbook; 4: a page with one |

The product (RPN) is ordinal: 200 comes before 100, and is not twice as bad. It gates nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from firedoor.lint.calls import calls_of, reachable, readers_of
from firedoor.spec.plan import Plan, ZonePlan

UNKNOWN = 5
UNSEEN, SEEN, PAGED = 10, 7, 4
TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """One thing that could go wrong."""

    what: str
    effect: str
    severity: int
    occurrence: int
    detection: int

    @property
    def rpn(self) -> int:
        """The risk priority number; ordinal."""
        return self.severity * self.occurrence * self.detection


def failure_modes(plan: Plan) -> tuple[Mode, ...]:
    """Return the ten failure modes of the greatest RPN."""
    modes = [*_zones(plan), *_dependencies(plan)]
    return tuple(sorted(modes, key=lambda mode: -mode.rpn)[:TOP])


def _zones(plan: Plan) -> Iterator[Mode]:
    """Yield for each zone what happens if it stands still."""
    for zone in plan.zones:
        yield _mode(f"{zone.name} stands still", plan, {zone.name}, [zone])


def _dependencies(plan: Plan) -> Iterator[Mode]:
    """Yield for each dependency what happens if it is away."""
    calls = calls_of(plan)
    for callee in calls.by_callee():
        hanging = [zone for zone in plan.zones if callee in calls.behind(zone.name)]
        hard = {z.name for z in hanging if callee in calls.behind(z.name, hard=True)}
        names = {zone.name for zone in hanging}
        yield _mode(f"{callee} is away", plan, hard or names, hanging, softened=not hard)


def _mode(
    what: str, plan: Plan, first: set[str], seen_by: list[ZonePlan], *, softened: bool = False
) -> Mode:
    """Return a failure mode that begins in some zones."""
    hurt = hurt_by(plan, first)
    severity = max(1, -(-10 * len(hurt) // len(plan.zones)) // (2 if softened else 1))
    effect = f"{len(hurt)} of {len(plan.zones)} zones"
    return Mode(
        what=what,
        effect=f"degraded: {effect}" if softened else f"without rows: {effect}",
        severity=severity,
        occurrence=UNKNOWN,
        detection=min((_detection(zone) for zone in seen_by), default=UNSEEN),
    )


def hurt_by(plan: Plan, first: set[str]) -> set[str]:
    """Return the zones that stand still if some do: those behind them, and those they block."""
    readers = readers_of(plan)
    behind = reachable(first, lambda node: readers[node])
    blocked = reachable(
        first, lambda node: [e.publisher for e in plan.inboxes(node) if e.when_full == "block"]
    )
    return first | behind | blocked


def _detection(zone: ZonePlan) -> int:
    """Return how likely it is to go unseen."""
    if not zone.slo:
        return UNSEEN
    return PAGED if zone.runbook else SEEN
