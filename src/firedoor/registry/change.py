"""What may become of the versions of a model: ``step(state, event, now_s)``.

* Only what is qualified is promoted, and only over the champion that it was compared with: of two
  that were qualified against one champion, the second promotion is refused.
* A rollback goes to the version that was live last, and asks nothing of the current one. What
  was rolled back is retired; to come back it has to be qualified again.
* A content that was quarantined, or rejected by evaluation, comes back under no number until it is
  released; then it is a candidate. A champion that is quarantined is rolled back by the same step.

An event that changes nothing gives the same state back. What is refused changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from firedoor.errors import DeclarationError, ModelRefused, NotKnown
from firedoor.registry.model import ModelState, State, Version, version_of
from firedoor.registry.retention import Retention, due

VERSIONS_MAX = 1_000
BARRED_MAX = 10_000
LIVED_MAX = 100
METRICS_MAX = 2_000
"""A run logs 1,000 at most, and each evaluation adds 50."""
LINEAGE_MAX = 100
NAME_MAX = 200
SHORT = 12

Verdict = Literal["promote", "hold", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A bundle was stored. A content that is a version already is not registered again."""

    digest: str
    content: str = ""
    """What it does, whichever run made it; empty: the digest stands for that."""
    run: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Qualified:
    """Evaluation gave its verdict. ``hold``: not proven; ``reject``: barred."""

    number: int
    verdict: Verdict
    because: str
    metrics: dict[str, float] = field(default_factory=dict)
    """Of the evaluation; they are added to those that are known."""
    against: int | Literal["champion"] | None = "champion"
    """The version that it was compared with; None: there was none. By itself, who is live now."""
    run: str = ""
    """That judged it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A qualified version goes live."""

    number: int
    because: str = ""
    anyway: bool = False
    """Also over another champion than the one that it was compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack:
    """The version that was live last is live again."""

    because: str = ""
    of: int | None = None
    """Only if this is the champion; None: whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A version did harm, or may do."""

    number: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A quarantined content may come back."""

    content: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retired:
    """A version is put aside."""

    number: int
    because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What is old and needed by nothing goes."""

    retention: Retention = field(default_factory=Retention)


Event = Registered | Qualified | Promoted | RolledBack | Quarantined | Released | Retired | Pruned


def step(state: ModelState, event: Event, now_s: float) -> ModelState:  # noqa: PLR0911 - a line an event
    """Return the state after an event.

    Raises:
        ModelRefused: if a version may not become that.
        NotKnown: if there is no such version.
        DeclarationError: if the event itself makes no sense.
    """
    match event:
        case Registered():
            return _register(state, event, now_s)
        case Qualified():
            return _qualify(state, event, now_s)
        case Promoted():
            return _promote(state, event, now_s)
        case RolledBack():
            return _roll_back(state, event, now_s)
        case Quarantined(number=number, because=because):
            return _quarantine(state, version_of(state, number), because, now_s)
        case Released():
            return _release(state, event, now_s)
        case Retired():
            return _retire(state, event, now_s)
        case Pruned(retention=retention):
            gone = {version.number for version in due(state, retention, now_s)}
            return _without(state, gone) if gone else state
        case _:
            assert_never(event)


def _register(state: ModelState, event: Registered, now_s: float) -> ModelState:
    """Add a candidate."""
    _check_metrics(event.metrics)
    if len(event.lineage) > LINEAGE_MAX:
        raise DeclarationError(
            "lineage", f"{len(event.lineage)} digests", f"are more than {LINEAGE_MAX}",
            "name what it was made of directly",
        )  # fmt: skip
    content = event.content or event.digest
    if content in state.barred:
        raise ModelRefused(
            f"content {content[:SHORT]} is quarantined ({state.barred[content]}): train another, "
            "or release it with `firedoor models release`",
            code="quarantined",
        )
    if any(version.content == content for version in state.versions):
        return state
    if len(state.versions) >= VERSIONS_MAX:
        raise ModelRefused(
            f"there are {VERSIONS_MAX} versions: run `firedoor models prune`", code="full"
        )
    version = Version(
        number=state.next_number,
        digest=event.digest,
        content=content,
        run=event.run,
        metrics=event.metrics,
        lineage=event.lineage,
        registered_s=now_s,
        changed_s=now_s,
    )
    versions = (*state.versions, version)
    return replace(state, versions=versions, next_number=state.next_number + 1)


def _qualify(state: ModelState, event: Qualified, now_s: float) -> ModelState:
    """Take a verdict."""
    _check_metrics(event.metrics)
    version = version_of(state, event.number)
    _check_not_quarantined(version)
    if version.state == "live":
        raise ModelRefused(
            f"version {version.number} is live, and a verdict does not change that: quarantine "
            "it, or roll back",
            code="in_use",
        )
    metrics = {**version.metrics, **event.metrics}
    _check_metrics(metrics)
    judged = replace(version, metrics=metrics, verdict=event.verdict, judged=event.run)
    state = _with(state, judged)
    against = state.champion if event.against == "champion" else event.against
    match event.verdict:
        case "promote":
            state = _become(
                state, version.number, "qualified", event.because, now_s, against=against
            )
            return replace(state, challenger=version.number)
        case "hold":
            stays: State = "candidate" if version.state == "qualified" else version.state
            return _become(_unchallenge(state, version.number), version.number, stays,
                           event.because, now_s)  # fmt: skip
        case "reject":
            rejected = version_of(state, version.number)
            return _quarantine(state, rejected, f"rejected: {event.because}", now_s)
        case _:
            assert_never(event.verdict)


def _promote(state: ModelState, event: Promoted, now_s: float) -> ModelState:
    """Have a qualified version go live, and the champion retire."""
    version = version_of(state, event.number)
    if state.champion == version.number:
        return state
    _check_not_quarantined(version)
    if version.state != "qualified":
        raise ModelRefused(
            f"version {version.number} is {version.state}, not qualified: evaluate it first",
            code="not_qualified",
        )
    if version.against != state.champion and not event.anyway:
        was = "no champion" if version.against is None else f"version {version.against}"
        now = "there is none" if state.champion is None else f"version {state.champion} is live"
        raise ModelRefused(
            f"version {version.number} was qualified against {was}, and now {now}: evaluate it "
            "against that, or promote it with --anyway",
            code="outdated",
        )
    lived = tuple(number for number in state.lived if number != version.number)
    if state.champion is not None:
        lived = (*lived, state.champion)[-LIVED_MAX:]
        because = f"version {version.number} took its place"
        state = _become(state, state.champion, "retired", because, now_s)
    state = _become(_unchallenge(state, version.number), version.number, "live", event.because,
                    now_s)  # fmt: skip
    return replace(state, champion=version.number, lived=lived)


def _roll_back(state: ModelState, event: RolledBack, now_s: float) -> ModelState:
    """Have the version that was live last go live again."""
    if event.of is not None and event.of != state.champion:
        now = "there is none" if state.champion is None else f"that is version {state.champion}"
        raise ModelRefused(
            f"version {event.of} is not the champion, {now}: look at `firedoor models history`",
            code="outdated",
        )
    if state.previous is None:
        raise ModelRefused(
            "no version was live before, or none that may be again: promote another one",
            code="no_previous",
        )
    if state.champion is not None:
        because = f"rolled back: {event.because}".removesuffix(": ")
        state = _become(state, state.champion, "retired", because, now_s)
    return _revive(state, event.because, now_s)


def _quarantine(state: ModelState, version: Version, because: str, now_s: float) -> ModelState:
    """Bar a content; where it is live, go back to what was live before, if there is any."""
    if version.state == "quarantined":
        return state
    if len(state.barred) >= BARRED_MAX:
        message = f"{BARRED_MAX} contents are quarantined: release those that no longer exist"
        raise ModelRefused(message, code="full")
    state = replace(
        _unchallenge(state, version.number),
        barred={**state.barred, version.content: because},
        lived=tuple(number for number in state.lived if number != version.number),
    )
    state = _become(state, version.number, "quarantined", because, now_s)
    if state.champion != version.number:
        return state
    if state.previous is None:
        return replace(state, champion=None)
    return _revive(state, f"version {version.number} was quarantined", now_s)


def _release(state: ModelState, event: Released, now_s: float) -> ModelState:
    """Let a content come back, as a candidate."""
    if event.content not in state.barred:
        message = f"content {event.content[:SHORT]} is not quarantined"
        raise NotKnown(message)
    barred = {content: why for content, why in state.barred.items() if content != event.content}
    state = replace(state, barred=barred)
    for version in state.versions:
        if version.content == event.content:
            state = _with(state, replace(version, verdict="", judged=""))
            state = _become(state, version.number, "candidate", event.because, now_s)
    return state


def _retire(state: ModelState, event: Retired, now_s: float) -> ModelState:
    """Put a version aside that nobody uses."""
    version = version_of(state, event.number)
    _check_not_quarantined(version)
    if version.number in {state.champion, state.previous}:
        what = "live" if version.number == state.champion else "what a rollback goes to"
        raise ModelRefused(
            f"version {version.number} is {what}: promote another one first", code="in_use"
        )
    if version.state == "retired":
        return state
    state = _unchallenge(state, version.number)
    return _become(state, version.number, "retired", event.because, now_s)


def _revive(state: ModelState, because: str, now_s: float) -> ModelState:
    """Have the previous version go live."""
    number = state.lived[-1]
    state = _become(_unchallenge(state, number), number, "live", because, now_s)
    return replace(state, champion=number, lived=state.lived[:-1])


def _become(
    state: ModelState,
    number: int,
    what: State,
    because: str,
    now_s: float,
    *,
    against: int | None = None,
) -> ModelState:
    """Return the state with a version in another state."""
    version = replace(
        version_of(state, number), state=what, because=because, changed_s=now_s, against=against
    )
    return _with(state, version)


def _with(state: ModelState, version: Version) -> ModelState:
    """Return the state with a version in place of the one of its number."""
    versions = (version if one.number == version.number else one for one in state.versions)
    return replace(state, versions=tuple(versions))


def _without(state: ModelState, gone: set[int]) -> ModelState:
    """Return the state without some versions."""
    return replace(
        state,
        versions=tuple(version for version in state.versions if version.number not in gone),
        lived=tuple(number for number in state.lived if number not in gone),
    )


def _unchallenge(state: ModelState, number: int) -> ModelState:
    """Return the state in which a version is not the challenger."""
    return replace(state, challenger=None) if state.challenger == number else state


def _check_not_quarantined(version: Version) -> None:
    """Refuse a version whose content is barred."""
    if version.state == "quarantined":
        raise ModelRefused(
            f"version {version.number} is quarantined ({version.because}): release it with "
            "`firedoor models release`, then evaluate it again",
            code="quarantined",
        )


def _check_metrics(metrics: dict[str, float]) -> None:
    """Refuse figures that are none: what is not known must not look like a result."""
    if len(metrics) > METRICS_MAX:
        raise DeclarationError(
            "metrics", f"{len(metrics)} figures", f"are more than {METRICS_MAX}", "sum them up"
        )
    for name, value in metrics.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            raise DeclarationError(
                "metrics", {name: value}, "is no number", "leave out what could not be measured"
            )
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX or not name.isprintable():
            raise DeclarationError(
                "metrics", name, "is no name", f"use at most {NAME_MAX} printable characters"
            )
