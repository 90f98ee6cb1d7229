"""One rollout of a service at a time: ``step(state, event, policy, now_s)``.

What holds whatever happens, each a property in the tests:

1. It goes on by itself only with enough requests, looks and time in *every* guardrail.
2. The way back needs nothing of the candidate, and taking it twice is taking it once.
3. One rollout at a time; another start waits or says that it supersedes. The target of every way
   back is the version that was live when the rollout began.
4. A pause freezes its share, and no test that would roll it back.
5. An abort works in every phase.
6. A new attempt begins with no evidence of the last one.
7. Without evidence nothing goes forward; without a controller gateways go on, and after the lease
   return to the champion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from firedoor.rollout import drilled, guardrails, orders, slices, telling
from firedoor.rollout.drilled import Drilled
from firedoor.rollout.endings import Stepped, begin_next, note, roll_back
from firedoor.rollout.events import (
    Done,
    Event,
    LiveChanged,
    Looked,
    Promote,
    Quarantine,
    Replay,
    Replayed,
    Return,
    Tripped,
    Unable,
)
from firedoor.rollout.following import follow
from firedoor.rollout.guardrails import Rules
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.requalify import judge
from firedoor.rollout.stages import (
    ALARMS_MAX,
    GIVE_UP,
    find_hold,
    is_through,
    least_requests,
    rules_of,
    steps_of,
    timeout_s,
)
from firedoor.rollout.state import Rollout, ServiceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a service is judged by besides the counts."""

    labels: bool = False
    """Whether its loss is known, once labels come."""
    columns: int = 0
    """Declared columns of slices."""


def step(
    state: ServiceState, event: Event, policy: RolloutPolicy, now_s: float,
    *, judged: Judged = Judged(),
) -> Stepped:  # fmt: skip
    """Return the state after an event, and what is to be done about it."""
    match event:
        case Looked():
            return _looked(state, event, policy, now_s, judged)
        case Tripped():
            return _tripped(state, event, now_s)
        case Replayed():
            return _replayed(state, event, policy, now_s)
        case Done() | Unable() | LiveChanged():
            return follow(state, event, now_s)
        case _:
            return orders.obey(state, event, policy, now_s)


# ---- looks


def _looked(  # noqa: PLR0911 - a line a phase
    state: ServiceState, event: Looked, policy: RolloutPolicy, now_s: float, judged: Judged
) -> Stepped:
    """Judge the rollout under way, or begin the next; say again what the registry did not do."""
    if state.returning and state.live is not None:
        of = state.previous.version if state.previous else 0
        back = Return(of=of, to=state.live.version, because="a rollback was not kept yet")
        return state, (back,)
    rollout = state.current
    if rollout is None:
        return begin_next(state, now_s)
    version = rollout.candidate.version
    if rollout.phase == "rolling_back":
        return state, (_quarantine(state, rollout),)
    if rollout.phase == "requalifying":
        return _replaying(state, rollout, policy, now_s, ready=event.ready)
    if rollout.hold == "drill":
        return _undrilled(state, rollout, event.drills, policy, now_s)
    if rollout.by_hand:
        return state, (Promote(version=version, because=rollout.verdict, anyway=True),)
    silent = 0 if event.look.gateways else rollout.silent + 1
    rollout = replace(rollout, silent=silent)
    rules = rules_of(rollout, policy, labels=judged.labels, columns=judged.columns)
    if rollout.place == "qualifying":
        return _qualifying(state, rollout, event, policy, now_s)
    return _judge(state, rollout, event, policy, rules, now_s)


def _replaying(
    state: ServiceState, rollout: Rollout, policy: RolloutPolicy, now_s: float, *, ready: bool
) -> Stepped:
    """Ask for the replay, once it is loaded, until it has come to an end, or long enough."""
    if now_s - rollout.step_from_s >= GIVE_UP * timeout_s(rollout, policy):
        return roll_back(state, "the replay of the last rollback never ended", now_s)
    if not ready:
        return state, ()
    name = state.name_of(rollout)
    return state, (Replay(rollout=name, pack=rollout.pack, candidate=rollout.candidate),)


def _qualifying(
    state: ServiceState, rollout: Rollout, event: Looked, policy: RolloutPolicy, now_s: float
) -> Stepped:
    """Wait until it is ready, and known what is slow for the champion."""
    state = replace(state, current=rollout)
    if not event.ready or event.cutoffs is None or rollout.silent or rollout.paused_by:
        return _hold_or_wait(state, rollout, event, policy, now_s)
    rollout = replace(rollout, cutoffs=event.cutoffs, phase="qualifying", hold="")
    if policy.shadow:
        return _enter(state, replace(rollout, phase="shadow"), policy, now_s)
    return _enter_step(state, rollout, 0, policy, now_s)


def _judge(
    state: ServiceState, rollout: Rollout, event: Looked, policy: RolloutPolicy, rules: Rules,
    now_s: float,
) -> Stepped:  # fmt: skip
    """Count what came, then: a slice back, all back, on, held, or wait."""
    look = event.look.without(rollout.held_slices)
    trial = guardrails.observe(rollout.trial, look, rules, now_s)
    rollout = replace(rollout, trial=trial)
    state = replace(state, current=rollout)
    bad = guardrails.find_bad(trial, rules)
    worse = _worse_slice(trial, rules, explain=bad is not None)
    if worse is not None and len(rollout.held_slices) < slices.HELD_MAX:
        return _hold_slice(state, rollout, worse, rules.labels_min, now_s)
    if bad is not None or worse is not None:
        because = telling.tell_bad(trial, rules, bad, worse)
        return roll_back(state, because, now_s, guilty=True)
    alarm = guardrails.find_alarm(trial, rules)
    if alarm is not None:
        return _in_doubt(state, rollout, alarm, policy, rules, now_s)
    if not rollout.paused_by and event.ready and is_through(rollout, policy, rules, now_s):
        return _advance(state, rollout, policy, now_s)
    return _hold_or_wait(state, rollout, event, policy, now_s)


def _in_doubt(
    state: ServiceState, rollout: Rollout, alarm: guardrails.Bad, policy: RolloutPolicy,
    rules: Rules, now_s: float,
) -> Stepped:  # fmt: skip
    """Compare again a version that looks wrong while it serves everybody, if that is possible."""
    because = telling.tell_bad(rollout.trial, rules, alarm, None)
    steps = steps_of(rollout, policy)
    if len(steps) == 1:
        return roll_back(state, because, now_s, guilty=True)
    if rollout.alarms >= ALARMS_MAX:
        because = f"{because}; compared {rollout.alarms} times, it was well: it is the whole load"
        return roll_back(state, because, now_s)
    trial = guardrails.in_doubt(rollout.trial)
    number = rollout.step - 1
    back = replace(
        rollout, phase="canary", step=number, hold="", alarms=rollout.alarms + 1, trial=trial,
        step_from_s=now_s,
    )  # fmt: skip
    state = replace(state, current=back)
    after = telling.tell_place(back, policy)
    because = f"{because}; that may be the version or the world, so it is compared again"
    return note(state, f"rollout back at {after}", because, now_s, before="100 %", after=after)


def _worse_slice(trial: guardrails.Trial, rules: Rules, *, explain: bool) -> str | None:
    """Return the slice that is worse by itself, or that explains why the whole is."""
    parts, labels_min = trial.parts, rules.labels_min
    worse = slices.find_bad(parts, alpha=rules.alpha, columns=rules.columns, labels_min=labels_min)
    if worse is not None or not explain:
        return worse
    return slices.find_culprit(
        parts, alpha=rules.alpha, ratio_good=rules.ratio_good, labels_min=labels_min
    )


def _hold_slice(
    state: ServiceState, rollout: Rollout, name: str, labels_min: int, now_s: float
) -> Stepped:
    """Have one slice stay with the champion, and judge the rest by what comes from now on.

    That takes a champion to compare with: where there is none, it goes back by a step.
    """
    back = rollout.place == "bake" and rollout.step > 0
    because = telling.tell_slice(name, rollout.trial.parts[name], labels_min)
    rollout = replace(
        rollout,
        held_slices=(*rollout.held_slices, name),
        trial=guardrails.without_slice(rollout.trial, name),
        step_from_s=now_s,
        phase="canary" if back else rollout.place,
        step=rollout.step - back,
        hold="",
    )
    return note(replace(state, current=rollout), "slice held", because, now_s, after=name)


def _hold_or_wait(
    state: ServiceState, rollout: Rollout, event: Looked, policy: RolloutPolicy, now_s: float
) -> Stepped:
    """Hold it, let go of it, give it up, or leave it as it is."""
    if not rollout.paused_by:
        over_s = GIVE_UP * timeout_s(rollout, policy)
        if now_s - rollout.step_from_s >= over_s:
            because = f"no verdict within {over_s:,.0f} s: {telling.tell_place(rollout, policy)}"
            return roll_back(state, because, now_s)
    hold = find_hold(rollout, policy, now_s, ready=event.ready)
    if hold in ("no_verdict", "slices") and rollout.paused_by:
        hold = ""
    if rollout.hold == "slices" and not hold:
        hold = "slices"
    if hold == rollout.hold:
        return state, ()
    place = rollout.place
    held = replace(rollout, phase="held" if hold else place, was=place, hold=hold)
    what = "rollout held" if hold else "rollout goes on"
    because = telling.tell_hold(held, policy) if hold else "what it was held for is over"
    return note(replace(state, current=held), what, because, now_s)


def _advance(state: ServiceState, rollout: Rollout, policy: RolloutPolicy, now_s: float) -> Stepped:
    """Go on by one step; after the last one, live."""
    match rollout.place:
        case "shadow":
            return _enter_step(state, rollout, 0, policy, now_s)
        case "canary":
            return _enter_step(state, rollout, rollout.step + 1, policy, now_s)
        case _:
            if rollout.held_slices:
                if rollout.hold == "slices":
                    return state, ()
                held = replace(rollout, phase="held", was="bake", hold="slices")
                because = telling.tell_hold(held, policy)
                return note(replace(state, current=held), "rollout held", because, now_s)
            requests = f"{rollout.trial.requests:,} requests of everybody were answered well"
            promote = Promote(
                version=rollout.candidate.version, because=requests, anyway=rollout.override
            )
            return state, (promote,)


def _enter_step(
    state: ServiceState, rollout: Rollout, number: int, policy: RolloutPolicy, now_s: float
) -> Stepped:
    """Give the candidate the share of a step."""
    share = steps_of(rollout, policy)[number]
    since_s = now_s if rollout.canary_from_s is None else rollout.canary_from_s
    rollout = replace(
        rollout, phase="bake" if share >= 1 else "canary", step=number, canary_from_s=since_s
    )
    return _enter(state, rollout, policy, now_s)


def _enter(state: ServiceState, rollout: Rollout, policy: RolloutPolicy, now_s: float) -> Stepped:
    """Begin a step. What a copy was answered with in shadow is no proof for real requests.

    But where real requests leave nothing to compare with, it is all there is.
    """
    before = state.current.place if state.current else "draft"
    afresh = before == "shadow" and rollout.phase == "canary"
    trial = guardrails.at_next_step(rollout.trial, afresh=afresh)
    entered = replace(rollout, hold="", trial=trial, step_from_s=now_s)
    state = replace(state, current=entered)
    because = (
        f"{least_requests(rollout, policy):,} requests and {telling.tell_span(policy, rollout)} "
        "at least"
    )
    after = telling.tell_place(entered, policy)
    return note(state, f"rollout at {after}", because, now_s, before=before, after=after)


# ---- other events


def _tripped(state: ServiceState, event: Tripped, now_s: float) -> Stepped:
    """Go back at once: a hard fault needs no statistics."""
    rollout = state.current
    if rollout is None or rollout.phase == "rolling_back":
        return state, ()
    if state.name_of(rollout) != event.rollout:
        return state, ()
    because = telling.tell_trip(event.kind, event.detail)
    return roll_back(state, because, now_s, guilty=event.kind != "killed")


def _replayed(state: ServiceState, event: Replayed, policy: RolloutPolicy, now_s: float) -> Stepped:
    """Let a version in that does well what made the last one go."""
    rollout = state.current
    if rollout is None or rollout.phase != "requalifying":
        return state, ()
    if state.name_of(rollout) != event.rollout:
        return state, ()
    verdict = judge(event.outcome)
    if not verdict.passed:
        return roll_back(state, f"not requalified: {verdict.because}", now_s)
    rollout = replace(rollout, faults=drilled.faults_of(event.outcome.kinds))
    return _let_in(state, rollout, event.drills, policy, now_s, because=verdict.because)


def _undrilled(
    state: ServiceState, rollout: Rollout, drills: Sequence[Drilled], policy: RolloutPolicy,
    now_s: float,
) -> Stepped:  # fmt: skip
    """Look again whether drills have shown by now what they had not, until that takes too long."""
    if rollout.paused_by:
        return state, ()
    over_s = GIVE_UP * timeout_s(rollout, policy)
    if now_s - rollout.step_from_s >= over_s:
        return roll_back(state, f"not within {over_s:,.0f} s: {rollout.undrilled}", now_s)
    because = "no drill finds anybody hurt any more by what made the last version go"
    return _let_in(state, rollout, drills, policy, now_s, because=because)


def _let_in(
    state: ServiceState, rollout: Rollout, drills: Sequence[Drilled], policy: RolloutPolicy,
    now_s: float, *, because: str,
) -> Stepped:  # fmt: skip
    """Let a version in that passed its replay, unless drills hold it."""
    proof = drilled.judge(
        rollout.faults, drills, service=state.service, since_s=rollout.rolled_back_s,
        need=policy.need_drill,
    )  # fmt: skip
    if proof.holds:
        since_s = rollout.step_from_s if rollout.hold == "drill" else now_s
        held = replace(
            rollout, phase="held", was="requalifying", hold="drill", undrilled=proof.lacks,
            step_from_s=since_s,
        )  # fmt: skip
        state = replace(state, current=held)
        known = proof.lacks == rollout.undrilled
        return (state, ()) if known else note(state, "rollout held", proof.lacks, now_s)
    rollout = replace(
        rollout, phase="qualifying", hold="", undrilled=proof.lacks, step_from_s=now_s
    )
    state = replace(state, current=rollout)
    because = f"{because}; {proof.lacks}" if proof.lacks else because
    return note(state, "rollout requalified", because, now_s, after="qualifying")


def _quarantine(state: ServiceState, rollout: Rollout) -> Quarantine:
    return Quarantine(
        version=rollout.candidate.version, because=rollout.verdict, pack=state.name_of(rollout)
    )
