"""Rows that are in two parts are found, however they are disguised, and others are not."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from firedoor.errors import DeclarationError
from firedoor.evaluation.leakage import LeakPolicy, LeakReport, leakage

FEATURES = ("carrier", "distance", "temp", "wind", "visib", "rain", "at")
NEAR = LeakPolicy(features=FEATURES)


def drawn(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "tailnum": [f"N{seed}{number}" for number in range(rows)],
            "carrier": rng.choice(["AA", "B6", "Delta Air Lines"], rows),
            "distance": rng.integers(80, 3_000, rows),
            "temp": rng.normal(50, 20, rows),
            "wind": rng.gamma(2, 5, rows),
            "visib": np.where(rng.random(rows) < 0.9, 10.0, rng.random(rows)),
            "rain": rng.exponential(1e-3, rows),
            "at": rng.integers(0, 10**12, rows).astype("datetime64[ms]"),
        }
    )


TRAIN, TEST = drawn(4_000, 1), drawn(1_000, 2)


def report(train: pl.DataFrame, test: pl.DataFrame, policy: LeakPolicy = NEAR) -> LeakReport:
    return leakage({"train": train, "test": test}, policy)


def test_parts_that_share_nothing_are_not_refused() -> None:
    found = report(TRAIN, TEST, LeakPolicy(key=("tailnum",), features=FEATURES))
    assert (found.leaks, found.refused, found.why) == ((), False, "")
    assert found.rows == {"train": 4_000, "test": 1_000}


def test_a_key_in_two_parts_is_refused_with_the_rows_that_have_it() -> None:
    test = pl.concat([TEST, TRAIN[7:9]])
    found = report(TRAIN, test, LeakPolicy(key=("tailnum",)))
    (leak,) = found.leaks
    assert (leak.rows, leak.examples) == (2, ((7, 1_000), (8, 1_001)))
    assert leak.share == 2 / 1_002
    assert found.refused
    assert "row 1000 (as 7 there), 1001 (as 8 there)" in found.why


def disguised(rows: pl.DataFrame, much: float) -> pl.DataFrame:
    rng = np.random.default_rng(9)
    moved = [
        (pl.col(name) + pl.Series(rng.uniform(-1, 1, rows.height) * much * spread)).alias(name)
        for name, spread in {"temp": 20, "wind": 6, "visib": 0.5, "rain": 7e-4}.items()
    ]
    carrier = "  " + pl.col("carrier").str.to_uppercase().str.replace_all(" ", "\t ")
    return rows.with_columns(*moved, carrier=carrier, tailnum=pl.col("tailnum") + "x")


@pytest.mark.parametrize(("much", "found_min"), [(0.0, 1.0), (0.0003, 0.999), (0.001, 0.99)])
def test_a_row_that_was_touched_up_is_found(much: float, found_min: float) -> None:
    copies = disguised(TRAIN[:2_000], much)
    found = report(TRAIN, pl.concat([TEST, copies]))
    (leak,) = found.leaks
    assert found.refused
    assert leak.rows >= found_min * 2_000
    assert leak.examples[0] == (0, 1_000)


def test_with_few_fractions_none_is_missed_up_to_a_quarter_of_what_is_near() -> None:
    policy = LeakPolicy(features=("carrier", "distance", "temp", "wind", "rain", "at"))
    (leak,) = report(TRAIN, disguised(TRAIN, 0.0024), policy).leaks
    assert leak.rows == TRAIN.height


def test_what_is_found_does_agree() -> None:
    rng = np.random.default_rng(3)
    train, test = (pl.DataFrame({"x": rng.random(300), "y": rng.random(300)}) for _ in range(2))
    policy = LeakPolicy(features=("x", "y"), near=0.05, examples=100)
    (leak,) = report(train, test, policy).leaks
    spread = dict.fromkeys(("x", "y"), 0.29)
    assert leak.rows > 3
    for there, here in leak.examples:
        for name, width in spread.items():
            assert abs(train[name][there] - test[name][here]) < 0.05 * width


def test_rows_that_agree_by_chance_are_told_and_refused_only_where_they_are_many() -> None:
    few = LeakPolicy(features=FEATURES, near_share_max=0.01)
    found = report(TRAIN, pl.concat([TEST, TRAIN[:5]]), few)
    assert [leak.rows for leak in found.leaks] == [5]
    assert not found.refused
    assert report(TRAIN, pl.concat([TEST, TRAIN[:50]]), few).refused
    just = report(TRAIN, pl.concat([TEST[:999], TRAIN[:1]]), LeakPolicy(features=FEATURES))
    assert (just.leaks[0].share, just.refused) == (0.001, False)


def test_a_column_of_mostly_zeros_is_measured_by_what_differs() -> None:
    train = pl.DataFrame({"rain": [0.0] * 95 + [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]})
    test = pl.DataFrame({"rain": [1.5e-3, 2.5e-3, 3.5e-3, 5e-3]})
    (leak,) = report(train, test, LeakPolicy(features=("rain",))).leaks
    assert leak.examples == ((99, 3),)


def test_an_outlier_does_not_make_all_rows_alike() -> None:
    wild = TRAIN.with_columns(
        temp=pl.when(pl.int_range(pl.len()) == 0).then(1e300).otherwise("temp")
    )
    policy = LeakPolicy(features=("temp", "wind", "rain"))
    assert report(wild, TEST, policy).leaks == report(TRAIN, TEST, policy).leaks
    same = report(wild, wild[:1], policy)
    assert [leak.rows for leak in same.leaks] == [1]


def test_what_is_missing_agrees_with_what_is_missing() -> None:
    train = pl.DataFrame({"a": [None, 1.0, math.nan, math.inf], "b": ["x", "y", "z", None]})
    test = pl.DataFrame({"a": [math.nan, 1.0], "b": ["X ", None]})
    (leak,) = report(train, test, LeakPolicy(features=("a", "b"))).leaks
    assert leak.examples == ((0, 0),)


def test_how_a_value_is_kept_does_not_matter() -> None:
    at = datetime(2013, 1, 1, tzinfo=UTC)
    one = pl.DataFrame({"k": [1], "c": ["AA"], "at": [at], "x": [1.5], "flag": [True]})
    other = one.with_columns(
        pl.col("k").cast(pl.UInt64),
        pl.col("c").cast(pl.Categorical),
        pl.col("at").dt.cast_time_unit("ms"),
        pl.col("x").cast(pl.Float32),
    )
    (leak,) = report(one, other, LeakPolicy(features=("k", "c", "at", "x", "flag"))).leaks
    assert leak.rows == 1


def test_each_part_is_compared_with_each_before_it() -> None:
    parts = {"train": TRAIN, "stop": drawn(50, 3), "test": pl.concat([TRAIN[:1], drawn(50, 3)])}
    found = leakage(parts, LeakPolicy(key=("tailnum",)))
    assert [(leak.earlier, leak.later, leak.rows) for leak in found.leaks] == [
        ("train", "test", 1),
        ("stop", "test", 50),
    ]


def test_a_part_without_rows_is_no_pass() -> None:
    found = report(TRAIN, TEST.clear(), LeakPolicy(key=("tailnum",), features=FEATURES))
    assert found.leaks == ()
    assert found.refused
    assert found.why == "part 'test' has no rows"


@pytest.mark.parametrize(
    ("test", "policy", "why"),
    [
        (TEST.drop("temp"), NEAR, "is not in part 'test'"),
        (TEST.with_columns(temp=1), NEAR, "is Int32 in 'test'"),
        (TEST.with_columns(pl.col("distance").cast(pl.String)), NEAR, "is String in 'test'"),
        (TEST.with_columns(temp=pl.lit([1])), NEAR, "in 'test'; give it one dtype"),
        (TEST, LeakPolicy(key=("temp",)), "is Float64, and no key"),
    ],
)
def test_parts_that_cannot_be_compared_are_refused(
    test: pl.DataFrame, policy: LeakPolicy, why: str
) -> None:
    with pytest.raises(DeclarationError, match=why):
        report(TRAIN, test, policy)


def test_one_part_alone_is_refused() -> None:
    with pytest.raises(DeclarationError, match="2 to 10 frames"):
        leakage({"train": TRAIN}, NEAR)


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": ()},
        {"near": 0},
        {"near": 1},
        {"near_share_max": 2},
        {"examples": 0},
        {"features": ["temp"]},
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        LeakPolicy(**{"features": FEATURES, **wrong})
