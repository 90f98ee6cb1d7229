"""Rows are held against what a model's bundle says that it takes."""

from __future__ import annotations

import polars as pl
import pytest

from firedoor.compute.signature import misfits, told
from firedoor.wire.bundle import parse_fields


def wrong(inputs: dict[str, str], columns: dict[str, pl.DataType]) -> str:
    return told(misfits(parse_fields("inputs", inputs), columns))


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
        ("Float32[?, 3]", pl.List(pl.Array(pl.Float32, 3))),
    ],
)
def test_a_column_fits_as_polars_writes_its_type(dtype: str, column: pl.DataType) -> None:
    assert wrong({"a": dtype}, {"a": column, "b": pl.String()}) == ""


@pytest.mark.parametrize(
    ("dtype", "column", "says"),
    [
        ("Int64", pl.Int32(), "column 'a' is wanted as Int64 and is Int32"),
        ("Float32[3]", pl.Array(pl.Float32, 2), "is wanted as Float32[3] and is "),
        ("Float32[3]", pl.Array(pl.Float64, 3), "is wanted as Float32[3] and is "),
        ("Float32[3]", pl.Float32(), "column 'a' is wanted as Float32[3] and is Float32"),
        ("Float32", pl.Array(pl.Float32, 2), "is wanted as Float32 and is Array"),
        ("Datetime(time_unit='ms')", pl.Datetime("us"), "is wanted as Datetime("),
    ],
)
def test_a_column_of_another_type_or_shape_is_named(
    dtype: str, column: pl.DataType, says: str
) -> None:
    assert says in wrong({"a": dtype}, {"a": column})


def test_columns_that_are_missing_are_named_and_many_are_counted() -> None:
    one = wrong({"a": "Int64", "b": "Int64"}, {"a": pl.Int64()})
    assert one == "column 'b' (Int64) is not there"
    many = wrong({f"c{n}": "Int64" for n in range(8)}, {})
    assert many.endswith("column 'c4' (Int64) is not there; and 3 more")


def test_a_bundle_that_names_no_inputs_takes_whatever_there_is() -> None:
    assert wrong({}, {"a": pl.Int64()}) == ""
