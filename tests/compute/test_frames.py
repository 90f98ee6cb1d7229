"""Frames cross the border and come back as they were, or are refused with the remedy."""

from __future__ import annotations

import datetime as dt
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

import dataframely as dy  # noqa: TC002 - a step's annotations are evaluated
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from firedoor.compute import frames
from firedoor.errors import FrameRefused

if TYPE_CHECKING:
    import pandas  # noqa: ICN001 - spelt in full, as some do
    import pyarrow  # noqa: ICN001

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)

ALL_DTYPES = pl.DataFrame(
    {
        "whole": [1, None, 2**60 + 1],
        "small": pl.Series([1, None, 3], dtype=pl.UInt8),
        "full": [1, 2, 3],
        "truth": [True, None, False],
        "float": [1.5, None, float("inf")],
        "text": ["a", None, "ü"],
        "list": [[1], None, []],
        "structs": [[{"x": 1, "y": "a"}], None, []],
        "struct": [{"x": 1}, None, {"x": None}],
        "array": pl.Series([[1, 2], None, [3, 4]], dtype=pl.Array(pl.Int64, 2)),
        "date": [dt.date(2026, 1, 1), None, None],
        "time": [dt.time(1), None, None],
        "price": pl.Series([Decimal("1.20"), None, None], dtype=pl.Decimal(10, 2)),
        "bytes": [b"x", None, b""],
        "at": pl.Series([NOON, None, NOON]).dt.convert_time_zone("Europe/Berlin"),
        "naive": [NOON.replace(tzinfo=None), None, None],
        "took": [dt.timedelta(seconds=1), None, None],
        "kind": pl.Series(["a", None, "b"], dtype=pl.Categorical),
        "size": pl.Series(["m", None, "s"], dtype=pl.Enum(["s", "m", "l"])),
        "nothing": [None, None, None],
    }
)


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
@pytest.mark.parametrize("height", [0, 1, 3])
def test_every_dtype_comes_back_as_it_was(kind: frames.Kind, height: int) -> None:
    frame = ALL_DTYPES.head(height)
    there = frames.from_polars(frame, kind)
    assert frames.kind_of(there) == kind
    assert_frame_equal(frames.to_polars(there), frame)


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_a_frame_without_columns_comes_back(kind: frames.Kind) -> None:
    assert frames.to_polars(frames.from_polars(pl.DataFrame(), kind)).shape == (0, 0)


def test_a_polars_frame_crosses_untouched() -> None:
    assert frames.to_polars(ALL_DTYPES) is ALL_DTYPES


def test_an_integer_with_nulls_does_not_become_a_float_in_pandas() -> None:
    there = frames.from_polars(ALL_DTYPES, "pandas")
    assert isinstance(there, pd.DataFrame)
    assert there["whole"].dtype == pd.Int64Dtype()
    assert there["whole"][2] == 2**60 + 1
    assert there["full"].dtype == np.dtype("int64")
    assert there["truth"].dtype == pd.BooleanDtype()


def test_a_pandas_frame_comes_back_as_it_was_with_its_index() -> None:
    frame = pd.DataFrame(
        {
            "whole": [1, 2],
            "gap": [1.0, np.nan],
            "text": ["a", None],
            "at": pd.DatetimeIndex([NOON, pd.NaT]).as_unit("us"),
            "kind": pd.Categorical(["x", "y"]),
            "size": pd.Categorical(["s", "m"], categories=["s", "m", "l"], ordered=True),
        },
        index=pd.Index(["first", "second"], name="key"),
    )
    polars = frames.to_polars(frame)
    assert polars["gap"].to_list() == [1.0, None]
    back = frames.from_polars(polars, "pandas", index=frame.index)
    assert isinstance(back, pd.DataFrame)
    pd.testing.assert_frame_equal(back, frame)


def test_the_index_of_other_rows_is_not_forced_on() -> None:
    back = frames.from_polars(pl.DataFrame({"a": [1]}), "pandas", index=pd.Index([5, 6]))
    assert isinstance(back, pd.DataFrame)
    assert list(back.index) == [0]


class Odd:
    """A value that is no data."""


REFUSED: list[tuple[object, str]] = [
    (None, "got None"),
    (pl.DataFrame({"a": [1]}).lazy(), r"call \.collect\(\)"),
    (pl.Series([1]), r"polars.Series, which is one column: call \.to_frame\(\)"),
    (pd.Series([1]), r"pandas.Series, which is one column: call \.to_frame\(\)"),
    ({"a": [1]}, r"got a dict: make a frame of it"),
    ([{"a": 1}], r"got a list: make a frame of it"),
    (7, r"got 7 \(int\): give a polars, pandas or pyarrow frame"),
    (pl.DataFrame({"o": [Odd()]}), "column 'o' holds Python objects such as .*Odd: only typed"),
    (pl.DataFrame({"o": pl.Series([None], dtype=pl.Object)}), "column 'o' holds Python objects:"),
    (pd.DataFrame({"a": [1], "o": [Odd()]}), "column 'o' holds Python objects such as .*Odd"),
    (pd.DataFrame({"m": [1, "two", 3]}), "column 'm' mixes int and str, as in 'two'"),
    (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns named 'a'"),
    (pd.DataFrame({0: [1]}), "column name 0 is int and not a string"),
    (pd.DataFrame({("a", "b"): [1]}), "the columns are a pandas MultiIndex"),
    (
        pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])),
        r"the index is a pandas MultiIndex.*reset_index\(\)",
    ),
    (pa.table([[1], [2]], names=["a", "a"]), "several columns named 'a'"),
    (
        pa.table({"a": [1], "u": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
        "column 'u' is month_day_nano_interval, which polars has no dtype for",
    ),
]


@pytest.mark.parametrize(("value", "why"), REFUSED, ids=[why[:30] for _, why in REFUSED])
def test_what_cannot_be_sent_is_refused_with_the_remedy(value: object, why: str) -> None:
    with pytest.raises(FrameRefused, match=why):
        frames.to_polars(value)


async def later() -> None:
    """Return a coroutine when called."""


def iter_rows() -> Iterator[int]:
    """Yield rows."""
    yield 1


RETURNED: list[tuple[object, str]] = [
    (None, r"the step returned None: was `return` forgotten\?"),
    (pl.DataFrame().lazy(), r"the step returned a polars.LazyFrame.*\.collect\(\)"),
    (pl.Series([1]), "which is one column"),
    ({"a": [1]}, "the step returned a dict"),
    ((pl.DataFrame(), 1), "the step returned a tuple: give one frame"),
    (np.zeros(2), r"numpy.ndarray"),
    (iter_rows(), "neither async nor a generator"),
    (pl.DataFrame({"o": [Odd()]}), "cannot go on: column 'o' holds Python objects"),
    (pd.DataFrame({"m": [1, "two"]}), "cannot go on: column 'm' mixes int and str"),
    (pd.DataFrame({"a": [1]}, index=pd.Index([1], name="key")), "indexed by 'key'"),
]


@pytest.mark.parametrize(("value", "why"), RETURNED, ids=[why[:30] for _, why in RETURNED])
def test_a_step_that_returns_no_frame_hears_what_it_returned(value: object, why: str) -> None:
    with pytest.raises(frames.NotAFrame, match=why):
        frames.returned_to_polars(value)


def test_an_async_step_hears_that_it_is_one() -> None:
    coroutine = later()
    with pytest.raises(frames.NotAFrame, match="coroutine: a step is a plain function"):
        frames.returned_to_polars(coroutine)
    coroutine.close()


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_a_step_may_return_any_kind_of_frame(kind: frames.Kind) -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    assert_frame_equal(frames.returned_to_polars(frames.from_polars(frame, kind)), frame)


def test_a_filtered_pandas_frame_may_be_returned_with_its_gaps_in_the_index() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3]})
    assert frames.returned_to_polars(frame[frame["a"] > 1])["a"].to_list() == [2, 3]


def bare(frame):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN201
    return frame


def for_polars(frame: pl.DataFrame) -> pl.DataFrame:
    return frame


def for_dataframely(frame: dy.DataFrame[dy.Schema]) -> pl.DataFrame:
    return frame


def for_pandas(frame: pd.DataFrame, factor: int = 1) -> pd.DataFrame:
    return frame * factor


def for_pandas_or_nothing(frame: pd.DataFrame | None) -> pd.DataFrame | None:
    return frame


def for_pyarrow(frame: pa.Table) -> pa.Table:
    return frame


def for_pandas_known_to_checkers(frame: pandas.DataFrame, other: pl.Series) -> None: ...


def for_pyarrow_known_to_checkers(frame: pyarrow.Table) -> None: ...


class Model:
    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame

    def __call__(self, frame: pa.Table) -> pa.Table:
        return frame


def no_arguments() -> None: ...


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (bare, "polars"),
        (for_polars, "polars"),
        (for_dataframely, "polars"),
        (for_pandas, "pandas"),
        (for_pandas_or_nothing, "pandas"),
        (for_pyarrow, "pyarrow"),
        (for_pandas_known_to_checkers, "pandas"),
        (for_pyarrow_known_to_checkers, "pyarrow"),
        (Model().predict, "pandas"),
        (Model(), "pyarrow"),
        (functools.partial(for_pandas, factor=2), "pandas"),
        (no_arguments, "polars"),
        (len, "polars"),
    ],
)
def test_a_step_gets_the_kind_of_frame_that_it_is_annotated_with(
    step: Callable[..., object], kind: frames.Kind
) -> None:
    assert frames.wanted_kind(step) == kind


def test_pandas_and_pyarrow_are_not_imported_for_a_polars_step() -> None:
    program = (
        "import sys, polars as pl\n"
        "from firedoor.compute import frames\n"
        "frame = frames.to_polars(pl.DataFrame({'a': [1]}))\n"
        "frames.wanted_kind(lambda frame: frame)\n"
        "frames.returned_to_polars(frames.from_polars(frame, frames.kind_of(frame)))\n"
        "assert not {'pandas', 'pyarrow'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
