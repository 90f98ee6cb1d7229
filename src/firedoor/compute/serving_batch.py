"""Rows of requests as frames for a model, and what it returns as predictions."""

from __future__ import annotations

import ast
import itertools
import math
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from firedoor.compute.frames import from_polars
from firedoor.errors import shorten
from firedoor.spec.service_plan import Takes
from firedoor.wire.answers import PREDICTION
from firedoor.wire.bundle import Field, Signature
from firedoor.wire.columns import BadPayload, Columns, Dtype, Values, dtype_of
from firedoor.wire.serving import Outcome

if TYPE_CHECKING:
    from polars._typing import PolarsDataType

Row = tuple[object, ...]

_ARGUMENT = re.compile(r"(\w+)\s*=\s*('[^']*'|None|\[[^\]]*\])")
_DTYPES: dict[str, PolarsDataType] = {
    kind.__name__.lower(): cast("PolarsDataType", kind)
    for kind in (
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
        *(pl.Float16, pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Categorical),
        *(pl.Date, pl.Time),
    )
} | {"utf8": pl.String, "str": pl.String, "bool": pl.Boolean, "int": pl.Int64, "float": pl.Float64}


class Unfit(Exception):
    """What a model returned is no prediction for each row."""

    def __init__(self, outcome: Outcome, why: str) -> None:
        """Say which outcome it is."""
        super().__init__(why)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions, one a row."""

    columns: Columns
    bad: frozenset[int] = frozenset()
    """Rows for which one is missing, NaN or infinite."""


class Framer:
    """Makes frames of rows."""

    def __init__(self, signature: Signature, takes: Takes) -> None:
        """Prepare.

        Args:
            signature: of the model; its inputs are the columns, in their order.
            takes: which kind of frame the function is given.
        """
        self._order = tuple(field.name for field in signature.inputs)
        self._types = {field.name: polars_type(field) for field in signature.inputs}
        self._takes = takes
        kinds = {
            (type_.base_type(), field.shape)
            for field, type_ in zip(signature.inputs, self._types.values(), strict=True)
        }
        self._floats = takes == "numpy" and kinds == {(pl.Float64, ())}
        self._schemas: dict[tuple[str, ...], dict[str, PolarsDataType] | list[str]] = {}

    def frame(self, names: tuple[str, ...], rows: Sequence[Row]) -> object:
        """Return rows as the function takes them.

        Raises:
            BadPayload: if values are none of their column's.
        """
        if self._floats and names == self._order:
            return _floats(rows, len(names))
        schema = self._schemas.get(names) or self._schema(names)
        try:
            frame = pl.DataFrame(
                rows, schema=cast("Any", schema), orient="row", infer_schema_length=None
            )
        except Exception as error:  # polars, on values that somebody sent
            raise BadPayload(f"rows do not make a frame: {shorten(str(error), 300)}") from error
        if self._order and names != self._order:
            frame = frame.select(self._order)
        if self._takes == "polars":
            return frame
        return frame.to_numpy() if self._takes == "numpy" else from_polars(frame, "pandas")

    def _schema(self, names: tuple[str, ...]) -> dict[str, PolarsDataType] | list[str]:
        """Return the types of columns, which are inferred where no signature says them."""
        if not self._order:
            return list(names)
        if len(self._schemas) > 64:  # noqa: PLR2004 - a service has a handful
            self._schemas.clear()
        return self._schemas.setdefault(names, {name: self._types[name] for name in names})


def _floats(rows: Sequence[Row], width: int) -> object:
    """Return rows of floats as an array, what is missing as NaN.

    The same numbers as by way of a frame, which costs more than most models do.
    """
    values = list(itertools.chain.from_iterable(rows))
    column = pl.Series("", values, pl.Float64, strict=False)
    return column.to_numpy(writable=True).reshape(len(rows), width)


def polars_type(field: Field) -> PolarsDataType:
    """Return the type of a field's column."""
    name, _, arguments = field.dtype.partition("(")
    name = name.strip().lower()
    said = {key: ast.literal_eval(text) for key, text in _ARGUMENT.findall(arguments)}
    found: PolarsDataType
    if name == "datetime":
        found = pl.Datetime(said.get("time_unit") or "us", said.get("time_zone"))
    elif name == "enum":
        found = pl.Enum(said["categories"]) if said.get("categories") else pl.Categorical()
    else:
        found = _DTYPES[name]
    for size in reversed(field.shape):
        found = pl.List(found) if size is None else pl.Array(found, size)
    return found


class Taker:
    """Takes what a function returns as predictions."""

    def __init__(self, outputs: tuple[Field, ...]) -> None:
        """Prepare for the outputs that a signature declares; none: a number called prediction."""
        declared = outputs or (Field(name=PREDICTION, dtype="Float64"),)
        self.names = tuple(field.name for field in declared)
        self._kinds = {field.name: dtype_of(field) for field in declared}
        self._shapes = {field.name: field.shape for field in declared}

    def take(self, returned: object, rows: int) -> Predicted:
        """Return predictions.

        Raises:
            Unfit: if there is not one for each row, or they are of another type than declared.
        """
        columns = self._columns(returned, rows)
        bad: set[int] = set()
        for name, values in columns.items():
            if len(values) != rows:
                what = f"{len(values):,} predictions of {name!r} for {rows:,} rows"
                raise Unfit(Outcome.MISSHAPED, f"{what}: return one a row, in their order")
            columns[name] = self._judged(name, values, bad)
        return Predicted(columns, frozenset(bad))

    def _columns(self, returned: object, rows: int) -> Columns:
        """Return what was returned by output."""
        if hasattr(returned, "columns") or isinstance(returned, dict):
            table = cast("Any", returned)
            known = table.keys() if isinstance(returned, dict) else table.columns
            missing = [name for name in self.names if name not in known]
            if missing:
                had = shorten(", ".join(map(str, known)), 200)
                why = f"a column {missing[0]!r} is declared as output; there are {had}"
                raise Unfit(Outcome.MISSHAPED, why)
            return {name: _listed(table[name]) for name in self.names}
        shape: tuple[int, ...] = getattr(returned, "shape", (rows,))
        if len(self.names) > 1:
            if len(shape) != 2 or shape[1] != len(self.names):  # noqa: PLR2004 - a table
                names = ", ".join(self.names)
                why = f"a {type(returned).__name__} of shape {shape} was returned for {names}"
                raise Unfit(Outcome.MISSHAPED, f"{why}: return a frame with these columns")
            by_row = _listed(returned)
            return dict(
                zip(self.names, map(list, zip(*cast("Any", by_row), strict=True)), strict=True)
            )
        values = _listed(returned)
        if len(shape) == 2 and shape[1] == 1:  # noqa: PLR2004 - a column
            values = [cast("Values", row)[0] for row in values]
        return {self.names[0]: values}

    def _judged(self, name: str, values: Values, bad: set[int]) -> Values:
        """Return plain values of an output, and tell the rows that have none."""
        dtype = self._kinds[name]
        kinds = set(map(type, values))
        if dtype.kind == "float":
            if kinds == {float} and not self._shapes[name]:
                numbers = cast("list[float]", values)
                if dtype.most is None and math.isfinite(sum(numbers)):
                    return values
            _check_shape(name, values, self._shapes[name])
            return [self._number(name, at, value, bad) for at, value in enumerate(values)]
        wanted: tuple[type, ...] = {"int": (int,), "bool": (bool,)}.get(dtype.kind, (str,))
        for at, value in enumerate(values):
            if value is None or (isinstance(value, float) and math.isnan(value)):
                bad.add(at)
            elif type(value) not in wanted:
                raise Unfit(Outcome.MISSHAPED, _wrong(name, dtype.datatype, at, value))
            elif dtype.kind == "int" and not _holds(dtype, cast("int", value)):
                bad.add(at)
        return values

    def _number(self, name: str, at: int, value: object, bad: set[int]) -> object:
        """Return a number, or a list of them, as floats."""
        if isinstance(value, list):
            return [self._number(name, at, part, bad) for part in value]
        if value is None:
            bad.add(at)
            return None
        if not isinstance(value, int | float):
            raise Unfit(Outcome.MISSHAPED, _wrong(name, self._kinds[name].datatype, at, value))
        number, most = float(value), self._kinds[name].most
        if not math.isfinite(number) or (most is not None and abs(number) > most):
            bad.add(at)
        return number


def _holds(dtype: Dtype, value: int) -> bool:
    """Return whether a type can hold an integer."""
    assert dtype.least is not None
    assert dtype.most is not None
    return dtype.least <= value <= dtype.most


def _check_shape(name: str, values: Values, shape: Sequence[int | None]) -> None:
    """Refuse predictions that are not of the declared shape, or of different ones.

    Raises:
        Unfit: naming row and output.
    """
    if not shape:
        at = next((at for at, value in enumerate(values) if isinstance(value, list)), None)
        if at is not None:
            found = f"row {at}: output {name!r} is a list, and one number is declared"
            raise Unfit(Outcome.MISSHAPED, f"{found}: return one column, or declare a shape")
        return
    size = shape[0]
    inner: Values = []
    for at, value in enumerate(values):
        if not isinstance(value, list) or (size is not None and len(value) != size):
            wanted = str(list(shape)).replace("None", "?")
            why = f"row {at}: output {name!r} is declared with shape {wanted}, and is not of it"
            raise Unfit(Outcome.MISSHAPED, why)
        size = len(value)
        inner += value
    _check_shape(name, inner, shape[1:])


def scores_of(values: Values) -> bytes:
    """Return the first output as little-endian floats; empty where it is no number."""
    try:
        return struct.pack(f"<{len(values)}d", *values)
    except (struct.error, OverflowError):
        return b""


def differs(found: Iterable[object], wanted: Iterable[object], tolerance: float) -> int | None:
    """Return the first place at which two columns differ, None if none."""
    for at, (one, other) in enumerate(zip(found, wanted, strict=True)):
        if isinstance(one, float | int) and isinstance(other, float | int):
            if not math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance / 100):
                return at
        elif one != other:
            return at
    return None


def _listed(values: object) -> Values:
    """Return a series, an array or a list as a list of plain values."""
    for name in ("to_list", "tolist"):
        convert: Callable[[], object] | None = getattr(values, name, None)
        if convert is not None:
            found = convert()
            return cast("Values", found) if isinstance(found, list) else [found]
    if isinstance(values, list | tuple):
        plain = [value.item() if hasattr(value, "item") else value for value in values]
        return cast("Values", plain)
    why = f"a {type(values).__name__} was returned: return a series, an array, a list or a frame"
    raise Unfit(Outcome.MISSHAPED, why)


def _wrong(name: str, wanted: str, at: int, value: object) -> str:
    """Say that a prediction has another type than declared."""
    return (
        f"row {at}: output {name!r} is declared as {wanted} and is a {type(value).__name__}: "
        "declare what the function returns, or convert it"
    )
