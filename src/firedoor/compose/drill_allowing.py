"""Leave to drill in production: a person gives it for a quarter of an hour, if all is well."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from firedoor.compose.drill_watch import decoded
from firedoor.compose.judging import heard
from firedoor.control.rollout_kept import decode_rollouts, rollout_key
from firedoor.drill.spending import Remaining
from firedoor.errors import DrillRefused
from firedoor.ports.streams import Streams
from firedoor.rollout.state import ServiceState
from firedoor.slo.status import ObjectiveStatus
from firedoor.spec.plan import Plan

LEAVE_KEY = "drill.leave"
LEAVE_S = 900.0
"""For which leave holds."""
BUDGET_MIN = 0.5
"""Share of each error budget that must be left."""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """The value of ``drill.leave``: who has agreed to a drill in production."""

    by: str
    because: str
    at_s: float


async def give_leave(streams: Streams, leave: Leave) -> None:
    """Keep that a person agrees to drills in production, from now on for a quarter of an hour.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    await streams.put(LEAVE_KEY, msgspec.json.encode(leave))


async def heard_objectives(streams: Streams) -> tuple[ObjectiveStatus, ...]:
    """Return how objectives are, as whoever judges them says it now; none if nobody does.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    return tuple(
        objective
        for status in await heard(streams)
        if not status.blind
        for objective in status.objectives
    )


def remaining_of(objectives: Sequence[ObjectiveStatus]) -> tuple[Remaining, ...]:
    """Return what is left of each error budget."""
    return tuple(
        Remaining(
            zone=each.zone, indicator=each.indicator, left=each.left, period_days=each.period_days
        )
        for each in objectives
    )


async def require_leave(
    streams: Streams, plan: Plan, objectives: Sequence[ObjectiveStatus], *, at_s: float
) -> None:
    """Refuse a drill in production that nobody agreed to, or at a bad time.

    Args:
        streams: of the pipeline.
        plan: the pipeline.
        objectives: how they are, see ``heard_objectives``.
        at_s: now, UTC.

    Raises:
        DrillRefused: with what is missing.
        StreamsUnavailable: if the broker is away.
    """
    leave = decoded(await streams.get(LEAVE_KEY), Leave)
    if leave is None or not 0 <= at_s - leave.at_s < LEAVE_S:
        message = (
            "nobody agreed to a drill in production in the last 15 minutes: "
            'firedoor drill allow --because "..."'
        )
        raise DrillRefused(message)
    _require_health(objectives)
    for service in plan.services:
        value = await streams.get(rollout_key(service.name))
        state = None if value is None else decode_rollouts(value).state
        if state is not None and _busy(state):
            message = f"a rollout of {service.name} is under way, or waits: drill when it is done"
            raise DrillRefused(message)


def _busy(state: ServiceState) -> bool:
    """Return whether a rollout is under way, or waits; one that waits for drills is in no way."""
    held = state.current is not None and state.current.hold == "drill"
    return not held and bool(state.current or state.waiting or state.returning)


def _require_health(objectives: Sequence[ObjectiveStatus]) -> None:
    """Refuse to drill what is not well, or of which nobody knows how it is."""
    if not objectives:
        message = (
            "what is left of error budgets is not known: give zones objectives (slo=), and see "
            "that somebody judges them (firedoor up and serve do, or firedoor slo watch)"
        )
        raise DrillRefused(message)
    for each in objectives:
        if each.alerts:
            message = f"{each.zone}: {each.alerts[0].text}: drill when that is over"
            raise DrillRefused(message)
        if each.left < BUDGET_MIN:
            message = (
                f"{each.left:.0%} of the error budget of {each.zone} for {each.indicator} are "
                f"left, and a drill in production needs {BUDGET_MIN:.0%}: drill when it has come "
                "back"
            )
            raise DrillRefused(message)
