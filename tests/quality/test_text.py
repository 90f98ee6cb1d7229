"""Text becomes the type that is declared, or null."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import polars as pl
import pytest

from firedoor.quality.text import read_text

UTC_TIME = pl.Datetime("us", "UTC")
NAIVE = pl.Datetime("ms")
NEW_YORK = pl.Datetime("us", "America/New_York")
TEN = datetime(2013, 1, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "dtype", "value"),
    [
        ("2013-01-01T10:00:00Z", UTC_TIME, TEN),
        ("2013-01-01T12:00:00+02:00", UTC_TIME, TEN),
        ("2013-01-01 10:00:00 UTC", UTC_TIME, TEN),
        ("2013-01-01 10:00:00", UTC_TIME, TEN),
        ("2013-01-01T10:00", UTC_TIME, TEN),
        ("2013-01-01T10:00Z", UTC_TIME, TEN),
        ("2013-01-01T10:00:00.5Z", UTC_TIME, TEN.replace(microsecond=500_000)),
        ("2013-01-01T10:00:00", NAIVE, TEN.replace(tzinfo=None)),
        ("2013-01-01T12:00:00+02:00", NAIVE, TEN.replace(tzinfo=None)),
        ("2013-01-01T10:00:00Z", NEW_YORK, TEN),
        ("2013-01-01T10:00:00", NEW_YORK, None),
        ("2013-13-01T10:00:00Z", UTC_TIME, None),
        ("yesterday", UTC_TIME, None),
        ("", UTC_TIME, None),
        ("2013-01-31", pl.Date(), date(2013, 1, 31)),
        ("2013-02-31", pl.Date(), None),
        ("10:30:00", pl.Time(), time(10, 30)),
        ("25:00:00", pl.Time(), None),
        ("True", pl.Boolean(), True),
        ("0", pl.Boolean(), False),
        ("maybe", pl.Boolean(), None),
    ],
)
def test_text_becomes_what_is_declared_or_null(
    text: str, dtype: pl.DataType, value: object
) -> None:
    read = read_text(pl.Series([text, None]), dtype)
    assert read is not None
    assert read.dtype == dtype
    assert read.to_list() == [value, None]


def test_text_that_polars_casts_is_left_to_it() -> None:
    assert read_text(pl.Series(["1"]), pl.Int64()) is None


def test_polars_own_json_of_times_is_read_back() -> None:
    times = pl.Series("a", [TEN, None], dtype=UTC_TIME)
    written = pl.read_ndjson(times.to_frame().write_ndjson().encode())
    read = read_text(written["a"], UTC_TIME)
    assert read is not None
    assert read.equals(times)
