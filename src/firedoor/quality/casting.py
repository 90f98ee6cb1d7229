"""Cast columns at the door: a value that cannot be cast costs its row, never the batch.

polars and dataframely lose values in two places without a word: inside lists and structs, where
a failed cast leaves a null, and from float to integer, where 3.7 becomes 3. Both count here as
values that cannot be cast. Times without a zone are UTC where the schema declares UTC, as text is;
for another zone polars would shift them without a word, so that they are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import polars as pl

from firedoor.quality.schema_fault import SchemaBroken
from firedoor.quality.text import UTC, read_text

if TYPE_CHECKING:
    from dataframely import Column


def cast_column(series: pl.Series, column: Column) -> tuple[pl.Series, pl.Series | None]:
    """Return the column as declared, null where that failed, and a mask of the failures or None.

    Raises:
        SchemaBroken: if no value of this dtype can become what is declared. polars casts nulls to
            anything, so this shows with the first value that is not null.
    """
    source, target = series.dtype, column.dtype
    _check_zone(series.name, source, target)
    read = read_text(series, target) if source == pl.String else None
    if read is not None:
        failed = read.is_null() & series.is_not_null()
        return read, failed if failed.any() else None
    if not _may_lose(source, target):
        try:
            return series.cast(target), None
        except pl.exceptions.PolarsError:
            pass  # some value cannot be cast, or none can: told apart below
    mask = _faults(series, target, series.name)
    if not mask.any():
        return series.cast(target, strict=False), None
    emptied = pl.select(pl.when(~mask).then(series).alias(series.name)).to_series()
    return emptied.cast(target, strict=False), mask


def _check_zone(name: str, source: pl.DataType, target: pl.DataType) -> None:
    """Refuse times without a zone where one is declared in which they may mean two instants."""
    if not (isinstance(source, pl.Datetime) and isinstance(target, pl.Datetime)):
        return
    if source.time_zone is None and target.time_zone not in {None, *UTC}:
        why = (
            "a time without a zone may mean two instants or none; say which zone it is in, by "
            f'dt.replace_time_zone("{target.time_zone}")'
        )
        raise _uncastable(name, source, target, why)


def _may_lose(source: pl.DataType, target: pl.DataType) -> bool:
    """Return whether a strict cast between two dtypes may succeed and yet lose a value."""
    return source.is_nested() or (_has_fractions(source) and target.is_integer())


def _has_fractions(dtype: pl.DataType) -> bool:
    """Return whether values of this dtype need not be whole."""
    return dtype.is_float() or dtype.is_decimal()


def _uncastable(name: str, source: pl.DataType, target: pl.DataType, why: str) -> SchemaBroken:
    """Return the error for a column no value of which can be cast."""
    column = name.partition(".")[0]
    message = (
        f"column {name!r} is {source} and the schema declares {target}: {why.strip()}. "
        "Convert it before the wall, or declare the dtype that it has."
    )
    return SchemaBroken(message, code="wrong_schema", rule=f"{column}|dtype", columns=(column,))


def _faults(series: pl.Series, target: pl.DataType, path: str) -> pl.Series:
    """Return a mask of the rows holding, at any depth, a value that cannot be cast."""
    source = series.dtype
    _check_zone(path, source, target)
    if isinstance(source, pl.Struct) and isinstance(target, pl.Struct):
        return _faults_in_struct(series, target, path)
    if isinstance(source, (pl.List, pl.Array)) and isinstance(target, (pl.List, pl.Array)):
        return _faults_in_list(series, target, path)
    try:
        done = series.cast(target, strict=False)
    except pl.exceptions.PolarsError as error:
        raise _uncastable(path, source, target, str(error).split("\n\n")[0]) from error
    mask = done.is_null() & series.is_not_null()
    if _has_fractions(source) and target.is_integer():
        mask |= (done.cast(source) != series).fill_null(value=False)
    return mask


def _faults_in_struct(series: pl.Series, target: pl.Struct, path: str) -> pl.Series:
    """Return a mask of the rows of which any declared field cannot be cast."""
    source = cast("pl.Struct", series.dtype)
    names = {field.name for field in source.fields}
    mask = pl.repeat(value=False, n=len(series), eager=True)
    for field in target.fields:
        if field.name not in names:
            raise _uncastable(path, source, target, f"it has no field {field.name!r}")
        inner = cast("pl.DataType", field.dtype)
        mask |= _faults(series.struct.field(field.name), inner, f"{path}.{field.name}")
    return mask


def _faults_in_list(series: pl.Series, target: pl.List | pl.Array, path: str) -> pl.Series:
    """Return a mask of the rows of which any item cannot be cast, or whose width is wrong."""
    if isinstance(series.dtype, pl.Array):
        series = series.arr.to_list()
    items = pl.DataFrame({"row": pl.int_range(len(series), eager=True), "item": series})
    items = items.filter(pl.col("item").list.len() > 0).explode("item")
    inner = _faults(items.get_column("item"), cast("pl.DataType", target.inner), f"{path}[]")
    guilty = items.get_column("row").filter(inner).unique()
    mask = pl.int_range(len(series), eager=True).is_in(guilty.implode())
    if isinstance(target, pl.Array):
        mask |= (series.list.len() != target.size).fill_null(value=False)
    return mask
