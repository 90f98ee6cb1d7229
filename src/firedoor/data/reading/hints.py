"""What a declared schema says about reading: which types to expect, and which shapes fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import dataframely as dy

Types = Mapping[str, pl.DataType]


def declared_types(schema: type[dy.Schema] | None) -> dict[str, pl.DataType]:
    """Return the declared type of each column; empty without a schema."""
    if schema is None:
        return {}
    return {name: column.dtype for name, column in schema.columns().items()}


def expected(declared: Types) -> dict[str, pl.DataType]:
    """Return the types that JSON values of declared columns can be read as without losing any.

    polars reads strictly what it is told to: 3.7 or "x" where an integer is expected is an error,
    never a null. Types that it does not read from JSON are left to be inferred.
    """
    told: dict[str, pl.DataType] = {}
    for name, dtype in declared.items():
        if dtype.is_float():
            told[name] = pl.Float64()
        elif dtype.is_integer() and dtype not in {pl.UInt64, pl.Int128, pl.UInt128}:
            told[name] = pl.Int64()
        elif dtype == pl.Boolean:
            told[name] = pl.Boolean()
        elif isinstance(dtype, pl.String | pl.Enum | pl.Categorical | pl.Datetime | pl.Date):
            told[name] = pl.String()
    return told


def alike(read: pl.DataType, declared: pl.DataType) -> bool:
    """Return whether values that were read may be cast one by one to the declared type.

    Lists fit lists and objects fit objects; anything fits that is null throughout.
    """
    if read == pl.Null:
        return True
    if isinstance(declared, pl.Struct):
        if not isinstance(read, pl.Struct):
            return False
        fields = {field.name: field.dtype for field in read.fields}
        return all(
            field.name in fields and alike(_type(fields[field.name]), _type(field.dtype))
            for field in declared.fields
        )
    if isinstance(declared, pl.List | pl.Array):
        if not isinstance(read, pl.List | pl.Array):
            return False
        return alike(_type(read.inner), _type(declared.inner))
    return not read.is_nested()


def fits(value: object, declared: pl.DataType) -> bool:
    """Return whether a value of JSON has the shape of the declared type, at every depth."""
    if value is None:
        return True
    if isinstance(declared, pl.Struct):
        return isinstance(value, dict) and all(
            fits(value.get(field.name), _type(field.dtype)) for field in declared.fields
        )
    if isinstance(declared, pl.List | pl.Array):
        inner = _type(declared.inner)
        return isinstance(value, list) and all(fits(item, inner) for item in value)
    return not isinstance(value, dict | list)


def _type(dtype: object) -> pl.DataType:
    """Return a data type as an instance: polars gives classes now and then."""
    if isinstance(dtype, pl.DataType):
        return dtype
    assert isinstance(dtype, type)
    made = dtype()
    assert isinstance(made, pl.DataType)
    return made
