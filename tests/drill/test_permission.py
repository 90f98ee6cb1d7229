"""In development all may be injected, in production what a zone allows and a person agrees to."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from firedoor.drill.choosing import make_fault
from firedoor.drill.permission import environment_of, why_not

FAULT = make_fault("latency", zone="enrich", zone_kind="transform", drill="d1", share=0.05)
AGREED = replace(FAULT, allowed=True)


@pytest.mark.parametrize(
    ("declared", "named", "foreign", "found"),
    [
        ("", "", False, "development"),
        ("", "", True, "production"),
        ("development", "", True, "development"),
        ("production", "", False, "production"),
        ("production", "development", True, "development"),
        ("development", " Production ", False, "production"),
        ("development", "staging", False, "production"),
    ],
)
def test_the_environment_is_what_was_said_last_and_production_where_in_doubt(
    declared: str, named: str, *, foreign: bool, found: str
) -> None:
    assert environment_of(declared, named, foreign_broker=foreign) == found


def test_in_development_whatever_is_in_the_catalogue_may_be_injected() -> None:
    whole = replace(FAULT, share=1.0)
    assert why_not(whole, zone_kind="transform", environment="development", drills=()) == ""


def test_what_is_out_of_range_may_be_injected_nowhere() -> None:
    strong = replace(FAULT, intensity=1e9)
    why = why_not(strong, zone_kind="transform", environment="development", drills=())
    assert "give 0.001 to 30.0 seconds" in why


def test_in_production_a_person_has_to_agree_and_the_zone_to_allow_it() -> None:
    def asked(fault: object, *drills: str) -> str:
        assert isinstance(fault, type(FAULT))
        return why_not(fault, zone_kind="transform", environment="production", drills=drills)

    assert "--allow-production" in asked(FAULT, "latency")
    assert 'declare drills=("latency", ...)' in asked(AGREED)
    assert "allows kill, drop" in asked(AGREED, "kill", "drop")
    assert "the most in production" in asked(replace(AGREED, share=0.2), "latency")
    assert asked(AGREED, "kill", "latency") == ""
