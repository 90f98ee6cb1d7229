"""Whether rows are what a model's bundle says that it takes: columns, types and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from firedoor.wire.bundle import Field, Signature

if TYPE_CHECKING:
    from collections.abc import Mapping

SHOWN_MAX = 5


def mismatch(signature: Signature, columns: Mapping[str, pl.DataType]) -> str:
    """Return how columns differ from what a model takes; empty: they do not.

    Types are written as polars writes them, in any case; one without details, as ``Datetime``,
    stands for all of its kind. Columns that the model does not name are none of its business.

    >>> wanted = Signature(inputs=(Field(name="distance", dtype="int64"),))
    >>> mismatch(wanted, {"distance": pl.Float64()})
    'column distance is Float64, and the model takes int64'
    >>> mismatch(wanted, {"distance": pl.Int64(), "origin": pl.String()})
    ''
    """
    found = []
    for field in signature.inputs:
        if field.name not in columns:
            found.append(f"column {field.name} is missing")
        elif not _fits(field, columns[field.name]):
            wanted = field.dtype + _shape(field)
            is_ = columns[field.name]
            found.append(f"column {field.name} is {is_}, and the model takes {wanted}")
    more = [f"and {len(found) - SHOWN_MAX} more"] if len(found) > SHOWN_MAX else []
    return "; ".join([*found[:SHOWN_MAX], *more])


def _fits(field: Field, dtype: pl.DataType) -> bool:
    """Return whether a column is what a field says."""
    if field.shape and isinstance(dtype, pl.Array):
        inner: object = dtype.inner
        while isinstance(inner, pl.Array):
            inner = inner.inner
        same = len(dtype.shape) == len(field.shape) and all(
            wanted in {None, is_} for wanted, is_ in zip(field.shape, dtype.shape, strict=True)
        )
        return same and _alike(field.dtype, str(inner))
    if field.shape and isinstance(dtype, pl.List):
        return len(field.shape) == 1 and _alike(field.dtype, str(dtype.inner))
    return not field.shape and _alike(field.dtype, str(dtype))


def _alike(wanted: str, is_: str) -> bool:
    """Return whether two types are written alike."""
    plain, given = wanted.replace(" ", "").lower(), is_.replace(" ", "").lower()
    return plain in {given, given.partition("(")[0]}


def _shape(field: Field) -> str:
    """Return the shape of a field as it is declared."""
    inner = ", ".join("?" if size is None else str(size) for size in field.shape)
    return f"[{inner}]" if field.shape else ""
