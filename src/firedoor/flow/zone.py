"""The state of a zone: what is the matter with it, in one word, and whether it may pull.

Several things can be the matter at once, so the state holds each of them, and the word is the
gravest:

| Word | Because | Ends by | Pulls |
|---|---|---|---|
| ``stopped`` | it has let go of everything | | no |
| ``done`` | a source has no more | | no |
| ``draining`` | it was asked to leave | ``Drained`` | no |
| ``halted`` | the step or its input is at fault | a new generation; perhaps a probe | no |
| ``paused`` | a person said so | the order ``run`` | no |
| ``paused`` | a dependency is away | a probe, a new generation | no |
| ``paused`` | there is no room for dead letters | room again | no |
| ``blocked`` | the broker is away | its next answer | tries |
| ``blocked`` | an outlet is full | room again | no |
| ``throttled`` | too many bad rows, or pressure | fewer of them, or less of it | slowly |
| ``running`` | nothing is the matter | | yes |
| ``starting`` | its order is not known yet | ``Ordered`` | no |

A probe is one batch, due as ``flow.probes`` says. What was in flight when the trouble came may
still pass: that ends nothing, and neither does a probe that was sent for a trouble that is over;
until it is back, no other is sent. A trouble that comes back soon after a probe passed goes on with
the longer wait. What a drill has made ends with the fault that it injected.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, assert_never

from firedoor.flow.probes import Probe, Trouble, ZonePolicy, first_s, longer_s

Word = Literal[
    "starting", "running", "throttled", "blocked", "paused", "halted", "draining", "done", "stopped"
]
Want = Literal["run", "pause", "drain"]
Pull = Literal["pull", "probe", "hold", "rest"]
"""``hold``: take no more, keep what was fetched. ``rest``: give it back as well."""

DEAD_LETTERS = "dead letters"
"""The outlet of ``Filled`` and ``Emptied`` that is no edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneState:
    """What is the matter with a zone. Times are on the caller's clock."""

    want: Want = "run"
    because: str = ""
    """Of the order."""
    generation: int = -1
    """Of the latest order; -1: none was read yet."""
    trouble: Trouble | None = None
    probe: Probe | None = None
    out: Literal["", "probe", "late"] = ""
    """The batch under way that was taken to try; ``late``: for a trouble that is over."""
    healed_s: float | None = None
    """When a probe passed, and ``healed_wait_s`` what the wait had been."""
    healed_wait_s: float = 0.0
    full: frozenset[str] = frozenset()
    """Outlets that are full."""
    away: str = ""
    """Why the broker does not answer; empty: it does."""
    throttle_s: float = 0.0
    """Wait between two batches, as the gate wants it."""
    slower_s: float = 0.0
    """The same, as the zone's ladder wants it; the longer of the two holds."""
    ended: Literal["", "done", "stopped"] = ""


# ---- events


@dataclass(frozen=True, slots=True)
class Ordered:
    """The order of a person was read; the same one again changes nothing."""

    want: Want
    generation: int = 0
    because: str = ""


@dataclass(frozen=True, slots=True)
class Troubled:
    """A batch met a fault of the zone; ``probe``: it was the one sent to try."""

    trouble: Trouble
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Passed:
    """A batch went through the zone's work; ``probe``: it was the one sent to try."""

    probe: bool = False


@dataclass(frozen=True, slots=True)
class ProbeSent:
    """A batch was taken to try whether the trouble is over."""


@dataclass(frozen=True, slots=True)
class ProbeVoid:
    """What was taken to try told nothing: it had been done before, or could not be read."""


@dataclass(frozen=True, slots=True)
class Prompted:
    """There is reason to try again now: a person gave an order."""


@dataclass(frozen=True, slots=True)
class Relieved:
    """Another process of the zone got through to the dependency that is away for this one."""


@dataclass(frozen=True, slots=True)
class Deferred:
    """Another process tries for this one: look again after ``wait_s``."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Filled:
    """An outlet, or ``DEAD_LETTERS``, takes no more."""

    outlet: str


@dataclass(frozen=True, slots=True)
class Emptied:
    """It takes batches again, or is waited for no more."""

    outlet: str


@dataclass(frozen=True, slots=True)
class BrokerAway:
    """The broker does not answer."""

    why: str


@dataclass(frozen=True, slots=True)
class BrokerBack:
    """It does."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """The gate wants so long a wait between two batches; 0: none."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Slowed:
    """The zone's ladder wants so long a wait between two batches; 0: none."""

    wait_s: float


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing is in flight any more; ``done``: and a source has no more."""

    done: bool = False


@dataclass(frozen=True, slots=True)
class Cleared:
    """The fault that a drill injected is over, and with it what came of it."""


Condition = Filled | Emptied | BrokerAway | BrokerBack | Throttled | Slowed | Drained
Probed = ProbeSent | ProbeVoid | Prompted | Relieved | Deferred
Event = Ordered | Troubled | Passed | Cleared | Probed | Condition


def step(  # noqa: PLR0911 - a line an event
    state: ZoneState, event: Event, policy: ZonePolicy, now_s: float
) -> ZoneState:
    """Return the state after an event. What has stopped stays stopped."""
    if state.ended:
        return state
    match event:
        case Ordered():
            return _order(state, event)
        case Troubled():
            return _trouble(state, event, policy, now_s)
        case Passed(probe):
            return _heal(state, now_s) if probe else state
        case Cleared():
            return _clear(state)
        case ProbeSent() | ProbeVoid() | Prompted() | Relieved() | Deferred():
            return _probe(state, event, now_s)
        case _:
            return _note(state, event)


def _note(state: ZoneState, event: Condition) -> ZoneState:  # noqa: PLR0911 - a line a condition
    """Return the state with a condition that came or went."""
    match event:
        case Filled(outlet):
            return replace(state, full=state.full | {outlet})
        case Emptied(outlet):
            return replace(state, full=state.full - {outlet})
        case BrokerAway(why):
            return replace(state, away=why)
        case BrokerBack():
            return replace(state, away="")
        case Throttled(wait_s):
            return replace(state, throttle_s=wait_s)
        case Slowed(wait_s):
            return replace(state, slower_s=wait_s)
        case Drained(done):
            return replace(state, ended="done" if done else "stopped")
        case _:
            assert_never(event)


def word(state: ZoneState) -> Word:  # noqa: PLR0911 - a line a word, the gravest first
    """Return the state in one word."""
    if state.ended:
        return state.ended
    if state.want == "drain":
        return "draining"
    if state.trouble is not None and state.trouble.word == "halted":
        return "halted"
    if state.want == "pause" or state.trouble is not None or DEAD_LETTERS in state.full:
        return "paused"
    if state.away or state.full:
        return "blocked"
    if state.generation < 0:
        return "starting"
    return "throttled" if pause_s(state) > 0 else "running"


def pause_s(state: ZoneState) -> float:
    """Return the wait between two batches."""
    return max(state.throttle_s, state.slower_s)


def cause(state: ZoneState) -> tuple[str, str]:  # noqa: PLR0911 - a line a cause
    """Return a code and a sentence that say why the state is what it is."""
    match word(state):
        case "halted":
            assert state.trouble is not None
            return state.trouble.code, state.trouble.why
        case "paused" if state.want == "pause":
            return "ordered", state.because or "paused by a person"
        case "paused" if state.trouble is not None:
            return state.trouble.code, state.trouble.why
        case "paused":
            return "dead_letters_full", "there is no room for dead letters"
        case "blocked" if state.away:
            return "broker_away", state.away
        case "blocked":
            return "inbox_full", f"full: {', '.join(sorted(state.full))}"
        case "throttled" if state.slower_s > state.throttle_s:
            return "degraded", f"under pressure: {state.slower_s:.1f} s between batches"
        case "throttled":
            return "throttle_share", f"many bad rows: {state.throttle_s:.1f} s between batches"
        case "draining" | "stopped":
            return "", state.because
        case _:
            return "", ""


def pull(state: ZoneState, now_s: float) -> Pull:
    """Return whether to take another batch."""
    match word(state):
        case "running" | "throttled":
            return "pull"
        case "blocked" if not state.full:
            return "pull"  # asking is how to find out that the broker is back
        case "blocked" | "starting":
            return "hold"
        case _:
            return "probe" if wait_s(state, now_s) == 0 else "rest"


def wait_s(state: ZoneState, now_s: float) -> float | None:
    """Return how long until a probe is due; None if none will be without an event."""
    waits = state.ended or state.want != "run" or DEAD_LETTERS in state.full
    if state.probe is None or state.out or waits:
        return None
    return max(0.0, state.probe.due_s - now_s)


def _order(state: ZoneState, event: Ordered) -> ZoneState:
    """Take an order; a higher generation ends every trouble. Who drains never turns back."""
    if state.want == "drain":
        return state
    if state.generation >= 0 and event.generation > state.generation:
        state = replace(_late(state), trouble=None, probe=None, healed_s=None, throttle_s=0.0)
    return replace(
        state,
        want=event.want,
        because=event.because,
        generation=max(state.generation, event.generation),
    )


def _trouble(state: ZoneState, event: Troubled, policy: ZonePolicy, now_s: float) -> ZoneState:
    """Take a trouble, unless a graver one is known; put the next probe off."""
    known, new = state.trouble, event.trouble
    tried = event.probe and state.out == "probe"
    state = replace(state, out="") if event.probe else state
    if known is not None and not tried:
        if new.rank <= known.rank:
            return state
        probe = _next(first_s(new, policy), now_s) if new.probes else None
        return replace(_late(state), trouble=new, probe=probe)
    if not new.probes:
        return replace(state, trouble=new, probe=None)
    if tried:
        assert state.probe is not None, "a probe that is under way was due"
        again_s = longer_s(state.probe.wait_s, new, policy)
    elif state.healed_s is not None and now_s - state.healed_s < policy.relapse_s:
        again_s = longer_s(state.healed_wait_s, new, policy)
    else:
        again_s = first_s(new, policy)
    return replace(state, trouble=new, probe=_next(again_s, now_s))


def _probe(state: ZoneState, event: Probed, now_s: float) -> ZoneState:
    """Note that a probe was sent or told nothing; or have the next one due at another time."""
    if isinstance(event, ProbeSent | ProbeVoid):
        return _send(state, out=isinstance(event, ProbeSent))
    if state.probe is None or state.out:
        return state
    if isinstance(event, Relieved):
        if state.trouble is None or not state.trouble.quick:
            return state
        return replace(
            state, trouble=None, probe=None, healed_s=now_s, healed_wait_s=state.probe.wait_s
        )
    due_s = now_s + (event.wait_s if isinstance(event, Deferred) else 0.0)
    return replace(state, probe=replace(state.probe, due_s=due_s))


def _clear(state: ZoneState) -> ZoneState:
    """End the trouble that a drill has made, and the wait for bad rows that it has left."""
    if state.trouble is not None and not state.trouble.fault:
        return replace(state, throttle_s=0.0)
    return replace(_late(state), trouble=None, probe=None, healed_s=None, throttle_s=0.0)


def _next(again_s: float, now_s: float) -> Probe:
    """Return a probe that is due after so long."""
    return Probe(due_s=now_s + again_s, wait_s=again_s)


def _heal(state: ZoneState, now_s: float) -> ZoneState:
    """Take back a probe that passed: the trouble that it was sent for is over."""
    if state.out != "probe":
        return replace(state, out="")
    assert state.probe is not None, "a probe that is under way was due"
    return replace(
        state, trouble=None, probe=None, out="", healed_s=now_s, healed_wait_s=state.probe.wait_s
    )


def _send(state: ZoneState, *, out: bool) -> ZoneState:
    """Note that a probe is sent, where one is due; or that it came back and told nothing."""
    if not out:
        return replace(state, out="")
    return replace(state, out="probe") if state.probe and not state.out else state


def _late(state: ZoneState) -> ZoneState:
    """Note that a probe which is under way was sent for what is over."""
    return replace(state, out="late") if state.out else state
