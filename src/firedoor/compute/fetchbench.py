"""What a worker does with keys to look up: call the user's function, and join what it returns.

Rows are joined to keys by their values, so that their order says nothing. A value that cannot be
what was declared is told to be wrong, by itself: others of the same call are used.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import SupportsFloat

import polars as pl

from firedoor.compute import blame, frames
from firedoor.errors import shorten
from firedoor.wire.fetching import Fetch, Fetched, FetchNote, Scalar
from firedoor.wire.messages import Request

ROWS_MAX = 100_000
"""Rows that are looked through for those that were asked for."""
_FLOAT32_MAX = 3.4028234663852886e38


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
        if returned.height > ROWS_MAX:
            message = f"it returned {returned.height:,} rows: return those of the keys only"
            return Fetched(error=message)
        lacking = [name for name in keys.columns if name not in returned.columns]
        if lacking:
            message = f"what it returned has no key {', '.join(lacking)}: return keys with values"
            return Fetched(error=message)
        return _joined(keys, returned, self._note, seconds)


def _joined(keys: pl.DataFrame, returned: pl.DataFrame, note: FetchNote, seconds: float) -> Fetched:
    """Return values in the order of keys."""
    try:
        places = _places(keys, returned)
    except pl.exceptions.PolarsError as error:
        return Fetched(error=shorten(f"its keys are of other types: {error}"))
    values: dict[str, list[Scalar]] = {}
    wrong: dict[str, list[int]] = {}
    said = ""
    for column, dtype in note.columns.items():
        if column not in returned.columns:
            values[column], wrong[column] = [None] * keys.height, list(range(keys.height))
            said = said or f"what it returned has no column {column!r}"
            continue
        made, bad, why = _typed(returned[column], dtype)
        values[column], twice = _placed(places.values(), made)
        faulty = {at for at, rows in enumerate(places.values()) if any(bad[row] for row in rows)}
        if faulty:
            said = said or f"{column} of {len(faulty)} keys {why}"
        if twice - faulty:
            said = said or f"{column} of {len(twice)} keys has several values: return one a key"
        if faulty | twice:
            wrong[column] = sorted(faulty | twice)
    return Fetched(values=values, wrong=wrong, said=said, seconds=seconds)


def _places(keys: pl.DataFrame, returned: pl.DataFrame) -> dict[tuple[Scalar, ...], list[int]]:
    """Return by key, in their order, which of the returned rows are of it."""
    given = returned.select(keys.columns)
    if given.schema != keys.schema:
        casts = (pl.col(name).cast(dtype, strict=False) for name, dtype in keys.schema.items())
        given = given.select(casts)
    places: dict[tuple[Scalar, ...], list[int]] = {key: [] for key in _rows(keys)}
    for row, key in enumerate(_rows(given)):
        if key in places:  # others nobody asked for
            places[key].append(row)
    return places


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


def _rows(frame: pl.DataFrame) -> Iterator[tuple[Scalar, ...]]:
    """Go through the rows of a frame."""
    return zip(*(series.to_list() for series in frame), strict=True)


def _typed(series: pl.Series, dtype: str) -> tuple[list[Scalar], list[bool], str]:
    """Return values of a type, which of them are none of it, and why.

    Numbers become other numbers where they stay the same; nothing is read from texts. Value by
    value: each operation on a series costs more here than a call's few values do.
    """
    given = series.dtype
    texts = isinstance(given, pl.String | pl.Categorical | pl.Enum)
    alike = {"String": texts, "Boolean": given == pl.Boolean}.get(dtype, given.is_numeric())
    listed = series.to_list()
    if not alike and given != pl.Null:
        return [None] * len(listed), [value is not None for value in listed], (
            f"is {given}, not {dtype}"
        )  # fmt: skip
    if dtype in {"String", "Boolean"} or given == pl.Null:
        return listed, [False] * len(listed), ""
    fit = _fit_float(dtype) if dtype.startswith("Float") else _fit_integer(dtype)
    made = [None if value is None else fit(value) for value in listed]
    bad = [new is None and value is not None for new, value in zip(made, listed, strict=True)]
    return made, bad, f"is NaN, infinite or no {dtype}"


def _fit_float(dtype: str) -> Callable[[SupportsFloat], Scalar]:
    """Return what makes a finite float of a number, or None."""
    most = _FLOAT32_MAX if dtype == "Float32" else sys.float_info.max

    def fit(value: SupportsFloat) -> Scalar:
        number = float(value)
        return number if -most <= number <= most else None  # NaN is neither

    return fit


def _fit_integer(dtype: str) -> Callable[[SupportsFloat], Scalar]:
    """Return what makes an integer of a number that is one, or None."""
    bits, signed = int(dtype.lstrip("UInt")), not dtype.startswith("U")
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def fit(value: SupportsFloat) -> Scalar:
        if isinstance(value, int):
            return value if least <= value <= most else None
        number = float(value)
        whole = number.is_integer() and least <= number <= most
        return int(number) if whole else None

    return fit
