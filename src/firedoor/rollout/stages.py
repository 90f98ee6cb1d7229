"""By which numbers each step of a rollout is judged, and when it has been through."""

from __future__ import annotations

import math

from firedoor.rollout.guardrails import Rules, find_lacking
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.state import Heading, Hold, Rollout, ServiceState

WINDOW_S = 3_600.0
"""Over which it is taken what is usual for the champion."""
PROBATION_S = 3_600.0
PROBATION_WEIGHT = 0.05
"""A second chance is given no more than this in its first hour."""
SILENT_MAX = 3
"""Looks in a row without a gateway after which there is no evidence."""
ALARMS_MAX = 3
"""Times that a version which looks wrong once it serves everybody is compared again: the fourth
time it is a fault that only the whole load shows, and it is given up."""
ALONE_FACTOR = 2.0
"""On the rate from which a version is rolled back that nothing can be compared with."""
LOOKS_ALONE_MIN = 30
GIVE_UP = 4.0
"""Times its time-out after which a step is rolled back."""


def steps_of(rollout: Rollout, policy: RolloutPolicy) -> tuple[float, ...]:
    """Return the shares of its steps; a second chance begins with 5 % at most."""
    if rollout.second_chance and policy.steps[0] > PROBATION_WEIGHT:
        return (PROBATION_WEIGHT, *policy.steps)
    return policy.steps


def weight_of(rollout: Rollout, policy: RolloutPolicy) -> float:
    """Return the share of the subjects that the candidate answers."""
    if rollout.place not in ("canary", "bake"):
        return 0.0
    return steps_of(rollout, policy)[rollout.step]


def rules_of(rollout: Rollout, policy: RolloutPolicy, *, labels: bool, columns: int) -> Rules:
    """Return the numbers by which it is judged where it is.

    A second chance is held to half the allowance, rolled back on half the evidence and promoted
    on twice as much. Copies and real requests are two bodies of evidence, each with half of
    ``alpha``. How slow copies are answered says little: nobody waits for them, and the workers
    that do it yield to the champion's.
    """
    strict = 2.0 if rollout.second_chance else 1.0
    steps = steps_of(rollout, policy)
    following = steps[min(rollout.step + 1, len(steps) - 1)]
    if rollout.place == "shadow":
        following = 1.0 if rollout.second_chance else steps[0]
    return Rules(
        alpha=min(policy.alpha * strict, 0.5) / (2 if policy.shadow else 1),
        beta=policy.beta / strict,
        ratio_good=policy.ratio_good,
        ratio_bad=policy.ratio_bad,
        allowance=policy.allowance / strict,
        labels_min=policy.labels_min,
        window_s=WINDOW_S / policy.time_scale,
        share_next=following,
        alone=weight_of(rollout, policy) >= 1,
        alone_factor=ALONE_FACTOR if len(steps) == 1 else 1.0,
        looks_alone=max(LOOKS_ALONE_MIN, math.ceil(policy.bake_s / policy.look_s)),
        slow=rollout.cutoffs is not None and rollout.place != "shadow",
        labels=labels,
        need_labels=policy.need_labels and labels,
        columns=columns,
    )


def least_requests(rollout: Rollout, policy: RolloutPolicy) -> int:
    """Return how many requests of the candidate a step takes."""
    return policy.shadow_requests if rollout.place == "shadow" else policy.requests_min


def least_s(rollout: Rollout, policy: RolloutPolicy) -> float:
    """Return how long a step takes."""
    return (policy.bake_s if rollout.place == "bake" else policy.step_s) / policy.time_scale


def timeout_s(rollout: Rollout, policy: RolloutPolicy) -> float:
    """Return how long a step may take."""
    step_s = max(policy.step_timeout_s / policy.time_scale, 2 * least_s(rollout, policy))
    waits = rollout.second_chance and rollout.place == "canary"
    return step_s + (PROBATION_S / policy.time_scale if waits else 0.0)


def in_probation(rollout: Rollout, policy: RolloutPolicy, now_s: float) -> bool:
    """Return whether it is a second chance that may not be given more yet."""
    if not rollout.second_chance or rollout.place != "canary":
        return False
    steps = steps_of(rollout, policy)
    if steps[min(rollout.step + 1, len(steps) - 1)] <= PROBATION_WEIGHT:
        return False
    since_s = rollout.canary_from_s
    return since_s is None or now_s - since_s < PROBATION_S / policy.time_scale


def find_hold(rollout: Rollout, policy: RolloutPolicy, now_s: float, *, ready: bool) -> Hold:
    """Return why it is held, if it is."""
    if rollout.silent >= SILENT_MAX:
        return "no_evidence"
    if not ready and rollout.place != "qualifying":
        return "not_ready"
    if rollout.trial.masked_share > policy.masked_max:
        return "baseline_unhealthy"
    if now_s - rollout.step_from_s >= timeout_s(rollout, policy):
        return "not_ready" if rollout.place == "qualifying" else "no_verdict"
    return ""


def has_exposure(rollout: Rollout, policy: RolloutPolicy, now_s: float) -> bool:
    """Return whether a step was long, and saw enough, to be judged good."""
    trial = rollout.trial
    return (
        trial.requests >= least_requests(rollout, policy)
        and trial.looks >= policy.looks_min
        and now_s - rollout.step_from_s >= least_s(rollout, policy)
    )


def is_through(rollout: Rollout, policy: RolloutPolicy, rules: Rules, now_s: float) -> bool:
    """Return whether a step has shown all that it is for."""
    if not has_exposure(rollout, policy, now_s) or rollout.silent:
        return False
    if rollout.trial.masked_share > policy.masked_max:
        return False
    if in_probation(rollout, policy, now_s):
        return False
    return find_lacking(rollout.trial, rules) is None


def heading_of(state: ServiceState, policy: RolloutPolicy, *, labels: bool) -> Heading:
    """Return where requests are to go. Nothing of a rollout that ends is in it."""
    rollout = state.current
    if rollout is None or rollout.phase == "rolling_back":
        return Heading()
    weight = weight_of(rollout, policy)
    shadow = rollout.place == "shadow"
    compared = shadow or (labels and weight > 0)
    return Heading(
        mode="canary" if weight else "shadow" if shadow else "steady",
        candidate=rollout.candidate,
        weight=weight,
        step=rollout.step,
        mirror=policy.mirror if compared else 0.0,
        held_slices=rollout.held_slices,
        rollout=state.name_of(rollout),
        cutoffs=rollout.cutoffs,
    )
