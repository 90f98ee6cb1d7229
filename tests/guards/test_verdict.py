"""The rule by which the benchmark says that one stack of guards is better than another."""

from __future__ import annotations

import pytest
from benchmarks.guards import verdict
from hypothesis import given, settings
from hypothesis import strategies as st

figures = st.fixed_dictionaries(
    {
        "useful": st.floats(0, 100),
        "load": st.floats(0, 3),
        "recovery_s": st.floats(0, 60),
    }
)


@settings(deadline=None, derandomize=True)
@given(figures, figures)
def test_no_two_are_better_than_each_other_and_none_than_itself(
    one: verdict.Figures, two: verdict.Figures
) -> None:
    assert not verdict.better(one, one)
    assert not (verdict.better(one, two) and verdict.better(two, one))


@settings(deadline=None, derandomize=True)
@given(figures, st.sampled_from(["useful", "load", "recovery_s"]))
def test_who_is_worse_in_one_thing_is_not_better(one: verdict.Figures, what: str) -> None:
    other = dict(one)
    other[what] = one[what] * 0.8 - 5 if what == "useful" else one[what] * 1.2 + 2
    assert not verdict.better(other, one)
    assert verdict.better(one, other)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"useful": 50.0, "load": 0.10, "recovery_s": 2.0}, False),
        ({"useful": 52.0, "load": 0.10, "recovery_s": 2.0}, False),
        ({"useful": 55.0, "load": 0.10, "recovery_s": 2.0}, True),
        ({"useful": 55.0, "load": 0.14, "recovery_s": 2.9}, True),
        ({"useful": 55.0, "load": 0.16, "recovery_s": 2.0}, False),
        ({"useful": 55.0, "load": 0.10, "recovery_s": 3.1}, False),
        ({"useful": 50.0, "load": 0.04, "recovery_s": 2.0}, True),
        ({"useful": 50.0, "load": 0.06, "recovery_s": 2.0}, False),
        ({"useful": 50.0, "load": 0.10, "recovery_s": 0.5}, True),
    ],
)
def test_what_differs_by_less_than_the_margins_is_equal(
    other: verdict.Figures, *, expected: bool
) -> None:
    assert verdict.better(other, {"useful": 50.0, "load": 0.1, "recovery_s": 2.0}) is expected


def test_the_table_names_who_is_better_and_counts_who_is_worse() -> None:
    told = {
        "firedoor": {"useful": 50.0, "load": 0.1, "recovery_s": 2.0},
        "quick": {"useful": 60.0, "load": 0.1, "recovery_s": 2.0},
        "idle": {"useful": 20.0, "load": 0.1, "recovery_s": 2.0},
        "flood": {"useful": 80.0, "load": 2.0, "recovery_s": 0.0},
    }
    assert verdict.rows(told) == [["firedoor", "0.62", "1.00", "+2.0", "quick", "1 of 3"]]
    counted = {name: [wins, losses] for name, wins, losses in verdict.summary({"x": told})}
    assert counted["firedoor"] == ["1 of 3", "1 of 3"]
    assert counted["flood"] == ["0 of 3", "0 of 3"]
