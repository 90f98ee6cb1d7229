"""What a worker does with keys to look up: call the user's function, and join what it returns.

Rows are joined to keys by their values, so that their order says nothing. A value that cannot be
what was declared is told to be wrong, by itself: others of the same call are used.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator

import polars as pl

from firedoor.compute import blame, frames
from firedoor.errors import shorten
from firedoor.wire.fetching import Fetch, Fetched, FetchNote, Scalar
from firedoor.wire.messages import Request

_DTYPES: dict[str, type[pl.DataType]] = {
    str(dtype): dtype
    for dtype in (
        *(pl.Boolean, pl.String, pl.Float32, pl.Float64),
        *(pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
    )
}


class Fetchbench:
    """The function that looks up."""

    def __init__(self, fetch: Callable[..., object], note: FetchNote) -> None:
        """Prepare to call ``fetch``, which gets the kind of frame its annotation asks for."""
        self._fetch = fetch
        self._note = note
        self._kind = frames.wanted_kind(fetch)

    def answer(
        self, request: Request, payload: io.BytesIO
    ) -> Iterator[tuple[Fetched, tuple[bytes, ...]]]:
        """Yield the reply to a request."""
        del payload
        if not isinstance(request, Fetch):
            message = f"a worker that looks up was sent {type(request).__name__}"
            raise TypeError(message)
        yield self.take(request), ()

    def take(self, ask: Fetch) -> Fetched:
        """Look keys up."""
        began = time.perf_counter()
        keys = pl.DataFrame(ask.keys)
        try:
            value = self._fetch(frames.from_polars(keys, self._kind))
            returned = frames.returned_to_polars(value)
        except frames.NotAFrame as error:
            return Fetched(error=shorten(str(error)))
        except BaseException as error:  # noqa: BLE001 - user code may raise anything at all
            blamed = blame.of_exception(error, ())
            message = blamed.message.partition("\n")[0]
            at = f" ({blamed.line})" if blamed.line else ""
            return Fetched(error=shorten(f"{message}{at}"))
        seconds = time.perf_counter() - began
        lacking = [name for name in keys.columns if name not in returned.columns]
        if lacking:
            message = f"what it returned has no key {', '.join(lacking)}: return keys with values"
            return Fetched(error=message)
        return _joined(keys, returned, self._note, seconds)


def _joined(keys: pl.DataFrame, returned: pl.DataFrame, note: FetchNote, seconds: float) -> Fetched:
    """Return values in the order of keys."""
    named = [pl.col(name).cast(dtype, strict=False) for name, dtype in keys.schema.items()]
    try:
        returned = returned.with_columns(named)
    except pl.exceptions.PolarsError as error:
        return Fetched(error=shorten(f"its keys are of other types: {error}"))
    if returned.height > keys.height:
        returned = returned.join(keys, on=keys.columns, how="semi", nulls_equal=True)
    places: dict[tuple[Scalar, ...], list[int]] = {key: [] for key in keys.rows()}
    for row, key in enumerate(returned.select(keys.columns).rows()):
        if key in places:  # others nobody asked for
            places[key].append(row)
    values: dict[str, list[Scalar]] = {}
    wrong: dict[str, list[int]] = {}
    said = ""
    for column, dtype in note.columns.items():
        if column not in returned.columns:
            values[column], wrong[column] = [None] * keys.height, list(range(keys.height))
            said = said or f"what it returned has no column {column!r}"
            continue
        made, bad, why = _typed(returned[column], _DTYPES[dtype])
        values[column], twice = _placed(places.values(), made)
        faulty = {at for at, rows in enumerate(places.values()) if any(bad[row] for row in rows)}
        if faulty:
            said = said or f"{column} of {len(faulty)} keys {why}"
        if twice - faulty:
            said = said or f"{column} of {len(twice)} keys has several values: return one a key"
        if faulty | twice:
            wrong[column] = sorted(faulty | twice)
    return Fetched(values=values, wrong=wrong, said=said, seconds=seconds)


def _placed(places: Iterable[list[int]], made: list[Scalar]) -> tuple[list[Scalar], set[int]]:
    """Return a value a key, and the numbers of keys that have several different ones."""
    found: list[Scalar] = []
    twice: set[int] = set()
    for at, rows in enumerate(places):
        distinct = {made[row] for row in rows}
        if len(distinct) > 1:
            twice.add(at)
        found.append(distinct.pop() if len(distinct) == 1 else None)
    return found, twice


def _typed(series: pl.Series, dtype: type[pl.DataType]) -> tuple[list[Scalar], list[bool], str]:
    """Return values of a type, which of them are none of it, and why.

    Numbers become other numbers where they stay the same; nothing is read from texts.
    """
    given = series.dtype
    if isinstance(given, pl.Categorical | pl.Enum):
        series, given = series.cast(pl.String), pl.String()
    numbers = given.is_numeric() and dtype.is_numeric()
    alike = numbers or given in (dtype, pl.Null)
    if not alike:
        there = series.is_not_null().to_list()
        return [None] * len(series), there, f"is {given}, not {dtype.__name__}"
    made = series.cast(dtype, strict=False)
    bad = made.is_null() & series.is_not_null()
    if dtype.is_integer() and given.is_float():
        bad |= (made.cast(given) != series).fill_null(value=False)
    if dtype.is_float():
        bad |= (made.is_nan() | made.is_infinite()).fill_null(value=False)
    kept = made.to_list()
    flags = bad.to_list()
    why = "is NaN, infinite or out of range"
    return [None if flag else value for value, flag in zip(kept, flags, strict=True)], flags, why
