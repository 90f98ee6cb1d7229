"""What the registry did, or somebody did in it: its champion is whom requests go to."""

from __future__ import annotations

from dataclasses import replace

from firedoor.rollout.endings import Stepped, end, note, roll_back
from firedoor.rollout.events import Done, LiveChanged, Unable
from firedoor.rollout.state import ServiceState


def follow(state: ServiceState, event: Done | Unable | LiveChanged, now_s: float) -> Stepped:
    """Return the state after something became of the registry."""
    match event:
        case Done():
            return _done(state, event, now_s)
        case Unable():
            return _unable(state, event, now_s)
        case LiveChanged():
            return _live_changed(state, event, now_s)


def _done(state: ServiceState, event: Done, now_s: float) -> Stepped:
    """Take in what the registry did."""
    rollout = state.current
    if event.what == "return":
        return replace(state, returning=False), ()
    if rollout is None or rollout.candidate.version != event.version:
        return state, ()
    if event.what == "promote" and rollout.phase != "rolling_back":
        state = replace(state, live=rollout.candidate, previous=rollout.last_live)
        because = rollout.verdict or f"{rollout.trial.requests:,} requests answered well"
        return end(state, "live", because, now_s)
    if event.what == "quarantine" and rollout.phase == "rolling_back":
        return end(state, "quarantined", rollout.verdict, now_s, pack=event.pack)
    return state, ()


def _unable(state: ServiceState, event: Unable, now_s: float) -> Stepped:
    """Take in that the registry refuses: what it says goes."""
    rollout = state.current
    if event.what == "return":
        return note(replace(state, returning=False), "order refused", event.because, now_s)
    if rollout is None or rollout.candidate.version != event.version:
        return state, ()
    if event.what == "quarantine" and rollout.phase == "rolling_back":
        because = f"{rollout.verdict}; it was not quarantined: {event.because}"
        return end(state, "rolled_back", because, now_s)
    if event.what == "promote":
        return roll_back(state, f"the registry refuses it: {event.because}", now_s)
    return state, ()


def _live_changed(state: ServiceState, event: LiveChanged, now_s: float) -> Stepped:
    """Follow the registry: somebody promoted or rolled back by hand."""
    if state.returning or state.live == event.live:
        return state, ()
    before = state.live
    state = replace(state, live=event.live, previous=event.previous or before)
    after = f"version {event.live.version}"
    rollout = state.current
    if rollout is None:
        because = "the registry says so"
        return note(state, "champion changed", because, now_s, by=event.by, after=after)
    if rollout.phase == "rolling_back":  # what is being barred is rolled back in the registry too
        return note(state, "champion changed", "the registry says so", now_s, by=event.by)
    if rollout.candidate.version == event.live.version:
        return end(state, "live", "promoted in the registry", now_s, by=event.by)
    because = f"{after} was made the champion in the registry: it was compared with another"
    return roll_back(state, because, now_s, by=event.by)
