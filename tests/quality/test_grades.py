"""Grades only get worse on the way, and demands are judged by code, age and weight."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.quality.grades import CODES, Demand, Grade, lack, merged, of_answer, worse

GRADES = st.builds(Grade, st.sampled_from(CODES), st.none() | st.floats(min_value=0, max_value=1e6))
NAMED = st.dictionaries(st.sampled_from("abc"), GRADES)


@given(NAMED, NAMED, NAMED)
def test_in_whatever_order_ways_meet_the_worst_holds(
    one: dict[str, Grade], two: dict[str, Grade], three: dict[str, Grade]
) -> None:
    assert merged(one, two) == merged(two, one)
    assert merged(merged(one, two), three) == merged(one, merged(two, three))
    assert merged(one, one) == one


@given(GRADES, GRADES)
def test_nothing_gets_better_by_what_it_is_merged_with(one: Grade, other: Grade) -> None:
    found = worse(one, other)
    for grade in (one, other):
        assert CODES.index(found.code) >= CODES.index(grade.code)
        assert grade.age_s is None or (found.age_s is not None and found.age_s >= grade.age_s)


@given(NAMED, NAMED, st.sampled_from(CODES), st.none() | st.floats(min_value=1, max_value=1e6))
def test_what_was_below_a_demand_stays_below_it(
    one: dict[str, Grade], other: dict[str, Grade], code: str, age_s: float | None
) -> None:
    demand = msgspec.convert({"at_least": code, "max_age_s": age_s}, type=Demand)
    if lack(demand, one, 1.0):
        assert lack(demand, merged(one, other), 1.0)


def test_a_grade_survives_the_header() -> None:
    grades = {"weather": Grade("older", 130.5), "fees": Grade("default", None), "x": Grade()}
    assert msgspec.json.decode(msgspec.json.encode(grades), type=dict[str, Grade]) == grades


@pytest.mark.parametrize(
    ("source", "code"),
    [("live", "live"), ("stale", "older"), ("previous", "older"), ("constant", "default"),
     ("function", "default"), ("unheard of", "missing")],
)  # fmt: skip
def test_each_answer_of_a_guard_has_a_code(source: str, code: str) -> None:
    assert of_answer(source, 3.0) == Grade(code, 3.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("demand", "grades", "weight", "why"),
    [
        (Demand(), {}, 1.0, ""),
        (Demand(), {"w": Grade()}, 10.0, ""),
        (Demand(), {"w": Grade("older", 9)}, 1.0, "w is older, and at least live is required"),
        (Demand(at_least="older"), {"w": Grade("older", 9)}, 1.0, ""),
        (Demand(at_least="older"), {"w": Grade("default", None)}, 1.0, "w is default"),
        (Demand(at_least="missing", max_age_s=5), {"w": Grade("live", 9)}, 1.0, "9 s old, and 5 s"),
        (Demand(at_least="missing", max_age_s=5), {"w": Grade("default", None)}, 1.0, ""),
        (Demand(of=("a",)), {"w": Grade("older", 9)}, 1.0, ""),
        (Demand(of=("a", "w")), {"w": Grade("older", 9)}, 1.0, "w is older"),
        (Demand(weight_max=4), {}, 10.0, "each row stands for 10, and at most 4 is required"),
        (Demand(weight_max=4), {}, 4.0, ""),
    ],
)
def test_a_demand_says_what_a_batch_lacks(
    demand: Demand, grades: Mapping[str, Grade], weight: float, why: str
) -> None:
    found = lack(demand, grades, weight)
    assert bool(found) == bool(why)
    assert why in found
