"""What a gateway notes for the ledger is what has changed between two looks at a service."""

from __future__ import annotations

from typing import Any

from firedoor.events.happened import Happened
from firedoor.gateway.happenings import happened
from firedoor.gateway.services import Failing, Sample, ServiceFacts, VariantShown

QUIET = ServiceFacts(ready=True)


def shown(state: str = "ready", **deaths: int) -> VariantShown:
    return VariantShown(name="delays@3", arm="champion", state=state, deaths=deaths)


def facts(**more: Any) -> ServiceFacts:
    return ServiceFacts(**{"ready": True, **more})


def told(before: ServiceFacts | None, now: ServiceFacts) -> list[Happened]:
    found = happened("predict", before, now, 7.0)
    assert all((one.zone, one.at_s) == ("predict", 7.0) for one in found)
    return found


def number(name: str, value: float, **labels: str) -> Sample:
    return Sample(name, "gauge", "Help.", tuple(labels.items()), value)


def test_nothing_is_noted_where_nothing_has_changed() -> None:
    busy = facts(
        variants=(shown(crash=3),), shed=9,
        samples=(number("breaker_open", 1, variant="delays@3"),),
    )  # fmt: skip
    assert told(QUIET, QUIET) == []
    assert told(busy, busy) == []


def test_a_service_that_is_ready_or_not_any_more_says_why() -> None:
    (first,) = told(None, QUIET)
    assert (first.kind, first.code, first.before) == ("zone.state", "ready", "")
    (lost,) = told(QUIET, facts(ready=False, because="delays@3 is backing off"))
    assert (lost.before, lost.after, lost.code) == ("ready", "not_ready", "not_ready")
    assert "backing off" in lost.text


def test_versions_and_the_deaths_of_their_workers_are_noted_once() -> None:
    before = facts(variants=(shown(crash=1),))
    now = facts(variants=(shown("backing_off", crash=3, hang=1),))
    note, *deaths = told(before, now)
    assert (note.kind, note.about, note.after) == ("zone.note", "delays@3", "backing_off")
    assert [(one.code, one.facts["times"]) for one in deaths] == [("crash", 2), ("hang", 1)]


def test_what_is_failed_at_is_noted_with_its_text_once_while_it_goes_on() -> None:
    first = facts(failing=(Failing("delays@3", "raised, KeyError", "no Jane Doe", "r-1"),))
    (note,) = told(QUIET, first)
    assert (note.kind, note.code, note.about) == ("zone.note", "fails", "delays@3")
    assert note.text == "delays@3 fails: raised, KeyError (first of request r-1): no Jane Doe"
    later = facts(failing=(*first.failing, Failing("fallback", "late", "")))
    (other,) = told(first, later)
    assert other.text == "fallback fails: late"
    assert told(later, first) == []


def test_a_breaker_of_a_store_is_the_stores_fault_and_that_of_a_version_its_own() -> None:
    open_now = facts(
        samples=(
            number("breaker_open", 1, variant="delays@3"),
            number("features_breaker_open", 1, features="weather"),
        )
    )
    own, looked_up = told(QUIET, open_now)
    assert (own.kind, own.about, own.cause, own.code) == ("breaker", "delays@3", "", "open")
    assert (looked_up.about, looked_up.cause) == ("features.weather", "dependency:weather")
    assert [one.code for one in told(open_now, QUIET)] == []
    shut = facts(samples=(number("features_breaker_open", 0, features="weather"),))
    assert [(one.before, one.after, one.cause) for one in told(open_now, shut)] == [
        ("open", "closed", "")
    ]


def test_values_that_are_worse_than_promised_and_requests_that_were_refused_are_counted() -> None:
    def values(live: float, older: float) -> tuple[Sample, ...]:
        return (
            number("features_values", live, features="weather", code="live"),
            number("features_values", older, features="weather", code="older"),
        )

    before = facts(samples=values(10, 1), shed=2)
    degraded, shed = told(before, facts(samples=values(30, 6), shed=7))
    assert (degraded.kind, degraded.code, degraded.facts["times"]) == ("degraded", "older", 5)
    assert degraded.cause == "dependency:weather"
    assert (shed.kind, shed.facts["requests"]) == ("shed", 5)
