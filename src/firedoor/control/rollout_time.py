"""The time of a rollout: what a clock that is set makes of it, and what passes while nobody looks.

A step lasts for as long as somebody looks at it. So a clock that is set by a day ends no rollout,
and no hour is made up for in which the control plane was away.
"""

from __future__ import annotations

from dataclasses import replace as changed

from msgspec.structs import replace

from firedoor.control.rollout_kept import Kept
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.state import Rollout

GAP_S = 10.0
"""Between two looks, from which the time between them counts as one in which nobody looked."""
GAP_LOOKS = 5
BACK_S = 1.0
"""A clock that goes back by less is waited for."""


def is_set_back(now_s: float, before_s: float) -> bool:
    """Return whether a clock that showed ``before_s`` was set back."""
    return now_s < before_s - BACK_S


def without_gap(kept: Kept, policy: RolloutPolicy, now_s: float) -> Kept:
    """Return what is kept with the times in it moved over one in which nobody looked.

    Args:
        kept: what is known.
        policy: of the service.
        now_s: seconds since 1970, by a clock that may have been set since the last look.
    """
    rollout = kept.state.current
    if rollout is None:
        return replace(kept, looked_s=now_s) if is_set_back(now_s, kept.looked_s) else kept
    passed_s = now_s - max(kept.looked_s, rollout.step_from_s)
    look_s = policy.look_s / policy.time_scale
    gap_s = passed_s - look_s if passed_s > max(GAP_S, GAP_LOOKS * look_s) else 0.0
    if passed_s < -BACK_S:
        gap_s = passed_s
    if not gap_s:
        return kept
    state = changed(kept.state, current=_later(rollout, gap_s))
    return replace(kept, state=state, looked_s=kept.looked_s + gap_s)


def _later(rollout: Rollout, gap_s: float) -> Rollout:
    """Return a rollout all of whose times are later."""
    trial, reference = rollout.trial, rollout.trial.reference
    reference = changed(reference, bucket_from_s=reference.bucket_from_s + gap_s)
    canary_s = rollout.canary_from_s
    return changed(
        rollout,
        step_from_s=rollout.step_from_s + gap_s,
        paused_from_s=rollout.paused_from_s + gap_s,
        canary_from_s=None if canary_s is None else canary_s + gap_s,
        trial=changed(trial, reference=reference),
    )
