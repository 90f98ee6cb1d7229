"""Leave to drill in production: a person gives it for a quarter of an hour, if all is well."""

from __future__ import annotations

from pathlib import Path

import msgspec

from firedoor.compose.drill_watch import decoded
from firedoor.control.rollout_kept import decode_rollouts, rollout_key
from firedoor.errors import DrillRefused
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

LEAVE_KEY = "drill.leave"
LEAVE_S = 900.0
"""For which leave holds."""
BUDGET_MIN = 0.5
"""Share of each error budget that must be left."""
STATUS_BYTES_MAX = 64 * 2**20
STATUS_FILES = ("slo.json", "serving/slo.json")


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """The value of ``drill.leave``: who has agreed to a drill in production."""

    by: str
    because: str
    at_s: float


class _Alert(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of an alert in ``slo.json``."""

    text: str


class Promise(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of an objective in ``slo.json``."""

    zone: str
    indicator: str
    left: float
    """Share of its error budget."""
    alerts: tuple[_Alert, ...] = ()


class _Status(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of ``slo.json``."""

    objectives: tuple[Promise, ...] = ()


async def give_leave(streams: Streams, leave: Leave) -> None:
    """Keep that a person agrees to drills in production, from now on for a quarter of an hour.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    await streams.put(LEAVE_KEY, msgspec.json.encode(leave))


def read_promises(folder: Path) -> tuple[Promise, ...]:
    """Return how objectives are, as whoever judges them wrote it last; none if nobody does.

    Args:
        folder: ``.firedoor``.
    """
    found: list[Promise] = []
    for name in STATUS_FILES:
        try:
            with (folder / name).open("rb") as opened:
                status = decoded(opened.read(STATUS_BYTES_MAX), _Status)
        except OSError:
            continue
        found += status.objectives if status else ()
    return tuple(found)


async def require_leave(
    streams: Streams, plan: Plan, promises: tuple[Promise, ...], *, at_s: float
) -> None:
    """Refuse a drill in production that nobody agreed to, or at a bad time.

    Args:
        streams: of the pipeline.
        plan: the pipeline.
        promises: how its objectives are.
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
    _require_health(promises)
    for service in plan.services:
        value = await streams.get(rollout_key(service.name))
        current = None if value is None else decode_rollouts(value).state.current
        if current is not None and current.hold != "drill":  # that one waits for drills
            message = f"a rollout of {service.name} is under way: drill when it is done"
            raise DrillRefused(message)


def _require_health(promises: tuple[Promise, ...]) -> None:
    """Refuse to drill what is not well, or of which nobody knows how it is."""
    if not promises:
        message = (
            "what is left of error budgets is not known here: run the drill where the pipeline is "
            "supervised, and give zones objectives (slo=)"
        )
        raise DrillRefused(message)
    for promise in promises:
        if promise.alerts:
            message = f"{promise.zone}: {promise.alerts[0].text}: drill when that is over"
            raise DrillRefused(message)
        if promise.left < BUDGET_MIN:
            message = (
                f"{promise.left:.0%} of the error budget of {promise.zone} for {promise.indicator} "
                f"are left, and a drill in production needs {BUDGET_MIN:.0%}: drill when it has "
                "come back"
            )
            raise DrillRefused(message)
