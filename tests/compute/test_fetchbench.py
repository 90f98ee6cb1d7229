"""Rows are joined to keys by value, and a value is taken only where it is what was declared."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import polars as pl
import pytest

from firedoor.compute.fetchbench import ROWS_MAX, Fetchbench
from firedoor.wire.fetching import Fetch, Fetched, FetchNote, Scalar


def taken(
    frame: object, dtype: str = "Float64", keys: dict[str, list[Scalar]] | None = None
) -> Fetched:
    """Return what is told where a function returns a frame."""
    asked: dict[str, list[Scalar]] = {"k": ["a", "b", "c"]} if keys is None else keys
    note = FetchNote(keys=tuple(asked), columns={"v": dtype})
    return Fetchbench(lambda _: frame, note).take(Fetch(keys=asked))


@pytest.mark.parametrize(
    ("dtype", "given", "values", "wrong"),
    [
        ("Float64", pl.Series([1.5, None, -0.0]), [1.5, None, -0.0], []),
        ("Float64", pl.Series([math.nan, math.inf, -math.inf]), [None] * 3, [0, 1, 2]),
        ("Float64", pl.Series([1, 2, 3], dtype=pl.UInt8), [1.0, 2.0, 3.0], []),
        ("Float32", pl.Series([1e39, 0.5, -1e39]), [None, 0.5, None], [0, 2]),
        ("Int8", pl.Series([127, 128, -129]), [127, None, None], [1, 2]),
        ("UInt64", pl.Series([2**64 - 1, 0, 7], dtype=pl.UInt64), [2**64 - 1, 0, 7], []),
        ("UInt8", pl.Series([-1, 255, 256]), [None, 255, None], [0, 2]),
        ("Int64", pl.Series([2.0, 2.5, math.nan]), [2, None, None], [1, 2]),
        ("Int64", pl.Series([2**60, 1, 2]), [2**60, 1, 2], []),
        ("Boolean", pl.Series([True, None, False]), [True, None, False], []),
        ("Boolean", pl.Series([1, 0, None]), [None] * 3, [0, 1]),
        ("Int64", pl.Series([True, False, None]), [None] * 3, [0, 1]),
        ("String", pl.Series(["x", None, ""]), ["x", None, ""], []),
        ("String", pl.Series(["x", "y", "x"], dtype=pl.Categorical), ["x", "y", "x"], []),
        ("String", pl.Series([1, 2, 3]), [None] * 3, [0, 1, 2]),
        ("Float64", pl.Series(["1", "2", "3"]), [None] * 3, [0, 1, 2]),
        ("Float64", pl.Series([[1.0], [2.0], None]), [None] * 3, [0, 1]),
        ("Float64", pl.Series([None, None, None]), [None] * 3, []),
    ],
)
def test_a_value_is_taken_where_it_is_of_the_declared_type(
    dtype: str, given: pl.Series, values: list[Scalar], wrong: list[int]
) -> None:
    told = taken(pl.DataFrame({"k": ["a", "b", "c"], "v": given}), dtype)
    assert told.values["v"] == values
    assert [type(value) for value in told.values["v"]] == [type(value) for value in values]
    assert told.wrong.get("v", []) == wrong
    assert bool(told.said) is bool(wrong)
    assert not told.error


def test_rows_come_in_any_order_with_any_others_and_some_not_at_all() -> None:
    dice = random.Random(4)
    for _ in range(200):
        keys = dice.sample(range(1_000), dice.randrange(1, 30))
        given = [key for key in keys if dice.random() < 0.8]
        others = [key + 5_000 for key in dice.sample(range(1_000), dice.randrange(20))]
        rows = [*given, *others]
        dice.shuffle(rows)
        frame = pl.DataFrame(
            {"v": [row / 7 for row in rows], "more": 1, "k": rows},
            schema={"v": pl.Float64, "more": pl.Int64, "k": pl.Int16},
        )
        told = taken(frame, keys={"k": list(keys)})
        assert told.values["v"] == [key / 7 if key in given else None for key in keys]
        assert told.wrong == {}


def test_two_rows_of_one_key_are_taken_where_they_say_the_same() -> None:
    told = taken(pl.DataFrame({"k": ["a", "b", "a", "b"], "v": [1.0, 2.0, 1.0, 3.0]}))
    assert told.values["v"] == [1.0, None, None]
    assert told.wrong == {"v": [1]}
    assert "several values" in told.said


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"v": [1.0]}), "no key k"),
        (pl.DataFrame({"k": range(ROWS_MAX + 1), "v": 0.0}), "rows: return those of the keys"),
        (None, "returned None"),
        (pl.LazyFrame({"k": ["a"], "v": [1.0]}), "collect"),
        (pl.Series([1.0]), "one column"),
    ],
)
def test_what_is_no_answer_at_all_is_an_error_that_says_so(frame: object, says: str) -> None:
    told = taken(frame)
    assert says in told.error
    assert told.values == {}


def _exits(keys: pl.DataFrame) -> pl.DataFrame:
    raise SystemExit(keys.height)


def _recurses(keys: pl.DataFrame) -> pl.DataFrame:
    return _recurses(keys)


@pytest.mark.parametrize("fetch", [_exits, _recurses])
def test_whatever_the_function_raises_is_an_error(
    fetch: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    bench = Fetchbench(fetch, FetchNote(keys=("k",), columns={"v": "Float64"}))
    assert "test_fetchbench.py" in bench.take(Fetch(keys={"k": [1]})).error


def test_a_function_gets_the_kind_of_frame_that_it_asks_for() -> None:
    import pandas as pd  # noqa: PLC0415

    def fetch(keys: pd.DataFrame) -> pd.DataFrame:
        assert isinstance(keys, pd.DataFrame)
        return keys.assign(v=[float(key) for key in keys["k"]])

    bench = Fetchbench(fetch, FetchNote(keys=("k",), columns={"v": "Float64"}))
    told = bench.take(Fetch(keys={"k": [3, 1]}))
    assert told == Fetched(values={"v": [3.0, 1.0]}, seconds=told.seconds)
