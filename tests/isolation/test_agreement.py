"""A step that is not row-wise is found out, and one that is passes."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.isolation.agreement import agree, prove

CARRIERS = pl.DataFrame({"carrier": ["AA", "B6", "UA"], "name": ["American", "JetBlue", "United"]})
WEIGHTS = np.random.default_rng(3).normal(size=(3, 4))


def flights(height: int, seed: int = 0) -> pl.DataFrame:
    dice = np.random.default_rng(seed)
    delay = dice.normal(10, 30, height)
    return pl.DataFrame(
        {
            "flight": np.arange(height),
            "carrier": dice.choice(["AA", "B6", "UA", "XX"], height),
            "origin": dice.choice(["EWR", "JFK", "LGA"], height),
            "distance": dice.integers(80, 5_000, height),
            "air_time": dice.integers(20, 600, height).astype(float),
            "delay": pl.Series(delay).scatter(np.flatnonzero(dice.random(height) < 0.1), None),
            "stops": pl.Series(
                [["a", "b"][: i % 3] for i in range(height)], dtype=pl.List(pl.String)
            ),
        }
    )


def z_score(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(z=(pl.col("distance") - pl.col("distance").mean()) / 100)


def over_group(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(mean=pl.col("distance").mean().over("origin"))


def shifted(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(previous=pl.col("distance").shift(1))


def only_unique(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique("distance", keep="first", maintain_order=True)


def summed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(total=pl.col("distance").cum_sum())


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.sort("distance", maintain_order=True)


def ranked(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(rank=pl.col("air_time").rank())


def mean_filled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("delay").fill_null(strategy="mean"))


def forward_filled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("delay").forward_fill())


def first_of_each(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by("origin", maintain_order=True).agg(pl.col("distance").max())


def at_most_a_hundred(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.head(100)


def own_labels(frame: pl.DataFrame) -> pl.DataFrame:
    codes = {name: code for code, name in enumerate(frame["carrier"].unique(maintain_order=True))}
    return frame.with_columns(code=pl.col("carrier").replace_strict(codes))


DEPENDENT = [
    z_score,
    over_group,
    shifted,
    only_unique,
    summed,
    in_order,
    ranked,
    mean_filled,
    forward_filled,
    first_of_each,
    at_most_a_hundred,
    own_labels,
]


@pytest.mark.parametrize("step", DEPENDENT)
@pytest.mark.parametrize("height", [300, 5_000])
def test_a_step_whose_rows_depend_on_each_other_is_found_out(
    step: Callable[[pl.DataFrame], pl.DataFrame], height: int
) -> None:
    frame = flights(height)
    proof = prove(step, frame, step(frame))
    assert not proof.rowwise
    assert "depend on each other" in proof.why


@pytest.mark.parametrize("step", [z_score, over_group, shifted, summed, ranked])
def test_four_rows_are_enough_for_the_plainest_ones(
    step: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    frame = flights(4).with_columns(origin=pl.lit("JFK"))
    assert not prove(step, frame, step(frame)).rowwise


def test_groups_that_end_just_at_the_middle_do_not_hide_a_dependence() -> None:
    frame = flights(1_000).with_columns(origin=pl.int_range(1_000) // 500)
    assert not prove(over_group, frame, over_group(frame)).rowwise


def elementwise(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(speed=pl.col("distance") / pl.col("air_time") * 60)


def joined(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.join(CARRIERS, on="carrier", how="left")


def nested(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "flight",
        upper=pl.col("carrier").str.to_lowercase() + pl.col("origin"),
        stops=pl.col("stops").list.eval(pl.element() + "!"),
        both=pl.struct("distance", half=pl.col("air_time") / 2),
        kind=pl.col("carrier").cast(pl.Categorical),
    )


def ufuncs(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(log=np.log1p(frame["distance"].to_numpy()))


def scored(frame: pl.DataFrame) -> pl.DataFrame:
    features = frame.select("distance", "air_time", pl.col("delay").fill_null(0)).to_numpy()
    score = np.tanh(features @ WEIGHTS).astype(np.float32) @ np.ones(4, np.float32)
    return frame.with_columns(score=score)


def filtered(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("delay") > 0)


def labelled(frame: pl.DataFrame) -> pl.DataFrame:
    seen = frame["carrier"].unique().sort().to_list()
    return frame.with_columns(pl.col("carrier").cast(pl.Enum(seen)))


def nullable_by_chance(frame: pl.DataFrame) -> pl.DataFrame:
    late = [1 if flight == 17 else None for flight in frame["flight"]]
    return frame.with_columns(late=pl.Series(late))


ROWWISE = [
    elementwise,
    joined,
    nested,
    ufuncs,
    scored,
    filtered,
    labelled,
    nullable_by_chance,
]


@pytest.mark.parametrize("step", ROWWISE)
@pytest.mark.parametrize("height", [0, 1, 2, 7, 5_000])
def test_a_rowwise_step_passes(step: Callable[[pl.DataFrame], pl.DataFrame], height: int) -> None:
    frame = flights(height)
    proof = prove(step, frame, step(frame))
    assert proof.rowwise, proof.why
    assert proof.rows == height


def test_with_row_numbers_a_step_that_drops_rows_is_compared_by_every_other_row() -> None:
    frame = flights(1_000).with_columns(origin=pl.int_range(1_000) // 500)

    def above_the_group(part: pl.DataFrame) -> pl.DataFrame:
        kept = part.with_columns(top=pl.col("distance").max().over("origin"))
        return kept.filter(pl.col("flight") % 5 != 0)

    rows = pl.int_range(1_000, eager=True).filter(pl.int_range(1_000, eager=True) % 5 != 0)
    assert not prove(above_the_group, frame, above_the_group(frame), rows=rows).rowwise
    drops = frame.filter(pl.col("flight") % 5 != 0)
    proof = prove(lambda part: part.filter(pl.col("flight") % 5 != 0), frame, drops, rows=rows)
    assert proof.rowwise


def test_a_step_that_is_not_repeatable_is_told_apart_and_its_columns_named() -> None:
    dice, ticks = random.Random(7), itertools.count()

    def noisy(frame: pl.DataFrame) -> pl.DataFrame:
        noise = [dice.random() for _ in range(frame.height)]
        return frame.with_columns(noise=pl.Series(noise), at=pl.lit(next(ticks)))

    frame = flights(100)
    proof = prove(noisy, frame, noisy(frame))
    assert not proof.rowwise
    assert proof.why.startswith("not repeatable: ")
    assert proof.unsteady == ("noise", "at")


def test_a_step_that_drops_rows_at_random_is_not_repeatable() -> None:
    dice = random.Random(7)

    def sampled(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter([dice.random() < 0.5 for _ in range(frame.height)])

    frame = flights(200)
    assert "not repeatable" in prove(sampled, frame, sampled(frame)).why


def test_the_first_difference_is_named() -> None:
    left = pl.DataFrame({"a": [1, 2, 3], "b": [1.0, 2.0, 3.0]})
    right = left.with_columns(a=pl.Series([1, 2, 4]), b=pl.Series([1.0, 2.5, 3.0]))
    found = agree(left, right)
    assert (found.row, found.column) == (1, "b")
    assert found.why == "column 'b' of row 1 is 2.0 as a whole, 2.5 in parts"


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": [1, 1]}), "1 rows as a whole, 2 in parts"),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1]}), "'a' is there only in a whole"),
        (
            pl.DataFrame({"a": [1]}),
            pl.DataFrame({"a": [1], "b": [1]}),
            "'b' is there only in parts",
        ),
        (pl.DataFrame({"a": [1], "b": [1]}), pl.DataFrame({"b": [1], "a": [1]}), "another order"),
        (pl.DataFrame({"a": [1]}), pl.DataFrame({"a": ["1"]}), "is Int64 as a whole, String in"),
        (pl.DataFrame({"a": [{"x": 1}]}), pl.DataFrame({"a": [{"y": 1}]}), "is Struct"),
    ],
)
def test_another_shape_is_no_agreement(left: pl.DataFrame, right: pl.DataFrame, why: str) -> None:
    found = agree(left, right)
    assert not found
    assert why in found.why


def one(value: object, dtype: pl.DataType | type[pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame({"a": pl.Series([value], dtype=dtype)})


LIST_OF_STRUCTS = pl.List(pl.Struct({"x": pl.Float64, "y": pl.String}))


@pytest.mark.parametrize(
    ("dtype", "left", "right", "same"),
    [
        (pl.Float64, math.nan, math.nan, True),
        (pl.Float64, math.nan, None, False),
        (pl.Float64, math.nan, 1.0, False),
        (pl.Float64, math.inf, math.inf, True),
        (pl.Float64, math.inf, -math.inf, False),
        (pl.Float64, math.inf, 1.0, False),
        (pl.Float64, 1.0, 1.0 + 1e-9, True),
        (pl.Float64, 1.0, 1.0 + 1e-6, False),
        (pl.Float64, 0.0, 1e-9, False),
        (pl.Float64, -0.0, 0.0, True),
        (pl.Float32, 1.0, 1.0 + 1e-5, True),
        (pl.Float32, 1.0, 1.0 + 1e-3, False),
        (pl.Int64, None, None, True),
        (pl.Int64, None, 0, False),
        (pl.List(pl.Float64), [1.0, math.nan], [1.0 + 1e-9, math.nan], True),
        (pl.List(pl.Float64), [1.0, 2.0], [1.0, 3.0], False),
        (pl.List(pl.Float64), [1.0], [1.0, None], False),
        (pl.List(pl.Float64), [], None, False),
        (pl.Array(pl.Float64, 2), [1.0, 2.0], [1.0, 2.0 + 1e-9], True),
        (pl.Array(pl.Float64, 2), [1.0, 2.0], [1.0, 2.5], False),
        (LIST_OF_STRUCTS, [{"x": 1.0, "y": "a"}], [{"x": 1.0 + 1e-9, "y": "a"}], True),
        (LIST_OF_STRUCTS, [{"x": 1.0, "y": "a"}], [{"x": 1.0 + 1e-9, "y": "b"}], False),
        (pl.Struct({"x": pl.Int64}), {"x": None}, None, False),
    ],
)
def test_values_agree_exactly_and_floats_within_tolerance(
    dtype: pl.DataType, left: object, right: object, *, same: bool
) -> None:
    assert bool(agree(one(left, dtype), one(right, dtype))) is same


def test_labels_are_compared_by_value_and_nulls_have_no_dtype() -> None:
    assert agree(one("a", pl.Categorical), one("a", pl.Enum(["b", "a"])))
    assert not agree(one("a", pl.Categorical), one("b", pl.Enum(["b", "a"])))
    assert agree(one(None, pl.Null), one(None, pl.List(pl.Int64)))
    assert not agree(one(None, pl.Null), one(1, pl.Int64))
    assert agree(one([], pl.List(pl.Null)), one([], pl.List(pl.Int64)))


def test_one_huge_value_does_not_widen_the_tolerance_of_the_others() -> None:
    left = pl.DataFrame({"a": [1.0, 2.0, 1e300]})
    assert not agree(left, pl.DataFrame({"a": [1.0, 2.1, 1e300]}))


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.none() | st.floats(width=32) | st.integers(-3, 3).map(float), min_size=1),
    data=st.data(),
)
def test_a_frame_agrees_with_itself_and_with_nothing_that_differs_in_one_value(
    values: list[float | None], data: st.DataObject
) -> None:
    frame = pl.DataFrame({"a": pl.Series(values, dtype=pl.Float64)})
    assert agree(frame, frame.clone())
    row = data.draw(st.integers(0, len(values) - 1))
    changed = list(values)
    changed[row] = 1e60 if values[row] != 1e60 else None
    found = agree(frame, pl.DataFrame({"a": pl.Series(changed, dtype=pl.Float64)}))
    assert found.row == row
