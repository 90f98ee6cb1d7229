"""What functions return, taken as predictions: one a row, finite, of the declared type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from firedoor.compute.serving_batch import Framer, Taker, Unfit, differs, scores_of
from firedoor.wire.bundle import Field, Signature, parse_fields
from firedoor.wire.columns import BadPayload
from firedoor.wire.serving import Outcome


def taker(**outputs: str) -> Taker:
    return Taker(parse_fields("outputs", outputs))


@pytest.mark.parametrize(
    "returned",
    [
        [0.5, 1],
        (0.5, 1.0),
        np.array([0.5, 1.0]),
        np.array([[0.5], [1.0]]),
        np.array([0.5, 1.0], dtype=np.float32),
        [np.float64(0.5), np.int32(1)],
        pl.Series([0.5, 1.0]),
        pd.Series([0.5, 1.0], index=[7, 3]),
        pl.DataFrame({"other": [3, 4], "prediction": [0.5, 1.0]}),
        pd.DataFrame({"prediction": [0.5, 1.0]}),
        {"prediction": [0.5, 1.0]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_number_a_row_is_taken_from_whatever_holds_it(returned: object) -> None:
    predicted = taker().take(returned, 2)
    assert predicted.columns == {"prediction": [0.5, 1.0]}
    assert [type(value) for value in predicted.columns["prediction"]] == [float, float]
    assert not predicted.bad


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([0.5], "1 predictions of 'prediction' for 2 rows"),
        (np.ones((2, 2)), "output 'prediction' is a list, and one number is declared"),
        (["a", "b"], "is declared as FP64 and is a str"),
        (None, "a NoneType was returned"),
        (iter([1, 2]), "was returned: return a series"),
        (pl.DataFrame({"chance": [1.0, 2.0]}), "'prediction' is declared as output; there are ch"),
    ],
)
def test_what_is_not_a_number_a_row_is_misshapen(returned: object, said: str) -> None:
    with pytest.raises(Unfit, match=said) as unfit:
        taker().take(returned, 2)
    assert unfit.value.outcome is Outcome.MISSHAPED


@pytest.mark.parametrize("worst", [math.nan, math.inf, -math.inf, None])
def test_rows_without_a_finite_number_are_told(worst: float | None) -> None:
    assert taker().take([0.5, worst, 1.0], 3).bad == {1}
    assert taker(a="Float64", b="Int64").take({"a": [1, 2], "b": [None, 5]}, 2).bad == {0}


def test_a_number_that_its_declared_type_cannot_hold_is_not_finite_there() -> None:
    assert taker(a="Float32").take([1.0, 1e39], 2).bad == {1}
    assert taker(a="Int8").take([300, 3], 2).bad == {0}


def test_sums_of_finite_numbers_that_overflow_are_no_failure() -> None:
    assert not taker().take([1.7e308, 1.7e308], 2).bad


def test_outputs_are_of_their_declared_types() -> None:
    predicted = taker(n="Int64", s="String", b="Boolean").take(
        pl.DataFrame({"s": ["a"], "b": [True], "n": [3]}), 1
    )
    assert predicted.columns == {"n": [3], "s": ["a"], "b": [True]}
    for wrong in ({"n": [1.5]}, {"n": [True]}, {"n": ["1"]}):
        with pytest.raises(Unfit, match="'n' is declared as INT64"):
            taker(n="Int64").take(wrong, 1)


def test_a_table_of_numbers_is_taken_by_the_order_of_the_outputs() -> None:
    predicted = taker(no="Float64", yes="Float64").take(np.array([[0.75, 0.25]]), 1)
    assert predicted.columns == {"no": [0.75], "yes": [0.25]}
    with pytest.raises(Unfit, match="return a frame with these columns"):
        taker(no="Float64", yes="Float64").take(np.array([0.75]), 1)


def test_vectors_are_of_their_declared_shape() -> None:
    assert taker(v="Float64[2]").take(np.eye(2), 2).columns == {"v": [[1.0, 0.0], [0.0, 1.0]]}
    assert taker(v="Float64[2]").take([[1.0, math.nan], [1.0, 2.0]], 2).bad == {0}
    for wrong in ([[1.0], [2.0]], [[1.0, 2.0], [1.0]], [1.0, 2.0]):
        with pytest.raises(Unfit, match="with shape"):
            taker(v="Float64[2]").take(wrong, 2)
    with pytest.raises(Unfit, match="with shape"):
        taker(v="Float64[?]").take([[1.0, 2.0], [1.0]], 2)


def test_scores_are_the_first_output_where_it_is_a_number() -> None:
    assert np.frombuffer(scores_of([1, 2.5, True])).tolist() == [1.0, 2.5, 1.0]
    assert scores_of(["a"]) == b""
    assert scores_of([[1.0]]) == b""


def test_columns_that_differ_are_told_by_row() -> None:
    assert differs([1.0, 2.0, "a"], [1.00001, 2, "a"], 1e-4) is None
    assert differs([1.0, 2.0], [1.0, 2.1], 1e-4) == 1
    assert differs(["a"], ["b"], 1e-4) == 0


DTYPES = {
    "Int8": -1, "UInt64": 2**64 - 1, "Float32": 0.5, "Boolean": True, "String": "a",
    "Categorical": "c", "Enum(categories=['a', 'b'])": "b", "Float64[2]": [1.0, 2.0],
    "Float32[?]": [1.0],
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_frames_have_the_types_of_the_signature_with_missing_values(dtype: str) -> None:
    *_, b = parse_fields("inputs", {"b": "Int64"})
    a = Field(name="a", dtype=dtype)
    if dtype.endswith("]"):
        (a,) = parse_fields("inputs", {"a": dtype})
    signature = Signature(inputs=(a, b))
    frame: Any = Framer(signature, "polars").frame(("b", "a"), [(1, DTYPES[dtype]), (None, None)])
    assert frame.columns == ["a", "b"]
    assert frame["b"].to_list() == [1, None]
    assert frame["a"].to_list() == [DTYPES[dtype], None]
    wanted = {"Float64[2]": "Array(Float64, shape=(2,))", "Float32[?]": "List(Float32)"}
    assert str(frame["a"].dtype) == wanted.get(dtype, dtype)


def test_a_value_that_an_enum_does_not_have_is_a_bad_request() -> None:
    signature = Signature(inputs=(Field(name="a", dtype="Enum(categories=['a', 'b'])"),))
    with pytest.raises(BadPayload, match="do not make a frame"):
        Framer(signature, "polars").frame(("a",), [("c",)])


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_an_array_of_floats_has_the_numbers_of_the_frame_that_was_not_made(
    names: tuple[str, str],
) -> None:
    inputs = tuple(Field(name=name, dtype="Float64") for name in ("a", "b"))
    rows = [(1.5, None), (-0.0, 2.0**60), (None, 1e308)]
    found = Framer(Signature(inputs=inputs), "numpy").frame(names, rows)
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, frame.select("a", "b").to_numpy())
    assert found.dtype == np.float64
    assert found.flags.writeable
