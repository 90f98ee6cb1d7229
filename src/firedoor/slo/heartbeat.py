"""Whether a zone gives signs of life at all: who is silent has no bad units either."""

from __future__ import annotations

from dataclasses import dataclass

from firedoor.slo.policy import AlertPolicy

STARTING_S = 60.0
"""For so long whoever was never heard may be starting: no time scale makes imports quicker."""
LOADING_S = 300.0
"""For so long whoever was never ready may be loading a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """When a zone was heard of last. Times are of a clock that stands still without a broker."""

    heard_s: float
    """When any of its processes said anything."""
    ready_s: float
    """When any of them was ready; the same for zones, which are ready when they are there."""
    known: bool = False
    """Whether it was ever heard, and ready."""
    firing: bool = False


def listen(
    beat: Heartbeat, *, at_s: float, heard: bool, ready: bool, policy: AlertPolicy
) -> Heartbeat:
    """Return the state at this moment."""
    heard_s = at_s if heard else beat.heard_s
    ready_s = at_s if ready else beat.ready_s
    if heard and ready:
        return Heartbeat(heard_s=heard_s, ready_s=ready_s, known=True)
    silent_s = policy.silent_s if beat.known else max(policy.silent_s, STARTING_S)
    unready_s = policy.unready_s if beat.known else max(policy.unready_s, LOADING_S)
    silent = at_s - heard_s > silent_s
    unready = heard and at_s - ready_s > unready_s
    firing = beat.firing or silent or unready
    return Heartbeat(heard_s=heard_s, ready_s=ready_s, known=beat.known, firing=firing)
