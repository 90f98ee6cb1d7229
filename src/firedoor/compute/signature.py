"""Whether rows are what a model's bundle says that it takes: columns, types and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from firedoor.wire.bundle import Field

TOLD_MAX = 5


def misfits(inputs: Iterable[Field], columns: Mapping[str, pl.DataType]) -> dict[str, str]:
    """Return by column what is not as a model takes it.

    Types are written as polars writes them, in any case; one without details, as ``Datetime``,
    stands for all of its kind. Columns that the model does not name are none of its business.

    >>> wanted = [Field(name="distance", dtype="int64")]
    >>> misfits(wanted, {"distance": pl.Float64()})
    {'distance': "column 'distance' is wanted as int64 and is Float64"}
    >>> misfits(wanted, {"distance": pl.Int64(), "origin": pl.String()})
    {}
    """
    found = {field.name: _misfit(field, columns) for field in inputs}
    return {name: why for name, why in found.items() if why}


def told(found: Mapping[str, str]) -> str:
    """Return misfits in a line; the rest of many is counted."""
    more = f"; and {len(found) - TOLD_MAX} more" if len(found) > TOLD_MAX else ""
    return "; ".join(list(found.values())[:TOLD_MAX]) + more


def _misfit(field: Field, columns: Mapping[str, pl.DataType]) -> str:
    """Return what is wrong with a column, or an empty string."""
    wanted = field.dtype
    if field.shape:
        wanted += str([("?" if size is None else size) for size in field.shape]).replace("'", "")
    if field.name not in columns:
        return f"column {field.name!r} ({wanted}) is not there"
    if _is_same(field, columns[field.name]):
        return ""
    return f"column {field.name!r} is wanted as {wanted} and is {columns[field.name]}"


def _is_same(field: Field, dtype: pl.DataType) -> bool:
    """Return whether a column's type is what a signature says; lists may be of any length."""
    found: pl.DataType | pl.datatypes.DataTypeClass = dtype
    for size in field.shape:
        if isinstance(found, pl.Array):
            if size is not None and found.size != size:
                return False
        elif not isinstance(found, pl.List):
            return False
        found = found.inner
    return _plain(field.dtype) in {_plain(str(found)), _plain(found.base_type().__name__)}


def _plain(dtype: str) -> str:
    """Return a type as it is compared."""
    return dtype.replace(" ", "").lower()
