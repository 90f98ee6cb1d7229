"""Tensors as the columns that a signature names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from firedoor.errors import shorten
from firedoor.wire.bundle import Field
from firedoor.wire.columns import BadPayload, Columns, Dtype, Values, dtype_of, typed, wanted
from firedoor.wire.tensors import Tensor


def column_of(tensor: Tensor, field: Field, *, nan_is_missing: bool) -> Values:
    """Return a tensor as the column of a field.

    Raises:
        BadPayload: if it does not fit.
    """
    dtype = dtype_of(field)
    values = _FITS[dtype.kind](tensor, field, dtype)
    if tensor.datatype.startswith("FP") and tensor.binary:
        values = finite(values, tensor.name, nan_is_missing=nan_is_missing)
    shape = tensor.shape
    if not field.shape:
        if len(shape) > 1 and shape[1:] != (1,):
            raise BadPayload(_misfit(tensor, field))
        return values
    fits = len(shape) == 1 + len(field.shape) and all(
        size in {None, found} for size, found in zip(field.shape, shape[1:], strict=True)
    )
    if not fits:
        raise BadPayload(_misfit(tensor, field))
    return nest(values, shape)


def nest(values: Values, shape: Sequence[int]) -> Values:
    """Return elements one after the other as nested lists."""
    for size in reversed(shape[1:]):
        count = len(values) // size if size else math.prod(shape[:-1])
        values = [values[size * at : size * (at + 1)] for at in range(count)]
        shape = shape[:-1]
    return values


def finite(values: Values, name: str, *, nan_is_missing: bool) -> Values:
    """Return floats without NaN, or as missing values where that is what they stand for.

    Raises:
        BadPayload: naming the first that is not finite.
    """
    numbers = cast("list[float]", values)
    if math.isfinite(sum(numbers)):
        return values
    for row, value in enumerate(numbers):
        if math.isinf(value) or (not nan_is_missing and math.isnan(value)):
            raise BadPayload(
                f"input {shorten(name, 100)!r}: element {row} is {value}; send finite numbers, "
                "and null in JSON where a value is missing"
            )
    return [None if math.isnan(value) else value for value in numbers]


def _numbers(tensor: Tensor, field: Field, dtype: Dtype) -> Values:
    """Return a tensor's elements as floats."""
    if tensor.datatype in {"BOOL", "BYTES"}:
        raise BadPayload(_misfit(tensor, field))
    values = cast("list[float | None]", tensor.values)
    if not tensor.datatype.startswith("FP"):
        values = [None if value is None else float(value) for value in values]
    if dtype.most is not None:
        _bound(tensor, field, dtype)
    return cast("Values", values)


def _integers(tensor: Tensor, field: Field, dtype: Dtype) -> Values:
    """Return a tensor's elements as integers."""
    if "INT" not in tensor.datatype:
        raise BadPayload(_misfit(tensor, field))
    if tensor.datatype != dtype.datatype or not tensor.binary:
        _bound(tensor, field, dtype)
    return tensor.values


def _booleans(tensor: Tensor, field: Field, _: Dtype) -> Values:
    """Return a tensor's elements as booleans."""
    if tensor.datatype != "BOOL":
        raise BadPayload(_misfit(tensor, field))
    return tensor.values


def _texts(tensor: Tensor, field: Field, _: Dtype) -> Values:
    """Return a tensor's elements as text."""
    if tensor.datatype != "BYTES":
        raise BadPayload(_misfit(tensor, field))
    return tensor.values


def _times(tensor: Tensor, field: Field, dtype: Dtype) -> Values:
    """Return a tensor's elements as dates or times."""
    _texts(tensor, field, dtype)
    one = typed(msgspec.structs.replace(field, shape=()))
    try:
        return cast("Values", msgspec.convert(tensor.values, list[one]))  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise BadPayload(f"{wanted(field)}: {shorten(str(error), 160)}") from error


_FITS: dict[str, Callable[[Tensor, Field, Dtype], Values]] = {
    "int": _integers,
    "float": _numbers,
    "bool": _booleans,
    "text": _texts,
    "time": _times,
}


def _bound(tensor: Tensor, field: Field, dtype: Dtype) -> None:
    """Refuse numbers that a field's type cannot hold; infinite ones are looked for elsewhere."""
    assert dtype.least is not None
    assert dtype.most is not None
    for at, value in enumerate(cast("list[float | None]", tensor.values)):
        outside = value is not None and not dtype.least <= value <= dtype.most
        if outside and math.isfinite(value or 0):
            raise BadPayload(f"element {at}: {wanted(field)}, found {value}")


def _misfit(tensor: Tensor, field: Field) -> str:
    """Say that a tensor is not what a field wants."""
    shape = shorten(str(list(tensor.shape)), 60)
    rows = "[rows]" if not field.shape else "[rows, ...] and its shape"
    return f"{wanted(field)}, as {rows}; found {tensor.datatype} of shape {shape}"


def by_name(tensors: dict[str, Tensor], *, nan_is_missing: bool) -> Columns:
    """Return tensors as columns by what they say of themselves, where no signature does.

    Raises:
        BadPayload: if a number is not finite.
    """
    columns: Columns = {}
    for name, tensor in tensors.items():
        values = tensor.values
        if tensor.datatype.startswith("FP") and tensor.binary:
            values = finite(values, name, nan_is_missing=nan_is_missing)
        columns[name] = values if tensor.shape[1:] == (1,) else nest(values, tensor.shape)
    return columns
