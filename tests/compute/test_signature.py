"""Rows are held against what a model's bundle says that it takes."""

from __future__ import annotations

import polars as pl
import pytest

from firedoor.compute.signature import mismatch
from firedoor.wire.bundle import Signature, parse_fields


def wanted(**inputs: str) -> Signature:
    return Signature(inputs=parse_fields("inputs", inputs))


@pytest.mark.parametrize(
    ("dtype", "column"),
    [
        ("Int64", pl.Int64()),
        ("int64", pl.Int64()),
        ("Datetime", pl.Datetime("us", "UTC")),
        ("Datetime(time_unit='us', time_zone='UTC')", pl.Datetime("us", "UTC")),
        ("Enum", pl.Enum(["EWR", "JFK"])),
        ("Float32[2, 3]", pl.Array(pl.Float32, (2, 3))),
        ("Float32[?, 3]", pl.Array(pl.Float32, (2, 3))),
        ("Float32[?]", pl.List(pl.Float32)),
    ],
)
def test_a_column_fits_as_polars_writes_its_type(dtype: str, column: pl.DataType) -> None:
    assert mismatch(wanted(a=dtype), {"a": column, "b": pl.String()}) == ""


@pytest.mark.parametrize(
    ("dtype", "column", "says"),
    [
        ("Int64", pl.Int32(), "column a is Int32, and the model takes Int64"),
        ("Float32[3]", pl.Array(pl.Float32, 2), "and the model takes Float32[3]"),
        ("Float32[3]", pl.Array(pl.Float64, 3), "and the model takes Float32[3]"),
        ("Float32[3]", pl.Float32(), "column a is Float32, and the model takes Float32[3]"),
        ("Float32", pl.Array(pl.Float32, 2), "and the model takes Float32"),
        ("Datetime(time_unit='ms')", pl.Datetime("us"), "and the model takes Datetime("),
    ],
)
def test_a_column_of_another_type_or_shape_is_named(
    dtype: str, column: pl.DataType, says: str
) -> None:
    assert says in mismatch(wanted(a=dtype), {"a": column})


def test_columns_that_are_missing_are_named_and_many_are_counted() -> None:
    assert mismatch(wanted(a="Int64", b="Int64"), {"a": pl.Int64()}) == "column b is missing"
    many = mismatch(wanted(**{f"c{n}": "Int64" for n in range(8)}), {})
    assert many.endswith("column c4 is missing; and 3 more")


def test_a_bundle_that_names_no_inputs_takes_whatever_there_is() -> None:
    assert mismatch(Signature(), {"a": pl.Int64()}) == ""
