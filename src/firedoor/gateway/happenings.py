"""What happened to a service between two looks at it: what a gateway notes for the ledger. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.events.happened import Happened, Kind
from firedoor.gateway.services import ServiceFacts, VariantShown

LIVE = "live"
"""The quality of a looked-up value that is no worse than promised."""
BREAKERS = {"breaker_open": "variant", "features_breaker_open": "features"}
"""Numbers that are 1 while a breaker refuses, and the label that says whose it is."""


def happened(
    service: str, before: ServiceFacts | None, now: ServiceFacts, at_s: float
) -> list[Happened]:
    """Return what is to be noted.

    Args:
        service: whose facts they are.
        before: at the look before; None: there was none.
        now: at this look.
        at_s: seconds since 1970, UTC.
    """
    told = _Told(service, at_s)
    found = [*_state(told, before, now), *_workers(told, before, now)]
    found += _failing(told, before, now)
    found += [*_breakers(told, before, now), *_degraded(told, before, now)]
    shed = now.shed - (0 if before is None else before.shed)
    if shed > 0:
        text = f"{shed} requests were refused for want of room"
        found.append(told.of("shed", text, requests=shed))
    return found


class _Told:
    """Makes entries of one look."""

    def __init__(self, service: str, at_s: float) -> None:
        self._service, self._at_s = service, at_s

    def of(
        self,
        kind: Kind,
        text: str,
        *,
        code: str = "",
        about: str = "",
        cause: str = "",
        before: str = "",
        after: str = "",
        **facts: int,
    ) -> Happened:
        """Return an entry."""
        return Happened(
            at_s=self._at_s, kind=kind, zone=self._service, text=text, code=code, cause=cause,
            about=about, before=before, after=after, facts={**facts},
        )  # fmt: skip


def _state(told: _Told, before: ServiceFacts | None, now: ServiceFacts) -> Iterator[Happened]:
    """Go through what it answers by."""
    word, was = _word(now), "" if before is None else _word(before)
    if word != was:
        text = f"{word}: {now.because}" if now.because else word
        yield told.of("zone.state", text, code=word, before=was, after=word)
    known = {} if before is None else {one.name: one for one in before.variants}
    for one in now.variants:
        was = known[one.name].state if one.name in known else ""
        if one.state != was:
            text = f"{one.name} is {one.state}" + (f": {one.because}" if one.because else "")
            yield told.of(
                "zone.note", text, code=one.state, about=one.name, before=was, after=one.state
            )


def _word(facts: ServiceFacts) -> str:
    """Return the state of a service."""
    return "ready" if facts.ready else "not_ready"


def _workers(told: _Told, before: ServiceFacts | None, now: ServiceFacts) -> Iterator[Happened]:
    """Go through workers that died."""
    known = {} if before is None else {one.name: one for one in before.variants}
    for one in now.variants:
        for cause, count in one.deaths.items():
            times = count - _deaths(known.get(one.name), cause)
            if times > 0:
                text = f"{times} workers of {one.name} died: {cause}"
                yield told.of("worker.died", text, code=cause, about=one.name, times=times)


def _failing(told: _Told, before: ServiceFacts | None, now: ServiceFacts) -> Iterator[Happened]:
    """Go through what is failed at, and was not a moment ago: the text is told here alone."""
    known = set() if before is None else {(one.about, one.kind) for one in before.failing}
    for one in now.failing:
        if (one.about, one.kind) not in known:
            where = f" (first of request {one.request})" if one.request else ""
            text = f"{one.about} fails: {one.kind}{where}" + (f": {one.text}" if one.text else "")
            yield told.of("zone.note", text, code="fails", about=one.about)


def _deaths(variant: VariantShown | None, cause: str) -> int:
    """Return how many workers of a version had died."""
    return 0 if variant is None else variant.deaths.get(cause, 0)


def _breakers(told: _Told, before: ServiceFacts | None, now: ServiceFacts) -> Iterator[Happened]:
    """Go through breakers that opened or closed."""
    was = _numbers(before)
    for (name, whose), value in _numbers(now).items():
        if value == was.get((name, whose), 0.0):
            continue
        word, other = ("open", "closed") if value else ("closed", "open")
        looked_up = BREAKERS[name] == "features"
        about = f"features.{whose}" if looked_up else whose
        cause = f"dependency:{whose}" if value and looked_up else ""
        yield told.of(
            "breaker", f"the breaker of {about} is {word}", code=word, about=about, cause=cause,
            before=other, after=word,
        )  # fmt: skip


def _degraded(told: _Told, before: ServiceFacts | None, now: ServiceFacts) -> Iterator[Happened]:
    """Go through looked-up values that were worse than promised."""
    was = _values(before)
    for (group, code), count in _values(now).items():
        times = int(count - was.get((group, code), 0.0))
        if times > 0 and code != LIVE:
            yield told.of(
                "degraded", f"{times} values of {group} are {code}", code=code, about=group,
                cause=f"dependency:{group}", times=times,
            )  # fmt: skip


def _numbers(facts: ServiceFacts | None) -> dict[tuple[str, str], float]:
    """Return whether breakers refuse, by the number's name and whose they are."""
    return {
        (sample.name, dict(sample.labels)[BREAKERS[sample.name]]): sample.value
        for sample in (() if facts is None else facts.samples)
        if sample.name in BREAKERS
    }


def _values(facts: ServiceFacts | None) -> dict[tuple[str, str], float]:
    """Return how many looked-up values there were, by group and quality."""
    found: dict[tuple[str, str], float] = {}
    for sample in () if facts is None else facts.samples:
        if sample.name == "features_values":
            labels = dict(sample.labels)
            found[labels["features"], labels["code"]] = sample.value
    return found
