"""Rollouts in sentences: what decided, and why it waits."""

from __future__ import annotations

import math

from firedoor.rollout.counts import Metric
from firedoor.rollout.guardrails import (
    Bad,
    Guardrail,
    Meter,
    Rules,
    Trial,
    find_lacking,
    log_bad,
    log_needed_good,
)
from firedoor.rollout.need import MANY, requests_below, requests_to_accept
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.slices import Slice
from firedoor.rollout.slowness import SLOW_RATES
from firedoor.rollout.stages import (
    GIVE_UP,
    PROBATION_S,
    has_exposure,
    in_probation,
    least_requests,
    least_s,
    rules_of,
    steps_of,
    timeout_s,
)
from firedoor.rollout.state import Rollout, ServiceState

NAMES: dict[Guardrail, str] = {
    "error": "errors", "non_finite": "predictions that are no numbers",
    "slow95": "answers beyond the champion's 95th percentile",
    "slow99": "answers beyond the champion's 99th percentile",
    "fallback": "answers with worse features", "loss": "loss",
}  # fmt: skip
TRIPS = {
    "crash_loop": "its workers died again and again",
    "non_finite": "prediction after prediction was no number",
    "misshaped": "its answers are not what it declares",
    "unloadable": "it cannot be loaded",
    "killed": "its kill switch was thrown",
}


def tell_bad(trial: Trial, rules: Rules, bad: Bad | None, name: str | None) -> str:
    """Say what speaks against a candidate."""
    if bad is None:
        return f"a fourth slice is worse, {name}: then it is the version"
    evidence = f"(evidence {min(bad.e, 1e9):,.0f}, {1 / rules.alpha:,.0f} is enough)"
    if bad.guardrail == "loss":
        share = trial.paired.loss_sum / max(1, trial.paired.n)
        return (
            f"its loss is higher by {share:.2%} of the largest, over {trial.paired.n:,} requests "
            f"that both versions answered {evidence}"
        )
    meter = trial.meters.get(bad.guardrail, Meter())
    return f"{NAMES[bad.guardrail]}: {_compared(meter, alone=rules.alone)} {evidence}"


def tell_slice(name: str, found: Slice, labels_min: int) -> str:
    """Say why a slice stays with the champion."""
    meter = Meter(candidate=found.candidate, baseline=found.baseline)
    told = f"{name}: failed requests: {_compared(meter)}"
    if found.paired.n >= labels_min and found.paired.loss_sum > 0:
        share = found.paired.loss_sum / found.paired.n
        told += f"; loss higher by {share:.2%} of the largest over {found.paired.n:,} labels"
    return f"{told}. It stays with the champion, and the rest is judged anew"


def tell_trip(kind: str, detail: str) -> str:
    """Say which hard fault it was."""
    return TRIPS.get(kind, kind) + (f": {detail}" if detail else "")


def tell_span(policy: RolloutPolicy, rollout: Rollout) -> str:
    """Say how long a step takes at least."""
    return _span(least_s(rollout, policy))


def tell_place(rollout: Rollout, policy: RolloutPolicy) -> str:
    """Say where it is: ``25 %``, ``shadow``."""
    if rollout.place in ("canary", "bake"):
        return f"{100 * steps_of(rollout, policy)[rollout.step]:g} %"
    return rollout.place


def tell_hold(rollout: Rollout, policy: RolloutPolicy) -> str:  # noqa: PLR0911 - a line a reason
    """Say why it is held, and what ends that."""
    place = tell_place(rollout, policy)
    match rollout.hold:
        case "no_evidence":
            return f"no gateway speaks, so there is no evidence; it stays at {place} meanwhile"
        case "baseline_unhealthy":
            share = rollout.trial.masked_share
            return (
                f"the champion itself was sick at {share:.0%} of the last looks: nothing can be "
                "told from a comparison with it"
            )
        case "no_verdict":
            over = _span(GIVE_UP * timeout_s(rollout, policy))
            return (
                f"no verdict at {place} within {_span(timeout_s(rollout, policy))}: it goes on "
                f"as soon as there is one, and is rolled back after {over}"
            )
        case "not_ready" if rollout.place == "qualifying":
            return "the candidate is not ready, or the champion has answered too little to know"
        case "not_ready":
            return "not every gateway has the candidate ready"
        case "drill":
            return rollout.undrilled
        case "slices":
            names = ", ".join(rollout.held_slices)
            return f"all is well but for {names}: promote it for all, or roll it back"
        case _:
            return ""


def why_waiting(
    state: ServiceState, policy: RolloutPolicy, now_s: float, *, labels: bool, columns: int = 0
) -> str:
    """Say why a rollout is where it is: evidence so far against what it takes.

    And what no drill has shown of a version that was let in without it.
    """
    told, rollout = _waiting(state, policy, now_s, labels=labels, columns=columns), state.current
    if rollout is None or rollout.phase == "rolling_back" or rollout.undrilled in told:
        return told
    return f"{told}; {rollout.undrilled}"


def _waiting(  # noqa: PLR0911 - a line a reason
    state: ServiceState, policy: RolloutPolicy, now_s: float, *, labels: bool, columns: int
) -> str:
    """Say it, drills aside."""
    rollout = state.current
    if rollout is None:
        if state.waiting:
            return f"{len(state.waiting)} wait, and there is no champion to compare with"
        return state.ended[-1].verdict if state.ended else "nothing is rolled out"
    if rollout.paused_by:
        return f"paused by {rollout.paused_by}; it is rolled back all the same if it is worse"
    match rollout.phase:
        case "rolling_back":
            return f"everybody is back with the champion: {rollout.verdict}"
        case "requalifying":
            return f"the requests that made {rollout.pack} go are replayed on it"
        case "held" if rollout.hold not in ("no_verdict", "not_ready"):
            return tell_hold(rollout, policy)
        case _:
            pass
    if rollout.place == "qualifying":
        return "the candidate is loaded, and it is measured what is slow for the champion"
    rules = rules_of(rollout, policy, labels=labels, columns=columns)
    held = f"{tell_hold(rollout, policy)}; " if rollout.hold else ""
    return f"{held}{tell_place(rollout, policy)}: {_lacking(rollout, policy, rules, now_s)}"


def _lacking(rollout: Rollout, policy: RolloutPolicy, rules: Rules, now_s: float) -> str:
    """Say what a step still lacks."""
    trial = rollout.trial
    lacking = find_lacking(trial, rules)
    if lacking is not None:
        return tell_need(trial, rules, lacking[0])
    if not has_exposure(rollout, policy, now_s):
        left_s = max(0.0, least_s(rollout, policy) - (now_s - rollout.step_from_s))
        least = least_requests(rollout, policy)
        return (
            f"{trial.requests:,} of at least {least:,} requests, {trial.looks} of "
            f"{policy.looks_min} looks, {_span(left_s)} to go; evidence that it is worse "
            f"{math.exp(min(log_bad(trial, rules), 50)):,.1f} of {1 / rules.alpha:,.0f}"
        )
    if in_probation(rollout, policy, now_s):
        hour = _span(PROBATION_S / policy.time_scale)
        return f"all good; a second chance gets no more than this in its first {hour}"
    return "all good; it goes on at the next look"


def tell_need(trial: Trial, rules: Rules, rail: Guardrail) -> str:
    """Say how much of the evidence there is: ``312 of about 2,250 requests to tell ...``."""
    if rail == "loss":
        return (
            f"{trial.paired.n:,} labels, at least {rules.labels_min:,}, and evidence that its loss "
            "is no worse"
        )
    meter = trial.meters.get(rail, Meter())
    need = _need(meter, rail, rules)
    about = f"about {need:,}" if need < MANY else "more than can be had"
    times = f"{rules.ratio_bad:g} times"
    times = "twice" if rules.ratio_bad == 2 else times  # noqa: PLR2004 - as it is said
    return (
        f"{meter.candidate[0]:,} of {about} requests to tell {times} as many {NAMES[rail]} from "
        f"as many: {_compared(meter, alone=rules.alone)}{_left_out(trial)}"
    )


def _left_out(trial: Trial) -> str:
    """Say how many looks do not count for a candidate: else it seems to have had enough."""
    if not trial.masked:
        return ""
    looks = trial.looks + trial.masked
    return f"; {trial.masked} of {looks} looks do not count, for the champion was sick itself"


def _need(meter: Meter, rail: Metric, rules: Rules) -> int:
    """Return how many of the candidate's requests the verdict takes, if it is as good."""
    log_needed = max(log_needed_good(rules), math.log(2))
    n_c, x_c = meter.candidate
    n_b, x_b = meter.baseline
    needs = []
    rate = x_c / n_c if n_c else 0.0
    allowance = SLOW_RATES.get(rail, rules.allowance)
    needs.append(requests_below(rate=rate, log_needed=log_needed, allowance=allowance))
    if n_b and n_c and x_b:
        times = max(n_b / n_c, 1e-3)
        needs.append(
            requests_to_accept(
                rate=x_b / n_b,
                champion_times=times,
                log_needed=log_needed,
                ratio_bad=rules.ratio_bad,
            )
        )
    return min(needs, default=MANY)


def _compared(meter: Meter, *, alone: bool = False) -> str:
    """Say the counts of both: ``14 of 412 against 31 of 3,690, 4.0 times as many``."""
    n_c, x_c = meter.candidate
    n_b, x_b = meter.baseline
    told = f"{x_c:,} of {n_c:,}"
    if alone and not n_b:
        return told
    told += f" against {x_b:,} of {n_b:,} of the champion"
    if x_b and x_c and n_c and n_b:
        told += f", {x_c / n_c / (x_b / n_b):.1f} times as many"
    return told


def _span(seconds: float) -> str:
    """Say a time: ``90 s``, ``30 min``, ``2 h``."""
    if seconds < 120:  # noqa: PLR2004
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7_200 else f"{seconds / 3_600:.3g} h"  # noqa: PLR2004
