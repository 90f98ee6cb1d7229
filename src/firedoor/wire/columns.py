"""Columns of a model's signature as values that requests carry: what is taken, and how it is told.

Types are spelled as polars spells them, in any case: ``Int64``, ``Float32``, ``Datetime(...)``.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import msgspec

from firedoor.errors import shorten
from firedoor.wire.bundle import Field

Kind = Literal["int", "float", "bool", "text", "time"]
Values: TypeAlias = list[object]
"""One a row; of a field with a shape, each is a list."""
Columns: TypeAlias = dict[str, Values]

NAME_CHARACTERS_MAX = 100
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises of what is not as it should be, or nested without end."""
_FLOAT32_MAX = 3.4028234663852886e38
_FLOAT16_MAX = 65_504.0


class BadPayload(ValueError):
    """A request is not what the model takes. The message says where, what is wanted, what to do."""


class UnknownType(ValueError):
    """A signature names a type whose values cannot come in a request."""


@dataclass(frozen=True, slots=True)
class Dtype:
    """What a column's values may be."""

    kind: Kind
    python: object
    """The type that msgspec decodes."""
    datatype: str
    """Of the Open Inference Protocol."""
    least: float | None = None
    most: float | None = None


def _ints() -> dict[str, Dtype]:
    """Return the integers by name."""
    found = {}
    for bits in (8, 16, 32, 64):
        half = 2 ** (bits - 1)
        for name, least, most in (("int", -half, half - 1), ("uint", 0, 2 * half - 1)):
            # msgspec compares with numbers of 64 bits; above them `within` looks.
            bound = msgspec.Meta(ge=least, le=most if most < 2**63 else None)
            kind = Annotated[int, bound]
            found[f"{name}{bits}"] = Dtype("int", kind, f"{name.upper()}{bits}", least, most)
    return found


def _floats() -> dict[str, Dtype]:
    """Return the floats by name: a value that its type would make infinite is refused."""
    found = {"float64": Dtype("float", float, "FP64")}
    for name, datatype, most in (
        ("float32", "FP32", _FLOAT32_MAX),
        ("float16", "FP16", _FLOAT16_MAX),
    ):
        kind = Annotated[float, msgspec.Meta(ge=-most, le=most)]
        found[name] = Dtype("float", kind, datatype, -most, most)
    return found


_DTYPES: dict[str, Dtype] = {
    **_ints(),
    **_floats(),
    "boolean": Dtype("bool", bool, "BOOL"),
    **{name: Dtype("text", str, "BYTES") for name in ("string", "utf8", "categorical", "enum")},
    "date": Dtype("time", dt.date, "BYTES"),
    "datetime": Dtype("time", dt.datetime, "BYTES"),
    "time": Dtype("time", dt.time, "BYTES"),
}
_SHORT = {"bool": "boolean", "str": "string", "int": "int64", "float": "float64"}


def dtype_of(field: Field) -> Dtype:
    """Return what the values of a field may be.

    Raises:
        UnknownType: if such values cannot come in a request.
    """
    name = field.dtype.partition("(")[0].strip().lower()
    if not is_plain(field.name):
        message = f"{field.name!r} has quotes, backslashes or control characters in its name"
        raise UnknownType(message)
    found = _DTYPES.get(_SHORT.get(name, name))
    if found is None:
        message = (
            f"{field.name!r} is declared as {field.dtype}, and requests carry numbers, booleans, "
            "text, dates and times: declare one of them, with a shape for a list"
        )
        raise UnknownType(message)
    return found


def is_plain(name: str) -> bool:
    """Return whether a column's name can be looked for in JSON: none of it is written escaped."""
    return _ESCAPED.search(name) is None


def typed(field: Field) -> object:
    """Return the type that msgspec decodes for a field: null is a missing value."""
    found = _or_null(dtype_of(field).python)
    for size in reversed(field.shape):
        length = msgspec.Meta(min_length=size, max_length=size)
        found = list[found]  # type: ignore[valid-type] # made at run time, for msgspec
        found = found if size is None else Annotated[found, length]
    return _or_null(found) if field.shape else found


def within(field: Field, values: Values) -> None:
    """Refuse what msgspec lets pass: integers beyond 64 bits.

    Raises:
        BadPayload: naming row and field.
    """
    dtype = dtype_of(field)
    if dtype.most is None or dtype.most < 2**63 or dtype.kind != "int" or field.shape:
        return
    for row, value in enumerate(values):
        if isinstance(value, int) and value > dtype.most:
            raise BadPayload(f"row {row}: {wanted(field)}, found {value}")


def wanted(field: Field) -> str:
    """Return what a field wants, for a message."""
    shape = str([("?" if size is None else size) for size in field.shape]).replace("'", "")
    name = shorten(field.name, NAME_CHARACTERS_MAX)
    return f"field {name!r} is wanted as {field.dtype}{shape if field.shape else ''}"


def _or_null(kind: object) -> object:
    """Return a type with null."""
    return kind | None  # type: ignore[operator] # made at run time, for msgspec


_ESCAPED = re.compile(r"[\x00-\x1f\\\"\ud800-\udfff]")
_PLACE = re.compile(r"^(?P<what>.*) - at `\$(?:\[(?P<row>\d+|\.\.\.)\])?(?P<rest>.*)`$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(.*)`$", re.DOTALL)
_GOT = re.compile(r", got `(.*)`$")
_SPOKEN = {
    "str": "text",
    "int": "an integer",
    "float": "a number with decimals",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def told(error: Exception, fields: Sequence[Field], *, first: int = 0) -> str:
    """Return what a client is told of JSON that does not fit: row, field, wanted and found."""
    text = str(error)
    place = _PLACE.match(text)
    if place is None and _MISSING.match(text):  # of a row that is in no list
        place = _PLACE.match(f"{text} - at `$`")
    if place is None:
        if (
            isinstance(error, msgspec.DecodeError)
            and not isinstance(error, msgspec.ValidationError)
        ) or isinstance(error, UnicodeDecodeError | RecursionError):
            return f"the body is no JSON: {shorten(text, 120)}; NaN and Infinity are not JSON"
        return f"the body is not what is wanted: {shorten(text, 200)}"
    row = first + int(place["row"] or 0) if (place["row"] or "0").isdigit() else first
    missing = _MISSING.match(place["what"])
    named = {field.name: field for field in fields}
    if missing is not None:
        field = named.get(missing[1])
        what = wanted(field) if field else f"field {shorten(missing[1], NAME_CHARACTERS_MAX)!r}"
        return f"row {row}: {what} and is not there; send null where its value is missing"
    name = place["rest"].removeprefix(".")
    field = named.get(name) or named.get(name.partition("[")[0])
    got = _GOT.search(place["what"])
    found = f"found {_SPOKEN.get(got[1], got[1])}" if got else shorten(place["what"], 120)
    if field is None:
        return f"row {row}: an object with a field a column is wanted, {found}"
    return f"row {row}: {wanted(field)}, {found}"
