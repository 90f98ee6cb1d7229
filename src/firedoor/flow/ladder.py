"""The ladder of a zone under pressure: when to take one more step, and when to take one back.

Pressure is a number: the fullest inbox as a share of its bytes, or the age of the oldest batch as a
share of what the zone promises. While nobody can tell it (the zone rests, the broker is away),
nothing is decided, and what was seen before counts no more.

| Pressure | For | Step |
|---|---|---|
| at least ``high`` | ``climb_s`` | one up |
| at most ``low`` | the present patience | one back |
| between the two | | none |

A step back may bring the pressure back: at a load that the zone carries only with the step, it
does. Such a relapse doubles the patience, up to ``patience_max_s``, so that at a constant load
steps become rare instead of going to and fro; who is left alone for ``relapse_s`` starts anew. The
time for which a zone stays degraded without need is then at most about as long as it was in need.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderPolicy:
    """When to take steps."""

    rungs: int
    """Steps that there are. 0 to 2."""
    high: float = 0.7
    """Pressure at which one more step is due."""
    low: float = 0.3
    """Pressure at which a step back is due. Less than ``high``."""
    climb_s: float = 5.0
    """For how long the pressure has to be high."""
    patience_s: float = 60.0
    """For how long it has to be low, at first."""
    patience_max_s: float = 21_600.0
    """For how long at most, after relapses."""
    relapse_s: float = 21_600.0
    """Pressure that comes back within this time after a step back is the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderState:
    """Where a zone is. Times are on the caller's clock."""

    rung: int = 0
    """Steps taken."""
    high_since_s: float | None = None
    low_since_s: float | None = None
    patience_s: float | None = None
    """None: as the policy has it."""
    eased_s: float | None = None
    """When the latest step back was taken, if none up came after it."""


def step(
    state: LadderState, pressure: float | None, policy: LadderPolicy, now_s: float
) -> LadderState:
    """Return the state after the pressure was looked at; None: it cannot be told."""
    if pressure is None:
        return replace(state, high_since_s=None, low_since_s=None)
    if pressure >= policy.high:
        return _pressed(replace(state, low_since_s=None), policy, now_s)
    if pressure <= policy.low:
        return _relieved(replace(state, high_since_s=None), policy, now_s)
    return replace(state, high_since_s=None, low_since_s=None)


def _pressed(state: LadderState, policy: LadderPolicy, now_s: float) -> LadderState:
    """Return the state under pressure."""
    since_s = now_s if state.high_since_s is None else state.high_since_s
    if state.rung >= policy.rungs or now_s - since_s < policy.climb_s:
        return replace(state, high_since_s=since_s)
    patience_s = state.patience_s
    if state.eased_s is not None:
        same = now_s - state.eased_s < policy.relapse_s
        doubled = 2 * (policy.patience_s if patience_s is None else patience_s)
        patience_s = min(doubled, policy.patience_max_s) if same else None
    return LadderState(rung=state.rung + 1, high_since_s=now_s, patience_s=patience_s)


def _relieved(state: LadderState, policy: LadderPolicy, now_s: float) -> LadderState:
    """Return the state without pressure."""
    since_s = now_s if state.low_since_s is None else state.low_since_s
    patience_s = policy.patience_s if state.patience_s is None else state.patience_s
    if state.rung == 0 or now_s - since_s < patience_s:
        return replace(state, low_since_s=since_s)
    return replace(state, rung=state.rung - 1, low_since_s=now_s, eased_s=now_s)
