"""How rollouts begin and end, and what is written down about it."""

from __future__ import annotations

from dataclasses import replace

from firedoor.errors import shorten
from firedoor.rollout.events import Command, Note, Quarantine
from firedoor.rollout.state import ENDED_MAX, SAID_MAX, Ended, Phase, Rollout, Said, ServiceState

Stepped = tuple[ServiceState, tuple[Command, ...]]
SENTENCE_MAX = 500


def note(
    state: ServiceState, what: str, because: str, now_s: float,
    *, by: str = "", before: str = "", after: str = "",
) -> Stepped:  # fmt: skip
    """Return the state with a sentence more, and the command to write it down."""
    because = shorten(because, SENTENCE_MAX)
    said = (*state.said, Said(at_s=now_s, what=what, because=because, by=by))[-SAID_MAX:]
    after_note = Note(what=what, because=because, by=by, before=before, after=after)
    return replace(state, said=said), (after_note,)


def begin(state: ServiceState, rollout: Rollout, now_s: float) -> Stepped:
    """Have a draft be the rollout under way, with no evidence but its own."""
    if state.live is None:
        return note(state, "rollout waits", "there is no champion to compare with", now_s)
    failed = _last_judged(state)
    again = failed is not None and failed.guilty
    pack = failed.name if failed is not None and again and failed.pack else ""
    begun = replace(
        rollout,
        phase="requalifying" if pack else "qualifying",
        last_live=state.live,
        second_chance=again,
        pack=pack,
        rolled_back_s=failed.at_s if failed is not None and pack else 0.0,
        step_from_s=now_s,
        started_s=now_s,
    )
    state = replace(state, current=begun)
    because = begun.because or "it was asked for"
    if again and failed is not None:
        because += f"; judged more strictly, since version {failed.version} was rolled back"
    after = f"version {begun.candidate.version}"
    before = f"version {begun.last_live.version}"
    return note(state, "rollout started", because, now_s, by=begun.by, before=before, after=after)


def begin_next(state: ServiceState, now_s: float) -> Stepped:
    """Begin the draft that waits longest, if one does."""
    if not state.waiting or state.live is None:
        return state, ()
    first, *rest = state.waiting
    return begin(replace(state, waiting=tuple(rest)), first, now_s)


def roll_back(
    state: ServiceState, because: str, now_s: float, *, guilty: bool = False, by: str = ""
) -> Stepped:
    """Return everybody to the version that was live. The heading says so from here on.

    Args:
        state: with a rollout under way; one that goes back already goes on as it does.
        because: the evidence, in a sentence.
        now_s: the time.
        guilty: whether its content is to be barred, which the registry is asked to do.
        by: who wanted it, if it was a person.
    """
    rollout = state.current
    if rollout is None or rollout.phase == "rolling_back":
        return state, ()
    place = rollout.place
    because = shorten(because, SENTENCE_MAX)
    rollout = replace(rollout, phase="rolling_back", was=place, verdict=because, guilty=guilty)
    state = replace(state, current=rollout)
    if not guilty:
        return end(state, "rolled_back", because, now_s, by=by)
    name = state.name_of(rollout)
    state, notes = note(state, "rollout rolling back", because, now_s, by=by, before=place)
    bar = Quarantine(version=rollout.candidate.version, because=because, pack=name)
    return state, (*notes, bar)


def end(
    state: ServiceState, phase: Phase, because: str, now_s: float, *, by: str = "", pack: int = 0
) -> Stepped:
    """End the rollout under way."""
    rollout = state.current
    if rollout is None:
        return state, ()
    ended = Ended(
        name=state.name_of(rollout),
        version=rollout.candidate.version,
        content=rollout.candidate.content,
        phase=phase,
        verdict=because,
        at_s=now_s,
        guilty=rollout.guilty,
        pack=pack,
    )
    state = replace(state, current=None, ended=(*state.ended, ended)[-ENDED_MAX:])
    what = {"live": "rollout live", "quarantined": "rollout quarantined"}.get(
        phase, "rollout rolled back"
    )
    live = f"version {state.live.version}" if state.live else ""
    return note(state, what, because, now_s, by=by, before=rollout.place, after=live)


def _last_judged(state: ServiceState) -> Ended | None:
    """Return the last rollout that ended by evidence, for or against it."""
    judged = [one for one in state.ended if one.guilty or one.phase == "live"]
    return judged[-1] if judged else None
