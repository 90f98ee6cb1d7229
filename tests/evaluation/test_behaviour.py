"""Violations are counted, measured and bounded."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.errors import DeclarationError
from firedoor.evaluation.behaviour import Behaviour, BehaviourPolicy, behaviour, share_of
from firedoor.evaluation.metrics import Unknown

BEFORE, AFTER = [0.1, 0.4, 0.5, 0.9], [0.1, 0.7, 0.4, 0.9]


def known(before: Any, after: Any, **policy: Any) -> Behaviour:
    found = behaviour(before, after, BehaviourPolicy(**policy))
    assert isinstance(found, Behaviour), found
    return found


@pytest.mark.parametrize(
    ("may", "tolerance", "rows"),
    [
        ("stay", 0.0, (1, 2)),
        ("stay", 0.1, (1,)),
        ("stay", 0.3, ()),
        ("rise", 0.0, (2,)),
        ("rise", 0.1, ()),
        ("fall", 0.0, (1,)),
        ("fall", 0.2, (1,)),
    ],
)
def test_a_row_that_moves_the_wrong_way_is_a_violation(
    may: str, tolerance: float, rows: tuple[int, ...]
) -> None:
    found = known(BEFORE, AFTER, may=may, tolerance=tolerance)
    assert (found.examples, found.violations) == (rows, len(rows))
    assert found.share.value == len(rows) / 4


def test_a_tolerance_is_meant_as_it_is_written() -> None:
    assert known([0.3], [0.4], tolerance=0.1).violations == 0


def test_the_size_of_violations_is_told() -> None:
    found = known(BEFORE, AFTER)
    assert found.max_size == pytest.approx(0.3)
    assert found.mean_size == pytest.approx(0.2)
    assert known(BEFORE, BEFORE).max_size == known(BEFORE, BEFORE).mean_size == 0


def test_the_largest_violations_are_the_examples() -> None:
    before = np.zeros(1_000)
    found = known(before, np.arange(1_000))
    assert found.examples == (999, 998, 997, 996, 995)
    assert found.violations == 999


@given(hits=st.integers(0, 40), rows=st.integers(1, 400))
def test_bounds_are_as_wide_as_exact_ones_or_a_little_wider(hits: int, rows: int) -> None:
    hits = min(hits, rows)
    found = share_of(hits, rows, 0.95)
    assert 0 <= found.low <= found.value <= found.high <= 1
    ways = [math.comb(rows, k) for k in range(hits + 1)]
    if found.high < 1:
        high = found.high
        tail = sum(w * high**k * (1 - high) ** (rows - k) for k, w in enumerate(ways))
        assert tail <= 0.0250001
    if hits == 0:
        assert found.high == pytest.approx(1 - 0.025 ** (1 / rows))


def test_bounds_mirror_each_other() -> None:
    few, many = share_of(3, 100, 0.9), share_of(97, 100, 0.9)
    assert few.low == pytest.approx(1 - many.high)
    assert few.high == pytest.approx(1 - many.low)
    assert few.high < 0.11


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ([], [], "there are no rows"),
        ([0.1], [], "there are no rows"),
        ([0.1, 0.2], [0.1], "there are 2 rows before and 1 after"),
        ([0.1], [math.nan], "1 of 1 predictions after are missing or not finite"),
        ([None], [0.1], "1 of 1 predictions before are missing or not finite"),
    ],
)
def test_nothing_is_said_of_what_was_not_predicted(before: Any, after: Any, why: str) -> None:
    assert behaviour(before, after) == Unknown(why)


@pytest.mark.parametrize(
    "wrong", [{"may": "up"}, {"tolerance": -1}, {"tolerance": math.nan}, {"confidence": 1}]
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        BehaviourPolicy(**wrong)
