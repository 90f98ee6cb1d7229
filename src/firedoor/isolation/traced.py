"""A data frame that remembers which rows it was made of, without a column that a step could see.

The row numbers stand beside the data, in an attribute. A method that changes rows is run with the
numbers as a hidden last column, which is taken off again; one that keeps rows takes the numbers
along; anything else returns a plain frame: identity is lost then. An expression over all columns
(``pl.all()``) can meet the hidden column, so whoever uses the numbers must hold the traced result
against that of an untraced run: ``tracing.trace`` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import polars as pl

_ROW = "__firedoor_row__"

_JOINS = ("inner", "left", "semi", "anti")
"""Kinds of join after which every row comes from one row on the left."""

KEEPING = (
    "cast",
    "clone",
    "drop",
    "fill_nan",
    "fill_null",
    "hstack",
    "join_asof",
    "rechunk",
    "rename",
    "select",
    "select_seq",
    "set_sorted",
    "shrink_to_fit",
    "unnest",
    "update",
    "with_columns",
    "with_columns_seq",
    "with_row_index",
)
"""Methods after which row i is still row i, if there are as many rows as before."""

CHANGING = (
    "bottom_k",
    "drop_nans",
    "drop_nulls",
    "explode",
    "filter",
    "gather_every",
    "head",
    "join",
    "limit",
    "remove",
    "reverse",
    "sample",
    "slice",
    "sort",
    "tail",
    "top_k",
    "unique",
)
"""Methods after which every row comes from one row, but row i need not come from row i."""


class Traced(pl.DataFrame):
    """A polars DataFrame beside which stand the numbers of its rows."""

    _numbers: pl.Series | None = None

    @classmethod
    def of(cls, frame: pl.DataFrame, numbers: pl.Series | None) -> Traced:
        """Return ``frame`` with the numbers of its rows, if they are known."""
        traced = cls(frame)
        traced._numbers = numbers
        return traced

    @property
    def numbers(self) -> pl.Series | None:
        """The numbers of the rows, or None: a method that works in place may have lost them."""
        numbers = self._numbers
        return None if numbers is None or len(numbers) != self.height else numbers

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401 - the signature of polars
        """Select rows and columns, with the numbers of the rows."""
        picked = pl.DataFrame(self)[key]
        numbers = self.numbers
        if numbers is None or not isinstance(picked, pl.DataFrame):
            return picked
        try:
            rows = pl.DataFrame({_ROW: numbers})[key[0] if isinstance(key, tuple) else key]
        except Exception:  # noqa: BLE001 - a key of columns: polars raises many things at it
            return _carried(picked, numbers)
        fits = isinstance(rows, pl.DataFrame) and rows.columns == [_ROW]
        return Traced.of(picked, rows.to_series()) if fits else _carried(picked, numbers)

    def lazy(self) -> pl.LazyFrame:
        """Return a lazy frame that takes the numbers along to where it is collected."""
        return TracedLazy.of(pl.DataFrame(self).lazy(), self)


class TracedLazy(pl.LazyFrame):
    """A polars LazyFrame beside which the same steps are taken on a traced frame, at once."""

    _eager: Traced | None = None

    @classmethod
    def of(cls, lazy: pl.LazyFrame, eager: Traced | None) -> TracedLazy:
        """Return ``lazy`` with the traced frame that it will give, if that is known."""
        traced = cls.__new__(cls)
        vars(traced).update(vars(lazy), _eager=eager)
        return traced

    def collect(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the signature of polars
        """Return the traced frame, or collect if identity was lost on the way."""
        if self._eager is not None and self._eager.numbers is not None:
            return self._eager
        return super().collect(*args, **kwargs)


def _carried(result: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """Return ``result`` with the numbers that the rows had before, if there are as many."""
    return Traced.of(result, numbers) if result.height == len(numbers) else result


def _keeping(name: str) -> Callable[..., Any]:
    """Return the method ``name`` for traced frames; rows stay what they are."""

    def method(self: Traced, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any method
        if kwargs.get("in_place"):
            return getattr(pl.DataFrame, name)(self, *args, **kwargs)
        result = getattr(pl.DataFrame(self), name)(*args, **kwargs)
        return result if self.numbers is None else _carried(result, self.numbers)

    return method


def _changing(name: str) -> Callable[..., Any]:
    """Return the method ``name`` for traced frames; the numbers go through it too."""

    def method(self: Traced, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any method
        plain, numbers = pl.DataFrame(self), self.numbers
        if numbers is None or (name == "join" and kwargs.get("how", "inner") not in _JOINS):
            return getattr(plain, name)(*args, **kwargs)
        try:
            return _run_with_numbers(plain, numbers, name, args, kwargs)
        except Exception:  # noqa: BLE001 - whatever it is, polars says it better without the numbers
            return getattr(plain, name)(*args, **kwargs)

    return method


def _run_with_numbers(
    plain: pl.DataFrame,
    numbers: pl.Series,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Traced:
    """Run a method that changes rows on the frame and on the numbers."""
    if name == "filter" and not any(isinstance(arg, list) for arg in args):
        # Here an expression over all columns is common: the numbers must not be among them.
        position = pl.int_range(pl.len()).filter(*args, **kwargs)
        kept = numbers.gather(plain.select(position).to_series())
        return Traced.of(plain.filter(*args, **kwargs), kept)
    if name == "unique" and not args:
        kwargs = {"subset": plain.columns} | kwargs
    result = getattr(plain.with_columns(numbers.alias(_ROW)), name)(*args, **kwargs)
    return Traced.of(result.drop(_ROW), result.get_column(_ROW))


def _lazily(name: str) -> Callable[..., pl.LazyFrame]:
    """Return the method ``name`` for traced lazy frames: done lazily, and eagerly beside it."""

    def method(self: TracedLazy, *args: Any, **kwargs: Any) -> pl.LazyFrame:  # noqa: ANN401
        result = cast("pl.LazyFrame", getattr(pl.LazyFrame, name)(self, *args, **kwargs))
        if self._eager is None:
            return result
        try:
            eager = getattr(self._eager, name)(*map(_collected, args), **kwargs)
        except Exception:  # noqa: BLE001 - the lazy frame will say it, when it is collected
            eager = None
        return TracedLazy.of(result, eager if isinstance(eager, Traced) else None)

    return method


def _collected(value: object) -> object:
    """Return the other side of a join as the frame that a traced, eager join needs."""
    return value.collect() if isinstance(value, pl.LazyFrame) else value


for _name in KEEPING:
    setattr(Traced, _name, _keeping(_name))
for _name in CHANGING:
    setattr(Traced, _name, _changing(_name))
for _name in KEEPING + CHANGING:
    if hasattr(pl.LazyFrame, _name):
        setattr(TracedLazy, _name, _lazily(_name))
