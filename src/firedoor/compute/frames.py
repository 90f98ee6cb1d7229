"""The border: frames of pandas and pyarrow become polars frames, and back.

polars is the only kind inside. pandas and pyarrow are imported when a frame of theirs has come or
a step asks for one, never before.

What pandas cannot say is kept as well as it can: integers and booleans with nulls use its nullable
dtypes, so that no integer turns into a float; nested values, dates, times, decimals and bytes use
``ArrowDtype``; an ordered categorical stands for an enum. What does get lost in pandas: a NaN
among floats comes back as a null, and seconds as the unit of a time.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

import polars as pl

from firedoor.errors import FrameRefused, shorten

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Kind = Literal["polars", "pandas", "pyarrow"]
Frame: TypeAlias = "pl.DataFrame | pd.DataFrame | pa.Table"

_NAMED = {
    "pandas": re.compile(r"\b(pd|pandas)\.DataFrame\b"),
    "pyarrow": re.compile(r"\b(pa|pyarrow)\.Table\b"),
}
_CLASSES = {"pandas": "DataFrame", "pyarrow": "Table"}
_TYPED = (pl.List, pl.Array, pl.Struct, pl.Date, pl.Time, pl.Decimal, pl.Binary, pl.Null)
"""Dtypes that numpy, and so pandas by default, can only hold as Python objects, or not at all."""

_NULLABLE = {
    pl.Boolean: "boolean",
    pl.Int8: "Int8",
    pl.Int16: "Int16",
    pl.Int32: "Int32",
    pl.Int64: "Int64",
    pl.UInt8: "UInt8",
    pl.UInt16: "UInt16",
    pl.UInt32: "UInt32",
    pl.UInt64: "UInt64",
}
"""The dtypes of pandas in which these keep their nulls."""

_ONE_COLUMN = ", which is one column: call .to_frame() on it"
_NOT_PLAIN = ": a step is a plain function, neither async nor a generator"
_REMEDIES = {
    "polars.LazyFrame": ", which is a plan and no rows: call .collect() on it",
    "polars.Series": _ONE_COLUMN,
    "pandas.Series": _ONE_COLUMN,
    "coroutine": _NOT_PLAIN,
    "generator": _NOT_PLAIN,
    "dict": ": make a frame of it, for example with polars.DataFrame(...)",
    "list": ": make a frame of it, for example with polars.DataFrame(...)",
    "tuple": ": give one frame",
}
"""What to do with something that is not a frame, by the name of its type."""


class NotAFrame(Exception):
    """A step returned something that is not a frame, or not one that can go on."""


def kind_of(frame: object) -> Kind:
    """Return whose frame it is.

    Raises:
        FrameRefused: if it is none, saying what to do instead.
    """
    kind = _kind(frame)
    if kind is None:
        raise FrameRefused(f"a wall takes a frame and got {_describe(frame)}")
    return kind


def to_polars(frame: object) -> pl.DataFrame:
    """Return the frame as polars; the index of a pandas frame stays behind.

    Raises:
        FrameRefused: if it is not a frame, or has columns that cannot be sent to a worker.
    """
    kind = kind_of(frame)
    if kind == "pandas":
        return _from_pandas(cast("pd.DataFrame", frame))
    if kind == "pyarrow":
        return _from_pyarrow(cast("pa.Table", frame))
    polars = cast("pl.DataFrame", frame)
    for name, dtype in polars.schema.items():
        if _holds_objects(dtype):
            values = (value for value in polars.get_column(name).to_list() if value is not None)
            raise FrameRefused(_objects(name, next(values, None)))
    return polars


def fingerprint(frame: pl.DataFrame) -> str:
    """Return a short hash of a frame's columns and types, in their order."""
    told = ";".join(f"{name}:{dtype}" for name, dtype in frame.schema.items())
    return hashlib.blake2s(told.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def from_polars(frame: pl.DataFrame, kind: Kind, *, index: pd.Index | None = None) -> Frame:
    """Return a polars frame as another kind of frame.

    Args:
        frame: the rows.
        kind: the kind wanted.
        index: for pandas, the index to give the rows; 0, 1, 2 ... without it.
    """
    if kind == "pandas":
        pandas = _to_pandas(frame)
        if index is not None and len(index) == frame.height:
            pandas.index = index
        return pandas
    if kind == "pyarrow":
        # The oldest level: readers of Arrow other than polars seldom know string views.
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    return frame


def wanted_kind(step: Callable[..., object]) -> Kind:
    """Return the kind of frame that a step asks for by the annotation of its first argument.

    ``pd.DataFrame`` or ``pa.Table``, also as a string; anything else, or nothing, is polars.
    """
    try:
        annotation = _first_annotation(step, evaluated=True)
    except Exception:  # noqa: BLE001 - names imported for type checkers only, or not at all
        annotation = _first_annotation(step, evaluated=False)
    for candidate in (annotation, *get_args(annotation)):
        kind = _kind_of_annotation(candidate)
        if kind != "polars":
            return kind
    return "polars"


def returned_to_polars(value: object) -> pl.DataFrame:
    """Return what a step returned as polars.

    Raises:
        NotAFrame: if it is not a frame, or has columns that cannot leave the worker.
    """
    if _kind(value) is None:
        raise NotAFrame(f"the step returned {_describe(value)}")
    if _kind(value) == "pandas":
        names = [name for name in cast("pd.DataFrame", value).index.names if name is not None]
        if names:
            why = f"the step returned a frame indexed by {', '.join(map(repr, names))}"
            raise NotAFrame(f"{why}: only columns go on. Return frame.reset_index().")
    try:
        return to_polars(value)
    except FrameRefused as refused:
        raise NotAFrame(f"the step returned a frame that cannot go on: {refused}") from refused


def _kind(frame: object) -> Kind | None:
    """Return whose frame it is, or None, without importing anything."""
    if isinstance(frame, pl.DataFrame):
        return "polars"
    for kind, name in _CLASSES.items():
        module = sys.modules.get(kind)
        if module is not None and isinstance(frame, getattr(module, name)):
            return cast("Kind", kind)
    return None


def _describe(value: object) -> str:
    """Say what a value is that should have been a frame, and what to do."""
    kind = type(value)
    name = f"{kind.__module__.partition('.')[0]}.{kind.__name__}".removeprefix("builtins.")
    if value is None:
        return "None: was `return` forgotten?"
    if name in _REMEDIES:
        return f"a {name}{_REMEDIES[name]}"
    return f"{shorten(repr(value), 60)} ({name}): give a polars, pandas or pyarrow frame"


def _objects(column: str, value: object) -> str:
    """Say why a column of Python objects is refused, and what to do."""
    kind = f"such as {type(value).__module__}.{type(value).__name__}" if value is not None else ""
    return (
        f"column {column!r} holds Python objects {kind.replace('builtins.', '')}".rstrip()
        + ": only typed columns can be sent to a worker process. Convert it, for example to "
        "strings, numbers, lists or structs, or leave it out."
    )


def _holds_objects(dtype: object) -> bool:
    """Return whether values of this dtype are, at any depth, Python objects."""
    if isinstance(dtype, pl.Struct):
        return any(_holds_objects(field.dtype) for field in dtype.fields)
    if isinstance(dtype, (pl.List, pl.Array)):
        return _holds_objects(dtype.inner)
    return dtype == pl.Object


def _from_pandas(frame: pd.DataFrame) -> pl.DataFrame:
    """Return a pandas frame as polars."""
    if frame.columns.nlevels > 1:
        raise FrameRefused(
            "the columns are a pandas MultiIndex: give each column one name, for example "
            "frame.columns = ['_'.join(names) for names in frame.columns]"
        )
    if frame.index.nlevels > 1:
        raise FrameRefused(
            "the index is a pandas MultiIndex: make columns of it with frame.reset_index()"
        )
    for name in frame.columns:
        if not isinstance(name, str):
            raise FrameRefused(
                f"column name {name!r} is {type(name).__name__} and not a string: "
                "frame.columns = frame.columns.map(str)"
            )
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise FrameRefused(f"there are several columns named {doubled[0]!r}: rename or drop them")
    try:
        polars = pl.from_pandas(frame)
    except ImportError as error:
        raise FrameRefused(f'{error}: pip install "firedoor[pandas]"') from error
    except Exception as error:
        # pandas and pyarrow raise many kinds of error over one bad column: name that column.
        raise FrameRefused(_bad_column(frame, error)) from error
    return polars.with_columns(_labels(frame, polars))


def _labels(frame: pd.DataFrame, polars: pl.DataFrame) -> list[pl.Expr]:
    """Return casts for categoricals: an ordered one is an enum, an empty one lost its dtype."""
    casts = []
    for name, dtype in frame.dtypes.items():
        categories = getattr(dtype, "categories", None)
        if categories is None or not hasattr(dtype, "ordered"):
            continue
        labels = categories.to_list()
        if dtype.ordered and all(isinstance(label, str) for label in labels):
            casts.append(pl.col(str(name)).cast(pl.Enum(labels)))
        elif not labels and polars.schema[str(name)] == pl.Null:
            casts.append(pl.col(str(name)).cast(pl.Categorical))
    return casts


def _bad_column(frame: pd.DataFrame, error: Exception) -> str:
    """Name the first column of a pandas frame that cannot be converted, and its odd value."""
    for name in frame.columns:
        try:
            pl.from_pandas(frame[[name]])
        except Exception:  # noqa: BLE001 - as above
            kinds: dict[type, object] = {}
            for value in frame[name].dropna():
                kinds.setdefault(type(value), value)
            if len(kinds) > 1:
                first, second = list(kinds)[:2]
                return (
                    f"column {name!r} mixes {first.__name__} and {second.__name__}, as in "
                    f"{shorten(repr(kinds[second]), 60)}: give it one type, for example with "
                    f"frame[{name!r}].astype(str)"
                )
            return _objects(name, next(iter(kinds.values()), None))
    return f"the pandas frame cannot be converted: {error}"


def _to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """Return a polars frame as pandas, by numpy where that loses nothing."""
    import pandas as pd  # noqa: PLC0415 - only where a pandas frame is asked for

    typed, nullable = [], []
    for series in frame.get_columns():
        if isinstance(series.dtype, _TYPED):
            typed.append(series.name)
        elif series.dtype in _NULLABLE and series.null_count():
            nullable.append(series.name)
    if not typed and not nullable:
        return frame.to_pandas()
    parts = {
        "plain": frame.drop(typed, nullable).to_pandas(),
        "typed": frame.select(typed).to_pandas(use_pyarrow_extension_array=True),
    }
    columns = {name: part[name] for part in parts.values() for name in part.columns}
    for name in nullable:
        arrow = frame.select(name).to_pandas(use_pyarrow_extension_array=True)
        target = pd.api.types.pandas_dtype(_NULLABLE[type(frame.schema[name])])
        columns[name] = arrow[name].astype(target)
    return pd.DataFrame({name: columns[name] for name in frame.columns}, columns=frame.columns)


def _from_pyarrow(table: pa.Table) -> pl.DataFrame:
    """Return a pyarrow table as polars."""
    names = table.column_names
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise FrameRefused(f"there are several columns named {doubled[0]!r}: rename or drop them")
    try:
        return cast("pl.DataFrame", pl.from_arrow(table))
    except Exception as error:
        # pyarrow and polars raise many kinds of error over one type that polars does not have.
        for name in names:
            try:
                pl.from_arrow(table.select([name]))
            except Exception:  # noqa: BLE001 - as above
                kind = table.schema.field(name).type
                why = f"column {name!r} is {kind}, which polars has no dtype for: cast or drop it"
                raise FrameRefused(why) from error
        raise FrameRefused(f"the pyarrow table cannot be converted: {error}") from error


def _first_annotation(step: Callable[..., object], *, evaluated: bool) -> object:
    """Return the annotation of the first argument; a string if it is not evaluated."""
    parameters = inspect.signature(step, eval_str=evaluated).parameters.values()
    return next((parameter.annotation for parameter in parameters), None)


def _kind_of_annotation(annotation: object) -> Kind:
    """Return the kind that an annotation names: a class, or text that was not evaluated."""
    for kind, name in _CLASSES.items():
        if isinstance(annotation, str):
            matches = _NAMED[kind].search(annotation) is not None
        else:
            classes = getattr(annotation, "__mro__", ())
            matches = any(
                cls.__name__ == name and cls.__module__.partition(".")[0] == kind for cls in classes
            )
        if matches:
            return cast("Kind", kind)
    return "polars"
