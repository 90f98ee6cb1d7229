"""Drop rows on purpose, and say so: rows that vanish undeclared are a fault of the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import polars as pl

Frame = TypeVar("Frame", bound=pl.DataFrame)

_collector: ContextVar[dict[str, int] | None] = ContextVar("firedoor_drops", default=None)


def drop(frame: Frame, where: pl.Expr, *, because: str) -> Frame:
    """Return ``frame`` without the rows for which ``where`` is true; null counts as false.

    Inside a wall the rows are counted under ``because`` (``outcome.dropped``). Anywhere else, as
    in a test of the step, this only filters.

    Args:
        frame: a polars DataFrame.
        where: which rows go.
        because: why, in a few words: one reason a kind of row, not one a row.

    Raises:
        TypeError: if ``frame`` is not a polars DataFrame, or ``where`` not an expression.
        ValueError: if no reason is given.

    >>> frame = pl.DataFrame({"dest": ["LAX", None]})
    >>> drop(frame, pl.col("dest").is_null(), because="no destination").height
    1
    """
    if not isinstance(frame, pl.DataFrame):
        message = (
            f"drop() takes a polars DataFrame and got {type(frame).__name__}: it counts the rows "
            "that it drops. Collect a LazyFrame first; a pandas or pyarrow step filters by itself "
            "and declares may_drop=... on its wall."
        )
        raise TypeError(message)
    if not isinstance(where, pl.Expr):
        message = (
            f"drop(where=...) takes a polars expression and got {type(where).__name__}: "
            'write it like pl.col("dest").is_null()'
        )
        raise TypeError(message)
    if not isinstance(because, str) or not because.strip():
        message = "drop(because=...) needs a reason, for example because='no destination'"
        raise ValueError(message)
    kept = frame.filter(~where.fill_null(value=False))
    drops = _collector.get()
    if drops is not None and kept.height < frame.height:
        drops[because] = drops.get(because, 0) + frame.height - kept.height
    return kept  # type: ignore[return-value]


@contextmanager
def collect_drops() -> Iterator[dict[str, int]]:
    """Collect what ``drop`` drops in this block, by reason, in this thread or task only."""
    drops: dict[str, int] = {}
    token = _collector.set(drops)
    try:
        yield drops
    finally:
        _collector.reset(token)
