"""What people and CI ask of rollouts. What is refused changes nothing, and says why."""

from __future__ import annotations

from dataclasses import replace

from firedoor.rollout.endings import Stepped, begin, note, roll_back
from firedoor.rollout.events import (
    Aborted,
    Paused,
    Promote,
    PromotedByHand,
    Resumed,
    Return,
    RolledBackByHand,
    Started,
)
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.state import WAITING_MAX, Rollout, ServiceState

WEEK_S = 7 * 86_400.0


Order = Started | Paused | Resumed | Aborted | PromotedByHand | RolledBackByHand


def obey(state: ServiceState, event: Order, policy: RolloutPolicy, now_s: float) -> Stepped:
    """Return the state after an order, and what is to be done about it."""
    match event:
        case Started():
            return start(state, event, policy, now_s)
        case Paused():
            return pause(state, event, now_s)
        case Resumed():
            return resume(state, event, now_s)
        case Aborted():
            return abort(state, event, now_s)
        case PromotedByHand():
            return promote(state, event, now_s)
        case RolledBackByHand():
            return go_back(state, event, now_s)


def refusal(  # noqa: PLR0911 - a reason a line
    state: ServiceState, event: Started, policy: RolloutPolicy, now_s: float
) -> str:
    """Return why a start is refused, and what to do; empty: it is not."""
    two = _is_another(event.second, event.by)
    version = f"version {event.candidate.version}"
    if event.barred and not (event.override and event.because and two):
        return (
            f"{version} is quarantined ({event.barred}): give another version; or override with a "
            "reason and a second person who agrees"
        )
    if event.unqualified and not (event.override and event.because):
        return f"{version} {event.unqualified}: qualify it first, or override with a reason"
    since_s = now_s - WEEK_S / policy.time_scale
    lately = [one for one in state.ended if one.guilty and one.at_s >= since_s]
    if len(lately) >= policy.max_rollbacks and not two:
        return (
            f"{len(lately)} versions were rolled back within 7 days, the last because of: "
            f"{lately[-1].verdict}; a second person has to agree"
        )
    if state.live is not None and state.live.version == event.candidate.version:
        return f"{version} is live already"
    drafts = [*state.waiting, *([state.current] if state.current else [])]
    if any(one.candidate.version == event.candidate.version for one in drafts):
        return f"{version} is rolled out already, or waits for it"
    if len(state.waiting) >= WAITING_MAX:
        return f"{WAITING_MAX} rollouts wait already: abort some, or supersede the current one"
    return ""


def _is_another(second: str, first: str) -> bool:
    """Return whether somebody else agrees: a person is the same one on every machine."""
    one, other = (name.strip().partition("@")[0].casefold() for name in (first, second))
    return bool(other) and one != other


def start(state: ServiceState, event: Started, policy: RolloutPolicy, now_s: float) -> Stepped:
    """Begin a rollout, or have it wait for the one under way, or take its place."""
    why_not = refusal(state, event, policy, now_s)
    if why_not:
        return note(state, "order refused", why_not, now_s, by=event.by)
    draft = Rollout(
        number=state.next_number,
        candidate=event.candidate,
        last_live=state.live or event.candidate,
        by=event.by,
        because=event.because,
        override=event.override,
        started_s=now_s,
    )
    state = replace(state, next_number=state.next_number + 1)
    if state.current is None and state.live is not None:
        return begin(state, draft, now_s)
    if not event.supersede or state.current is None:
        state = replace(state, waiting=(*state.waiting, draft))
        because = "another rollout is under way" if state.current else "there is no champion yet"
        return note(state, "rollout waits", because, now_s, by=event.by)
    because = f"superseded by version {event.candidate.version}"
    state, ended = roll_back(state, because, now_s, by=event.by)
    if state.current is not None:  # it goes back already, and the registry is not through with it
        return replace(state, waiting=(draft, *state.waiting)), ended
    state, begun = begin(state, draft, now_s)
    return state, (*ended, *begun)


def pause(state: ServiceState, event: Paused, now_s: float) -> Stepped:
    """Freeze its share, and its time-outs; what would roll it back still does."""
    rollout = state.current
    if rollout is None or rollout.phase == "rolling_back":
        return note(state, "order refused", "no rollout is under way", now_s, by=event.by)
    if rollout.paused_by:
        return state, ()
    paused = replace(rollout, paused_by=event.by, paused_from_s=now_s)
    because = event.because or "it was asked for"
    return note(replace(state, current=paused), "rollout paused", because, now_s, by=event.by)


def resume(state: ServiceState, event: Resumed, now_s: float) -> Stepped:
    """Let it go on. The time for which it was paused is no part of its step."""
    rollout = state.current
    if rollout is None or not rollout.paused_by:
        return note(state, "order refused", "no rollout is paused", now_s, by=event.by)
    began_s = rollout.step_from_s + now_s - max(rollout.paused_from_s, rollout.step_from_s)
    resumed = replace(rollout, paused_by="", step_from_s=began_s)
    because = event.because or "it was asked for"
    return note(replace(state, current=resumed), "rollout resumed", because, now_s, by=event.by)


def abort(state: ServiceState, event: Aborted, now_s: float) -> Stepped:
    """End it, wherever it is; and a draft that waits, if none is under way."""
    because = event.because or "it was asked for"
    if state.current is not None:
        return roll_back(state, because, now_s, by=event.by)
    if not state.waiting:
        return note(state, "order refused", "no rollout is under way", now_s, by=event.by)
    gone = state.waiting[-1]
    state = replace(state, waiting=state.waiting[:-1])
    after = f"version {gone.candidate.version}"
    return note(state, "draft aborted", because, now_s, by=event.by, after=after)


def promote(state: ServiceState, event: PromotedByHand, now_s: float) -> Stepped:
    """Have it go live on a person's word."""
    rollout = state.current
    if rollout is None or rollout.place not in ("shadow", "canary", "bake"):
        because = "no rollout has come so far that its version could answer"
        return note(state, "order refused", because, now_s, by=event.by)
    because = f"{event.by} said so" + (f": {event.because}" if event.because else "")
    promoted = replace(rollout, by_hand=True, verdict=because)
    state, notes = note(
        replace(state, current=promoted), "rollout promoted by hand", because, now_s, by=event.by
    )
    order = Promote(version=rollout.candidate.version, because=because, anyway=True)
    return state, (*notes, order)


def go_back(state: ServiceState, event: RolledBackByHand, now_s: float) -> Stepped:
    """End the rollout under way; or else return to the version that was live before."""
    because = event.because or "it was asked for"
    if state.current is not None:
        return roll_back(state, because, now_s, by=event.by)
    live, previous = state.live, state.previous
    if live is None or previous is None or state.returning:
        why = "a rollback is under way" if state.returning else "no version was live before"
        return note(state, "order refused", why, now_s, by=event.by)
    state = replace(state, live=previous, previous=live, returning=True)
    before, after = f"version {live.version}", f"version {previous.version}"
    state, notes = note(
        state, "champion rolled back", because, now_s, by=event.by, before=before, after=after
    )
    back = Return(of=live.version, to=previous.version, because=because)
    return state, (*notes, back)
