"""Totals of what was kept: units add up, causes are bounded, durations fall where they belong."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from firedoor.events.counting import ObjectiveCounts
from firedoor.events.objective import (
    BUCKETS,
    CAUSES_MAX,
    OTHER,
    Objectives,
    bucket_ends_s,
    bucket_of,
    counted_as,
)


def counts() -> ObjectiveCounts:
    return ObjectiveCounts("clean", process="here-1", boot="b")


def test_units_add_up_to_what_was_counted() -> None:
    one = counts()
    one.through(90, 0.5, late=False)
    one.through(10, 5.0, late=True, cause="dependency:db")
    one.through(4, 5.0, late=True)
    one.availability.bad(3)
    one.availability.bad(2, "flights")
    told = one.told(7.0, state="running", waiting=2)
    assert (told.availability.good, told.availability.own) == (104, 3)
    assert told.availability.inherited == {"flights": 2}
    assert told.availability.units == 109
    assert (told.latency.good, told.latency.own) == (90, 4)
    assert told.latency.inherited == {"dependency:db": 10}
    assert sum(told.latency_s.values()) == 3
    assert msgspec.json.decode(msgspec.json.encode(told), type=Objectives) == told


def test_totals_that_were_told_do_not_change_afterwards() -> None:
    one = counts()
    one.availability.bad(1, "a")
    told = one.told(1.0)
    one.availability.bad(1, "a")
    one.took(1.0)
    assert (told.availability.inherited, told.latency_s) == ({"a": 1}, {})


def test_causes_beyond_the_bound_are_counted_under_one_name() -> None:
    one = counts()
    for number in range(CAUSES_MAX + 5):
        one.availability.bad(1, f"zone{number}")
    inherited = one.told(1.0).availability.inherited
    assert len(inherited) == CAUSES_MAX + 1
    assert inherited[OTHER] == 5


@given(st.floats(0, 1e12))
def test_a_duration_is_in_the_first_bucket_that_does_not_end_before_it(seconds: float) -> None:
    bucket = bucket_of(seconds)
    assert 0 <= bucket < BUCKETS
    assert seconds <= bucket_ends_s(bucket) * (1 + 1e-6)
    if bucket:
        assert seconds > bucket_ends_s(bucket - 1) * (1 - 1e-6)


def test_the_last_bucket_never_ends() -> None:
    assert bucket_ends_s(BUCKETS - 1) == math.inf


def test_names_that_are_known_go_on_and_further_ones_are_one() -> None:
    known: dict[str, int] = {}
    for code in range(256):  # a process may end with any of them
        for _ in range(2):
            name = counted_as(f"exit {code}", known)
            known[name] = known.get(name, 0) + 1
    assert len(known) == CAUSES_MAX + 1
    assert known["exit 0"] == 2
    assert known[OTHER] == 2 * (256 - CAUSES_MAX)
