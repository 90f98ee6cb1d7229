"""What two versions of a step made of one batch is told apart by rows, else by distributions."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from firedoor.compose.stage import encode_numbers
from firedoor.compute import ipc
from firedoor.compute.comparing import compare, distance
from firedoor.flow.code import Compared
from firedoor.ports.stage import DeadRows, Handled, Parcel
from firedoor.wire.records import DeadGroup

ROWS = 1_000
FRAME = pl.DataFrame(
    {
        "id": range(ROWS),
        "price": [row * 0.1 for row in range(ROWS)],
        "tail": [f"N{row % 7}" for row in range(ROWS)],
        "legs": [[row, row + 1] for row in range(ROWS)],
    }
)


def made(frame: pl.DataFrame, *, numbers: list[int] | None = None, **fields: Any) -> Handled:
    """Return what a step made."""
    data = b"".join(ipc.encode(frame, compress=True))
    section = b"" if numbers is None else encode_numbers(pl.Series("row", numbers, pl.UInt32))
    return Handled(Parcel(data + section, len(data), frame.height), **fields)


def found(old: Handled, new: Handled, **fields: Any) -> Compared:
    return compare("orders-000001", ROWS, old, new, **fields)


def changed(row: int, column: str, value: Any) -> pl.DataFrame:
    """Return the rows with one value overwritten."""
    here = pl.int_range(pl.len()) == row
    return FRAME.with_columns(pl.when(here).then(pl.lit(value)).otherwise(column).alias(column))


def test_the_same_differs_in_nothing() -> None:
    same = found(made(FRAME), made(FRAME.clone()))
    assert (same.columns, same.shapes, same.lost, same.gained) == ({}, {}, 0, 0)
    assert (same.matched, same.rows_new) == (ROWS, ROWS)


def test_rounding_and_the_order_of_columns_are_no_difference() -> None:
    other = FRAME.with_columns(price=pl.col("price") * 3 / 3).select("tail", "legs", "price", "id")
    told = found(made(FRAME), made(other))
    assert (told.columns, told.shapes, told.matched) == ({}, {}, ROWS)


@pytest.mark.parametrize(
    ("column", "value", "old", "new"),
    [
        ("price", 7.5, "61.2", "7.5"),
        ("tail", "?", "'N3'", "'?'"),
        ("price", float("nan"), "61.2", "nan"),
        ("price", None, "61.2", "None"),
    ],
)
def test_one_row_that_differs_is_named(column: str, value: object, old: str, new: str) -> None:
    told = found(made(FRAME), made(changed(612, column, value)))
    assert told.columns == {column: 1}
    example = told.examples[column]
    assert (example.batch, example.row) == ("orders-000001", 612)
    assert example.old.startswith(old)
    assert example.new == new


def test_lists_are_compared_item_by_item() -> None:
    other = FRAME.with_columns(
        legs=pl.when(pl.col("id") == 4).then(pl.lit([4, 9])).otherwise("legs")
    )
    assert found(made(FRAME), made(other)).columns == {"legs": 1}


def test_rows_keep_their_numbers_when_others_before_them_are_dropped() -> None:
    kept = [row for row in range(ROWS) if row != 3]
    old = made(FRAME.filter(pl.col("id") != 3), numbers=kept)
    new = made(changed(612, "tail", "?").filter(pl.col("id") != 5), numbers=[
        row for row in range(ROWS) if row != 5
    ])  # fmt: skip
    told = found(old, new)
    assert (told.matched, told.lost, told.gained) == (ROWS - 2, 1, 1)
    assert told.columns == {"tail": 1}
    assert told.examples["tail"].row == 612
    assert told.examples["rows"].row == 5


def test_columns_that_come_go_and_change_their_type_are_told_once() -> None:
    other = FRAME.drop("tail").with_columns(pl.col("id").cast(pl.String), tax=pl.lit(7))
    told = found(made(FRAME), made(other))
    assert told.shapes == {
        "id": "is String, and was Int64",
        "tail": "is missing (String before)",
        "tax": "is new (Int32)",
    }
    assert told.columns == dict.fromkeys(told.shapes, ROWS)


def test_values_of_sensitive_columns_are_not_told() -> None:
    told = found(made(FRAME), made(changed(612, "tail", "SECRET")), sensitive=["tail"])
    assert told.columns == {"tail": 1}
    assert "SECRET" not in str(told)
    assert "N3" not in str(told.examples)


def test_rows_without_numbers_are_the_same_in_any_order() -> None:
    old, new = made(FRAME, numbered=False), made(FRAME.reverse(), numbered=False)
    told = found(old, new)
    assert (told.columns, told.drift, told.lost) == ({}, {}, 0)


def test_rows_without_numbers_that_differ_are_told_by_their_distributions() -> None:
    other = FRAME.with_columns(
        price=pl.col("price") + 10, tail=pl.lit("N1"), id=pl.col("id").reverse()
    )
    told = found(made(FRAME, numbered=False), made(other[:-100], numbered=False))
    assert (told.columns, told.lost, told.gained) == ({}, 100, 0)
    assert told.drift["price"] == pytest.approx(0.1, abs=0.02)
    assert told.drift["tail"] == pytest.approx(6 / 7, abs=0.01)


def test_dead_rows_are_told_by_how_they_died_and_not_by_the_line() -> None:
    def dead(line: int, rows: int) -> DeadRows:
        signature = f"ValueError at shop.py:{line}"
        group = DeadGroup(
            code="exception", signature=signature, rows=rows, first_row=1, message="no"
        )
        return DeadRows(b"", 0, rows, (group,))

    told = found(made(FRAME, dead=dead(7, 2)), made(FRAME, dead=dead(9, 3)))
    assert (told.dead_old, told.dead_new) == ({"ValueError": 2}, {"ValueError": 3})


@pytest.mark.parametrize(
    ("old", "new", "far"),
    [
        ([1, 2, 3, 4], [4, 3, 2, 1], 0.0),
        ([0.0, 0.0], [1.0, 1.0], 1.0),
        ([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 40.0], 0.25),
        ([1.0, None], [1.0, 1.0], 0.5),
        (["a", "b"], ["a", "a"], 0.5),
        (["a"], [None], 1.0),
        ([], [1], 1.0),
        ([], [], 0.0),
    ],
)
def test_the_distance_of_two_distributions(old: list[Any], new: list[Any], far: float) -> None:
    assert distance(pl.Series(old), pl.Series(new)) == pytest.approx(far)
