"""What a drill does inside a worker: change the rows that came, or die over some of them.

Whether a row is hit follows from its values and a seed, not from its place: a search for bad rows
takes the batch apart, and a bad row has to stay bad. The deaths are real: a segmentation fault is
a read of address 0, and a hang stands still until the wall ends the worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from firedoor.wire.striking import Strike

PIECE_BYTES = 16 * 2**20
HELD_S = 2.0
"""How long memory is held, so that it is seen."""
KEYS_MAX = 64
_HASHES = 2**64


def chosen(frame: pl.DataFrame, strike: Strike) -> pl.Series:
    """Return which rows a fault hits (bool): always the same ones, in whatever part of a batch."""
    if strike.share >= 1 or not strike.keys:
        return pl.repeat(value=strike.share >= 1, n=frame.height, dtype=pl.Boolean, eager=True)
    hashes = frame.select(_plain(frame, name) for name in strike.keys).hash_rows(seed=strike.seed)
    return hashes < int(strike.share * _HASHES)


def keys_of(frame: pl.DataFrame) -> tuple[str, ...]:
    """Return the columns by which rows are told apart."""
    plain = [name for name, dtype in frame.schema.items() if not dtype.is_nested()]
    return tuple(plain[:KEYS_MAX])


def _plain(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column whose hash is the same in every process."""
    coded = isinstance(frame.schema[name], pl.Categorical | pl.Enum)
    return pl.col(name).cast(pl.String) if coded else pl.col(name)


class Striking:
    """A strike on the batch, or the part of it, that a worker has in hand."""

    def __init__(self, strike: Strike, frame: pl.DataFrame) -> None:
        """Find out which rows of ``frame`` are hit."""
        self._strike = strike
        self._hit = chosen(frame, strike)
        self._done = False

    def changed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return what seems to have come, before its schema is checked."""
        name = self._strike.column
        if not name:
            return frame
        match self._strike.name:
            case "schema_rename":
                return frame.rename({name: f"{name}_renamed"})
            case "schema_retype":
                told = pl.concat_str(pl.lit("~"), pl.col(name).cast(pl.String))
                return frame.with_columns(told.alias(name))
            case "schema_added":
                return frame.with_columns(pl.lit(0).alias(name))
            case _:
                hit, value = pl.lit(self._hit), self._value(frame.schema[name])
                changed = pl.when(hit).then(value).otherwise(pl.col(name))
                return frame.with_columns(changed.alias(name))

    def keep(self, rejected: pl.DataFrame) -> None:
        """Go on with the rows that passed the gate."""
        if rejected.height:
            rows = pl.int_range(len(self._hit), dtype=pl.UInt32, eager=True)
            self._hit = self._hit.filter(~rows.is_in(rejected["row"].implode()))

    def before(self, start: int, stop: int) -> None:
        """Do what is to be done before the step gets rows ``start`` to ``stop`` of what passed.

        Raises:
            ValueError: as the step would, over a poisoned row.
            MemoryError: where memory is limited by the system.
        """
        strike = self._strike
        kind, _, how = strike.name.partition("_")
        if time.monotonic() >= strike.until_s:
            return
        if kind == "poison" and self._hit.slice(start, stop - start).any():
            die(how, strike)
        elif kind == "worker" and not self._done:
            self._done = True
            die(how, strike)

    def _value(self, dtype: pl.DataType) -> pl.Expr:
        """Return what stands in the rows that are hit, in a column of this type."""
        strike, column = self._strike, pl.col(self._strike.column)
        match strike.name:
            case "null_burst":
                return pl.lit(None, dtype=dtype)
            case "unit_change":
                return _as(column.cast(pl.Float64) * strike.amount, dtype)
            case "feature_drift":
                return _as(column.cast(pl.Float64) + strike.amount, dtype)
            case "out_of_order":
                return (column - pl.duration(seconds=int(strike.amount))).cast(dtype)
            case _:
                return _flipped(column, dtype, strike)


def die(how: str, strike: Strike) -> None:
    """Do to this process what a fault says; returns only from the milder ones.

    Raises:
        ValueError: for ``raise``.
        MemoryError: for ``memory``, where the system says no.
    """
    match how:
        case "raise":
            message = f"this row was poisoned by drill fault {strike.fault}"
            raise ValueError(message)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            threading.Event().wait(min(strike.amount, strike.until_s - time.monotonic()))
        case "memory":
            _take_memory(int(strike.amount))
        case "cpu":
            _burn(min(strike.amount, strike.until_s - time.monotonic()))
        case _:
            message = f"drill fault {strike.fault} has a worker do what it does not know: {how}"
            raise RuntimeError(message)


def _take_memory(size: int) -> None:
    """Use so many bytes for a while, really: what is only reserved is not there."""
    held = [b"\1" * min(PIECE_BYTES, size - start) for start in range(0, size, PIECE_BYTES)]
    threading.Event().wait(HELD_S)
    del held


def _burn(seconds: float) -> None:
    """Use a processor for so long."""
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        pass


def _as(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return a number in the type of its column; one that does not fit is null."""
    return (value.round() if dtype.is_integer() else value).cast(dtype, strict=False)


def _flipped(column: pl.Expr, dtype: pl.DataType, strike: Strike) -> pl.Expr:
    """Return the other one of two values."""
    if dtype == pl.Boolean:
        return ~column
    if strike.pair is None:
        return _as(pl.lit(strike.amount) - column.cast(pl.Float64), dtype)
    low, high = strike.pair
    return pl.when(column == low).then(pl.lit(high)).when(column == high).then(pl.lit(low))
