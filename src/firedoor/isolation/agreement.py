"""Is a step row-wise? Run it on parts of a frame and compare with what it made of the whole.

Bisection is right only for a step whose rows do not depend on each other. A z-score, ``.over()``,
``shift`` or ``unique`` gives another answer on half the rows: splitting its batch would change
every other row of its output. So it is proven, not believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import polars as pl

from firedoor.errors import shorten

Step = Callable[[pl.DataFrame], pl.DataFrame]

RELATIVE: dict[type[pl.DataType], float] = {pl.Float64: 1e-7, pl.Float32: 1e-4}
"""Two floats agree if they differ by at most this share of the larger one. A matrix product sums
in another order for another number of rows; a dependence on other rows is far larger than this."""

ABSOLUTE: dict[type[pl.DataType], float] = {pl.Float64: 1e-12, pl.Float32: 1e-6}
"""The same, as a share of the column's median size: what cancellation leaves is near zero."""

_HALF_PRECISION = 1e-2
_LABELS = (pl.Categorical, pl.Enum)
_LISTS = (pl.List, pl.Array)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Whether two frames are the same; if not, the first difference. True in a condition if so."""

    agrees: bool
    why: str = ""
    row: int | None = None
    column: str | None = None

    def __bool__(self) -> bool:
        """Return whether the frames agree."""
        return self.agrees


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether a step is row-wise on the rows that it was tried on."""

    rowwise: bool
    why: str
    rows: int
    """Rows it was tried on: a proof with few rows proves little."""
    unsteady: tuple[str, ...] = ()
    """Columns that differ between two runs on the same rows: the step is not repeatable."""


class DtypesDiffer(Exception):
    """Two columns cannot be compared."""


def agree(whole: pl.DataFrame, pieces: pl.DataFrame) -> Agreement:
    """Compare two frames value by value.

    Exact, but for floats (``RELATIVE``, ``ABSOLUTE``; NaN equals NaN), also inside lists and
    structs. Categoricals and enums are compared by their labels, a column of dtype Null with any
    column that is all null.
    """
    if whole.columns != pieces.columns:
        return Agreement(agrees=False, why=_columns_differ(whole.columns, pieces.columns))
    if whole.height != pieces.height:
        why = f"{whole.height:,} rows as a whole, {pieces.height:,} in parts"
        return Agreement(agrees=False, why=why)
    first: tuple[int, str] | None = None
    for left, right in zip(whole.get_columns(), pieces.get_columns(), strict=True):
        try:
            found = differing(left, right)
        except DtypesDiffer:
            why = f"column {left.name!r} is {left.dtype} as a whole, {right.dtype} in parts"
            return Agreement(agrees=False, why=why, column=left.name)
        row = None if found is None else found.arg_max()
        if found is not None and row is not None and found[row]:
            first = min(first or (row, left.name), (row, left.name), key=lambda first: first[0])
    if first is None:
        return Agreement(agrees=True)
    row, name = first
    values = [shorten(repr(frame.get_column(name)[row]), 60) for frame in (whole, pieces)]
    why = f"column {name!r} of row {row:,} is {values[0]} as a whole, {values[1]} in parts"
    return Agreement(agrees=False, why=why, row=row, column=name)


def prove(
    step: Step, frame: pl.DataFrame, whole: pl.DataFrame, *, rows: pl.Series | None = None
) -> Proof:
    """Find out whether ``step`` is row-wise on ``frame``, by halves and by every other row.

    Costs two further runs over the frame, in four parts; a third one if they disagree. What the
    step raises on a part is passed on.

    Args:
        step: takes and returns a frame; it must leave the one it is given as it is.
        frame: what it ran on.
        whole: what it returned.
        rows: the row of ``frame`` that each row of ``whole`` came from, if it is known. Without
            it, and if rows were dropped, every other row is compared by number only.
    """
    if frame.height <= 1:
        return Proof(rowwise=True, why="one row at most: nothing to compare", rows=frame.height)
    verdict = _compare_halves(step, frame, whole)
    if verdict:
        verdict = _compare_alternate(step, frame, whole, rows)
    if verdict:
        why = "halves and every other row give what the whole gives"
        return Proof(rowwise=True, why=why, rows=frame.height)
    again = step(frame.clone())
    repeated = agree(whole, again)
    if repeated:
        why = f"its rows depend on each other: {verdict.why}"
        return Proof(rowwise=False, why=why, rows=frame.height)
    why = f"not repeatable: run twice on the same rows, {repeated.why.replace('in parts', 'again')}"
    unsteady = _columns_differing(whole, again)
    return Proof(rowwise=False, why=why, rows=frame.height, unsteady=unsteady)


def _compare_halves(step: Step, frame: pl.DataFrame, whole: pl.DataFrame) -> Agreement:
    """Compare with the two contiguous halves: finds what depends on a total, or on neighbours."""
    middle = frame.height // 2
    return _agree_parts(whole, step(frame[:middle]), step(frame[middle:]))


def _compare_alternate(
    step: Step, frame: pl.DataFrame, whole: pl.DataFrame, rows: pl.Series | None
) -> Agreement:
    """Compare with the even and the odd rows: finds what halves on a border of groups do not."""
    evens, odds = step(frame.gather_every(2)), step(frame.gather_every(2, offset=1))
    if rows is None and whole.height == frame.height:
        rows = pl.int_range(frame.height, eager=True)
    if rows is not None:
        odd = rows % 2 == 1
        return _agree_parts(pl.concat([whole.filter(~odd), whole.filter(odd)]), evens, odds)
    if evens.height + odds.height == whole.height:
        return Agreement(agrees=True)
    why = f"{whole.height:,} rows as a whole, {evens.height + odds.height:,} as even and odd ones"
    return Agreement(agrees=False, why=why)


def _agree_parts(whole: pl.DataFrame, first: pl.DataFrame, second: pl.DataFrame) -> Agreement:
    """Compare a frame with two others, one below the other."""
    if first.columns != second.columns:
        return Agreement(agrees=False, why=_columns_differ(first.columns, second.columns))
    if first.schema != second.schema:
        # A column may be Int64 in one part and, because of nulls, Float64 or Null in the other.
        whole, first, second = _by_label(whole), _by_label(first), _by_label(second)
    try:
        parts = pl.concat([first, second], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        return Agreement(agrees=False, why=f"its parts do not fit together: {error}")
    return agree(whole, parts)


def _by_label(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with categoricals and enums as strings: categories may differ by part."""
    names = [name for name, dtype in frame.schema.items() if isinstance(dtype, _LABELS)]
    return frame.cast(dict.fromkeys(names, pl.String))


def _columns_differ(whole: list[str], pieces: list[str]) -> str:
    """Say in which columns two frames differ."""
    for names, others, where in ((whole, pieces, "a whole"), (pieces, whole, "parts")):
        alone = [name for name in names if name not in others]
        if alone:
            return f"column {alone[0]!r} is there only in {where}"
    return "the columns come in another order"


def _columns_differing(whole: pl.DataFrame, again: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns that differ; none if not even the rows are the same in number."""
    if whole.columns != again.columns or whole.height != again.height:
        return ()
    return tuple(
        name for name in whole.columns if not agree(whole.select(name), again.select(name))
    )


def differing(left: pl.Series, right: pl.Series) -> pl.Series | None:
    """Return a mask of the rows in which two columns differ, or None if there are none.

    Raises:
        DtypesDiffer: if values of one dtype are never values of the other.
    """
    if left.dtype == right.dtype and left.equals(right, null_equal=True):
        return None
    kinds = (left.dtype, right.dtype)
    if pl.Null in kinds:
        return left.is_not_null() | right.is_not_null()
    if all(isinstance(dtype, _LABELS) for dtype in kinds):
        return left.cast(pl.String).ne_missing(right.cast(pl.String))
    if all(isinstance(dtype, _LISTS) for dtype in kinds):
        return _differing_lists(_as_list(left), _as_list(right))
    if all(isinstance(dtype, pl.Struct) for dtype in kinds):
        return _differing_structs(left, right)
    if left.dtype != right.dtype:
        raise DtypesDiffer
    return _differing_floats(left, right) if left.dtype.is_float() else left.ne_missing(right)


def _differing_floats(left: pl.Series, right: pl.Series) -> pl.Series:
    """Return a mask of the rows in which two float columns differ by more than the tolerance."""
    kind = type(left.dtype)
    size = left.abs().filter(left.is_finite().fill_null(value=False)).median() or 0.0
    floor = ABSOLUTE.get(kind, _HALF_PRECISION) * cast("float", size)
    larger = pl.max_horizontal(left.abs(), right.abs())
    near = (left - right).abs() <= larger * RELATIVE.get(kind, _HALF_PRECISION) + floor
    near = near & left.is_finite() & right.is_finite()
    return pl.select(left.ne_missing(right) & ~near.fill_null(value=False)).to_series()


def _differing_structs(left: pl.Series, right: pl.Series) -> pl.Series:
    """Return a mask of the rows in which two struct columns differ in any field."""
    if left.struct.fields != right.struct.fields:
        raise DtypesDiffer
    mask = left.is_null() != right.is_null()
    for name in left.struct.fields:
        found = differing(left.struct.field(name), right.struct.field(name))
        mask = mask if found is None else mask | found
    return mask


def _differing_lists(left: pl.Series, right: pl.Series) -> pl.Series:
    """Return a mask of the rows in which two list columns differ in length or any item."""
    lengths = left.list.len()
    mask = lengths.ne_missing(right.list.len())
    same = (~mask & (lengths > 0).fill_null(value=False)).arg_true()
    if not len(same):
        return mask
    owner = pl.DataFrame({"row": same, "item": left.gather(same)}).explode("item").get_column("row")
    found = differing(left.gather(same).explode(), right.gather(same).explode())
    if found is None:
        return mask
    return mask.scatter(owner.filter(found).unique(), values=True)


def _as_list(series: pl.Series) -> pl.Series:
    """Return an array column as a list column."""
    return series.arr.to_list() if isinstance(series.dtype, pl.Array) else series
