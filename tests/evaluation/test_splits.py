"""Every row is in one part, and in the same one tomorrow."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firedoor.errors import DeclarationError, FrameRefused
from firedoor.evaluation.splits import ByKey, ByTime, key_texts, split

SHARES = {"train": 0.7, "stop": 0.1, "test": 0.2}
TAILS = ByKey(key=("tailnum",), shares=SHARES)
FLIGHTS = pl.DataFrame({"tailnum": [f"N{number % 5_000}" for number in range(20_000)]})
MONTHS = ByTime(
    column="at",
    until={"train": datetime(2013, 6, 1), "test": datetime(2013, 9, 1)},  # noqa: DTZ001
)


def test_a_key_is_in_one_part_and_shares_are_met_about() -> None:
    parted = FLIGHTS.with_columns(part=split(FLIGHTS, TAILS))
    assert parted["part"].null_count() == 0
    assert parted.group_by("tailnum").agg(pl.col("part").n_unique())["part"].max() == 1
    counts = dict(parted["part"].value_counts().iter_rows())
    assert {name: round(count / 20_000, 1) for name, count in counts.items()} == SHARES


def test_a_part_is_the_same_in_every_version_of_everything() -> None:
    keys = pl.DataFrame({"tailnum": ["N14228", "N24211", None, "", "N804JB", "Ü"]})
    assert split(keys, TAILS).to_list() == EXPECTED


EXPECTED = ["train", "train", "test", "train", "test", "train"]


@given(order=st.permutations(range(60)), cut=st.integers(0, 60))
def test_order_and_cuts_change_nothing(order: list[int], cut: int) -> None:
    frame = FLIGHTS.head(60)
    whole = split(frame, TAILS)
    assert split(frame[order], TAILS).to_list() == whole.gather(order).to_list()
    in_two = [*split(frame[:cut], TAILS), *split(frame[cut:], TAILS)]
    assert in_two == whole.to_list()


def test_a_boundary_that_moves_moves_only_the_keys_between() -> None:
    more = ByKey(key=("tailnum",), shares={"train": 0.8, "stop": 0.1, "test": 0.1})
    before, after = split(FLIGHTS, TAILS), split(FLIGHTS, more)
    assert after.filter(before == "train").unique().to_list() == ["train"]


def test_another_salt_parts_otherwise() -> None:
    salted = ByKey(key=("tailnum",), shares=SHARES, salt="second")
    both = (split(FLIGHTS, TAILS) == "test") & (split(FLIGHTS, salted) == "test")
    assert 0.01 < both.mean() < 0.08  # type: ignore[operator]


def test_a_key_is_the_same_however_it_is_kept() -> None:
    numbers = pl.DataFrame({"k": [1, 2, 30, None]})
    for dtype in (pl.Int8, pl.UInt64, pl.String):
        assert key_texts(numbers.cast(dtype), ("k",)).equals(key_texts(numbers, ("k",)))
    times = pl.DataFrame({"k": [datetime(2013, 1, 1, 5, 15, tzinfo=UTC)]})
    for unit in ("ms", "ns"):
        cast = times.cast(pl.Datetime(unit, "UTC"))
        assert key_texts(cast, ("k",)).equals(key_texts(times, ("k",)))


def test_times_a_microsecond_apart_are_two_keys() -> None:
    times = [datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]
    assert key_texts(pl.DataFrame({"k": times}), ("k",)).n_unique() == 2


def test_keys_of_several_columns_are_not_mixed_up() -> None:
    keys = pl.DataFrame(
        {"a": ["1", "11", "", None, "1:", "-"], "b": ["11", "1", None, "", "1", None]}
    )
    assert key_texts(keys, ("a", "b")).n_unique() == 6


def test_by_time_a_part_ends_before_its_end() -> None:
    times = [datetime(2013, 5, 31, 23, 59), datetime(2013, 6, 1), datetime(2013, 9, 1)]  # noqa: DTZ001
    frame = pl.DataFrame({"at": times})
    assert split(frame, MONTHS).to_list() == ["train", "test", None]
    opened = ByTime(column="at", until={**MONTHS.until, "later": None})
    assert split(frame, opened).to_list() == ["train", "test", "later"]
    days = pl.DataFrame({"at": [date(2013, 5, 31), date(2013, 6, 1)]})
    assert split(days, MONTHS).to_list() == ["train", "test"]


def test_times_of_another_zone_are_the_same_instants() -> None:
    cut = datetime(2013, 6, 1, tzinfo=UTC)
    policy = ByTime(column="at", until={"train": cut, "test": None})
    frame = pl.DataFrame({"at": [cut - timedelta(seconds=1), cut]})
    assert split(frame, policy).to_list() == ["train", "test"]
    there = frame.with_columns(pl.col("at").dt.convert_time_zone("America/New_York"))
    assert split(there, policy).to_list() == ["train", "test"]


def test_rows_without_a_time_are_refused_by_number() -> None:
    frame = pl.DataFrame({"at": [datetime(2013, 5, 1), None, None]})  # noqa: DTZ001
    with pytest.raises(FrameRefused, match=r"2 of 3 rows have no at .* for example row 1, 2: drop"):
        split(frame, MONTHS)


def test_an_empty_frame_has_no_parts_and_is_no_error() -> None:
    assert split(FLIGHTS.clear(), TAILS).len() == 0
    assert split(pl.DataFrame({"at": []}, schema={"at": pl.Date}), MONTHS).len() == 0


@pytest.mark.parametrize(
    ("column", "why"),
    [
        (pl.Series("tailnum", [0.5]), "is Float64, and no key"),
        (pl.Series("tailnum", [[1]]), "and no key"),
        (pl.Series("other", [1]), "is no column of the frame; name one of other"),
    ],
)
def test_a_column_that_is_no_key_is_refused(column: pl.Series, why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        split(column.to_frame(), TAILS)


@pytest.mark.parametrize(
    "column",
    [pl.Series("at", ["2013-05-01"]), pl.Series("at", [datetime(2013, 5, 1, tzinfo=UTC)])],
)
def test_a_column_that_is_no_time_or_has_another_kind_of_zone_is_refused(column: Any) -> None:
    with pytest.raises(DeclarationError):
        split(column.to_frame(), MONTHS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": {"train": 0.7, "test": 0.2}},
        {"shares": {"train": 1.0}},
        {"shares": {"train": 1.2, "test": -0.2}},
        {"shares": {"": 0.5, "test": 0.5}},
        {"shares": {str(part): 1 / 11 for part in range(11)}},
        {"shares": [0.5, 0.5]},
        {"key": ()},
        {"key": "tailnum"},
        {"key": ("a", "a")},
        {"salt": 3},
    ],
)
def test_a_split_by_key_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        ByKey(**{"key": ("tailnum",), "shares": SHARES, **wrong})


EARLY, LATE = datetime(2013, 1, 1), datetime(2013, 2, 1)  # noqa: DTZ001


@pytest.mark.parametrize(
    "until",
    [
        {"train": LATE, "test": EARLY},
        {"train": LATE, "test": LATE},
        {"train": None, "test": LATE},
        {"train": EARLY, "test": datetime(2013, 2, 1, tzinfo=UTC)},
        {"train": EARLY},
        {"train": "2013-01-01", "test": None},
        {"train": None, "test": None},
    ],
)
def test_a_split_by_time_that_cannot_work_is_refused(until: Any) -> None:
    with pytest.raises(DeclarationError):
        ByTime(column="at", until=until)
