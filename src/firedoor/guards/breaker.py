"""The circuit breaker: stop calling what does not answer, and find out carefully when it does.

| Mode | Calls | Ends by |
|---|---|---|
| ``closed`` | go through | too many of them bad: open |
| ``open`` | are refused | time, or ``Retry-After``: the next call is the probe |
| ``half-open`` | are refused, but for one probe | the probe: closed if good, else open |
| ``forced-open`` | are refused | a person |
| ``disabled`` | go through, and are not judged | a person |

Every change begins a new generation. A result carries the generation in which its call was let in,
and one of an earlier generation changes nothing: only time and a probe close a breaker.

Sources: Nygard, *Release It!*, 2nd ed., section 5.2; the figures behind the defaults are in
``docs/benchmarks.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeVar, assert_never

from firedoor.bounds import one_of, within
from firedoor.guards import events
from firedoor.guards.window import NOTHING, Counts

Word = Literal["closed", "open", "half-open", "forced-open", "disabled"]
Order = Literal["open", "close", "disable"]
LEASE_MAX_S = 10.0
"""A probe that has no timeout, or a longer one, is given up after this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When to open, for how long, and how to try again."""

    bad_share: float = 0.5
    """Share of bad calls in the window at which it opens. More than 0, at most 1."""
    calls_min: int = 20
    """Calls in the window below which the share is not judged. 1 to 1,000,000."""
    window_s: float = 10.0
    """Seconds that the window looks back. 0.1 to 3,600."""
    consecutive: int = 10
    """Bad calls in a row at which it opens, whatever the share. 1 to 1,000,000."""
    row_s: float = 1.0
    """Seconds without a good call after which half of ``consecutive`` are enough. 0 to 3,600."""
    slow_s: float | None = None
    """Seconds after which a call is bad although it succeeds. Default: half the timeout."""
    open_s: float = 1.0
    """Seconds before the first probe. 0.001 to 3,600."""
    growth: float = 1.5
    """Factor on ``open_s`` after each probe that fails. 1 to 10."""
    open_max_s: float = 5.0
    """Longest wait before a probe, ``Retry-After`` aside. ``open_s`` to 86,400."""
    probe_every: int = 20
    """Calls refused for each probe, about: who calls often need not wait for ``open_max_s``.
    1 to 1,000,000."""
    jitter: float = 0.2
    """Share by which the wait is lengthened or shortened by chance. 0 to 0.9."""
    flaps: int = 3
    """Openings within ``flap_s`` that are an event of their own. 2 to 100."""
    flap_s: float = 60.0
    """Seconds in which openings count as flapping. 1 to 86,400."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("bad_share", self.bad_share, 0.001, 1, "as a share of the calls")
        within("calls_min", self.calls_min, 1, 10**6, "calls", whole=True)
        within("window_s", self.window_s, 0.1, 3_600, "seconds")
        within("consecutive", self.consecutive, 1, 10**6, "calls", whole=True)
        within("row_s", self.row_s, 0, 3_600, "seconds")
        if self.slow_s is not None:
            within("slow_s", self.slow_s, 0.000_001, 86_400, "seconds")
        within("open_s", self.open_s, 0.001, 3_600, "seconds")
        within("growth", self.growth, 1, 10, "as a factor")
        within("open_max_s", self.open_max_s, self.open_s, 86_400, "seconds: open_s or more")
        within("probe_every", self.probe_every, 1, 10**6, "calls", whole=True)
        within("jitter", self.jitter, 0, 0.9, "as a share of the wait")
        within("flaps", self.flaps, 2, 100, "openings", whole=True)
        within("flap_s", self.flap_s, 1, 86_400, "seconds")


# ---- modes


@dataclass(frozen=True, slots=True)
class Closed:
    """Calls go through."""


class Open(NamedTuple):
    """Calls are refused until a probe is due."""

    since_s: float
    until_s: float
    open_s: float
    """How long this opening is by policy; the next one grows from here."""
    probes: int = 0
    """Probes that failed since it opened."""


class HalfOpen(NamedTuple):
    """One probe is under way, until its lease is over."""

    since_s: float
    until_s: float
    open_s: float
    probes: int


class Forced(NamedTuple):
    """A person keeps it open."""

    by: str
    because: str


class Disabled(NamedTuple):
    """A person lets everything through."""

    by: str
    because: str


Mode = Closed | Open | HalfOpen | Forced | Disabled
_Timed = TypeVar("_Timed", Open, HalfOpen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """The state of a breaker. Times are on the caller's clock."""

    mode: Mode = field(default_factory=Closed)
    generation: int = 0
    openings_s: tuple[float, ...] = ()
    """When it opened last, at most ``flaps`` times."""
    flapping: bool = False
    wait_max_s: float = math.inf
    """Longest wait before a probe since it opened last, ``Retry-After`` aside."""


# ---- what happens to it


class Good(NamedTuple):
    """A call of this generation succeeded in time."""

    generation: int


class Bad(NamedTuple):
    """A call of this generation failed or was slow."""

    generation: int
    counts: Counts = NOTHING
    """What the window holds, this call included."""
    cause: str = ""
    retry_after_s: float | None = None
    chance: float = 0.5
    """Drawn evenly from 0 to 1; the jitter."""


class Neutral(NamedTuple):
    """A call of this generation told nothing: cancelled, or its data was wrong."""

    generation: int


class Denied(NamedTuple):
    """Somebody else probes for all: this probe was not made."""

    generation: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class Ordered:
    """A person, or who acts for one, wants it open, closed or out of the way."""

    order: Order
    by: str
    because: str

    def __post_init__(self) -> None:
        """Refuse an order that is none, or of nobody."""
        one_of("order", self.order, ("open", "close", "disable"))
        for name in ("by", "because"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise events.nameless(name, getattr(self, name))


Event = Good | Bad | Neutral | Denied | Ordered


class Admitted(NamedTuple):
    """Make the call, and give its result this generation; ``probe``: everything hangs on it."""

    generation: int
    probe: bool = False


class Turned(NamedTuple):
    """Do not make the call; None: not before a person says so."""

    retry_after_s: float | None


Moved = tuple[Breaker, tuple[events.Event, ...]]


def word(breaker: Breaker) -> Word:
    """Return the mode in one word."""
    match breaker.mode:
        case Closed():
            return "closed"
        case Open():
            return "open"
        case HalfOpen():
            return "half-open"
        case Forced():
            return "forced-open"
        case Disabled():
            return "disabled"
        case _:
            assert_never(breaker.mode)


def ask(
    breaker: Breaker, policy: BreakerPolicy, now_s: float, *, lease_s: float, chance: float = 0.5
) -> tuple[Breaker, Admitted | Turned, tuple[events.Event, ...]]:
    """Return whether a call may be made, and the state in which it is.

    ``lease_s`` is how long a probe may take before it counts as failed.
    """
    match breaker.mode:
        case Closed() | Disabled():
            return breaker, Admitted(breaker.generation), ()
        case Forced():
            return breaker, Turned(None), ()
        case Open() as mode:
            # A clock that went back would keep it open for as long as it went back.
            mode = _rebase(mode, now_s)
            breaker = replace(breaker, mode=mode)
            if now_s < mode.until_s:
                return breaker, Turned(mode.until_s - now_s), ()
            until_s = now_s + min(lease_s, LEASE_MAX_S)
            probing = HalfOpen(
                since_s=now_s, until_s=until_s, open_s=mode.open_s, probes=mode.probes
            )
            moved = _move(breaker, probing)
            said = events.ProbeStarted(lease_s=until_s - now_s, probe=mode.probes + 1)
            return moved, Admitted(moved.generation, probe=True), (said,)
        case HalfOpen() as mode:
            mode = _rebase(mode, now_s)
            breaker = replace(breaker, mode=mode)
            if now_s < mode.until_s:
                return breaker, Turned(mode.until_s - now_s), ()
            cause = f"the probe did not end within {mode.until_s - mode.since_s:.1f} s"
            breaker, said_all = _fail_probe(
                breaker, mode, Bad(generation=breaker.generation, cause=cause, chance=chance),
                policy, now_s,
            )  # fmt: skip
            assert isinstance(breaker.mode, Open)
            return breaker, Turned(breaker.mode.until_s - now_s), said_all
        case _:
            assert_never(breaker.mode)


def step(breaker: Breaker, event: Event, policy: BreakerPolicy, now_s: float) -> Moved:
    """Return the state after an event, and what to tell. Late results change nothing."""
    if isinstance(event, Ordered):
        return _order(breaker, event)
    if event.generation != breaker.generation:
        return breaker, ()
    match breaker.mode:
        case Closed():
            return (
                _judge(breaker, event, policy, now_s) if isinstance(event, Bad) else (breaker, ())
            )
        case HalfOpen() as mode:
            return _answer(breaker, mode, event, policy, now_s)
        case Open() | Forced() | Disabled():
            return breaker, ()
        case _:
            assert_never(breaker.mode)


def _judge(breaker: Breaker, bad: Bad, policy: BreakerPolicy, now_s: float) -> Moved:
    """Open if the window holds too many bad calls."""
    counts = bad.counts
    by_share = counts.calls >= policy.calls_min and counts.share >= policy.bad_share
    enough = policy.consecutive if counts.row_s < policy.row_s else policy.consecutive / 2
    if not by_share and counts.consecutive < enough:
        return breaker, ()
    recent = tuple(at for at in breaker.openings_s if 0 <= now_s - at < policy.flap_s)
    openings_s = (*recent, now_s)[-policy.flaps :]
    wait_max_s = _wait_max_s(counts, policy)
    if recent:  # the window is young, and knows little of how often calls come
        wait_max_s = min(wait_max_s, breaker.wait_max_s)
    flaps = len(openings_s) >= policy.flaps
    wait_s = _wait_s(policy.open_s, bad, policy)
    why = (
        f"{counts.bad} of {counts.calls} calls were bad in {policy.window_s:g} s"
        if by_share
        else f"{counts.consecutive} calls in a row were bad"
    )
    moved = _move(
        replace(breaker, openings_s=openings_s, flapping=flaps, wait_max_s=wait_max_s),
        Open(since_s=now_s, until_s=now_s + wait_s, open_s=policy.open_s),
    )
    told: tuple[events.Event, ...] = (
        events.BreakerOpened(why=why, cause=bad.cause, wait_s=wait_s, counts=counts),
    )
    if flaps and not breaker.flapping:
        told += (events.BreakerFlapping(openings=len(openings_s), within_s=policy.flap_s),)
    return moved, told


def _answer(
    breaker: Breaker,
    mode: HalfOpen,
    event: Good | Bad | Neutral | Denied,
    policy: BreakerPolicy,
    now_s: float,
) -> Moved:
    """Take what became of the probe."""
    match event:
        case Good():
            return _move(breaker, Closed()), (events.BreakerClosed(probes=mode.probes + 1),)
        case Bad():
            return _fail_probe(breaker, mode, event, policy, now_s)
        case Neutral():
            wait_s, word_said = 0.0, "the probe told nothing"
        case Denied(wait_s=wait_s):
            word_said = "another process probes"
        case _:
            assert_never(event)
    back = Open(since_s=now_s, until_s=now_s + wait_s, open_s=mode.open_s, probes=mode.probes)
    return _move(breaker, back), (events.ProbeVoid(why=word_said, wait_s=wait_s),)


def _fail_probe(
    breaker: Breaker, mode: HalfOpen, bad: Bad, policy: BreakerPolicy, now_s: float
) -> Moved:
    """Open again, for somewhat longer."""
    open_s = min(mode.open_s * policy.growth, breaker.wait_max_s)
    wait_s = _wait_s(open_s, bad, policy)
    back = Open(since_s=now_s, until_s=now_s + wait_s, open_s=open_s, probes=mode.probes + 1)
    told = events.ProbeFailed(probe=mode.probes + 1, cause=bad.cause, wait_s=wait_s)
    return _move(breaker, back), (told,)


def _order(breaker: Breaker, event: Ordered) -> Moved:
    """Do as a person says."""
    match event.order:
        case "open":
            mode: Mode = Forced(event.by, event.because)
        case "disable":
            mode = Disabled(event.by, event.because)
        case "close":
            mode = Closed()
        case _:
            assert_never(event.order)
    told = events.BreakerOrdered(order=event.order, by=event.by, because=event.because)
    return _move(breaker, mode), (told,)


def _move(breaker: Breaker, mode: Mode) -> Breaker:
    """Begin a new generation."""
    return replace(breaker, mode=mode, generation=breaker.generation + 1)


def _wait_max_s(counts: Counts, policy: BreakerPolicy) -> float:
    """Return how long to wait for a probe at most: less for who calls often.

    The calls before it opened tell: a layer further out may hold back those that come after.
    """
    every_s = policy.probe_every * counts.span_s / counts.calls if counts.calls else math.inf
    return min(max(every_s, policy.open_s), policy.open_max_s)


def _wait_s(open_s: float, bad: Bad, policy: BreakerPolicy) -> float:
    """Return how long to be open: as long as the dependency says, or as it has grown to."""
    if bad.retry_after_s is not None:
        return max(bad.retry_after_s, policy.open_s)
    return open_s * (1 + policy.jitter * (2 * bad.chance - 1))


def _rebase(mode: _Timed, now_s: float) -> _Timed:
    """Begin the wait anew where the clock went back before its beginning."""
    if now_s >= mode.since_s:
        return mode
    return mode._replace(since_s=now_s, until_s=now_s + mode.until_s - mode.since_s)
