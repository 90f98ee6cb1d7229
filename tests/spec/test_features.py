"""What can be said of features that a service looks up, and what is refused where it is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from firedoor.errors import DeclarationError
from firedoor.spec.features import Features, check_features
from firedoor.spec.referred import StepNote
from firedoor.spec.service_plan import FeaturesPlan

STEP = StepNote(name="fetch", pickled=b"p", main_path=None, main_module=None, where="x:1")


def fetch(keys: pl.DataFrame) -> pl.DataFrame:
    return keys


async def later(keys: pl.DataFrame) -> pl.DataFrame:
    return keys


def of_two(keys: pl.DataFrame, more: int) -> pl.DataFrame:
    del more
    return keys


def declared(**more: object) -> Features:
    """Return a group that is well but for what is given."""
    fields: Mapping[str, object] = {
        "name": "weather",
        "keys": ["origin", "hour"],
        "columns": {"temp": "Float64", "rain": pl.Boolean},
        "fetch": fetch,
        **more,
    }
    return Features(**fields)  # type: ignore[arg-type]


def test_a_group_becomes_a_plan_with_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "weather.db").touch()
    group = declared(
        stale_max_s=600,
        fresh_s=5,
        default={"temp": 55, "rain": None},
        tolerates={"temp": "cached"},
        memory="1GiB",
        network=[6379],
        may_read=["weather.db"],
        env=["REDIS_PASSWORD"],
    )
    assert group.plan(STEP, tmp_path) == FeaturesPlan(
        name="weather",
        keys=("origin", "hour"),
        columns={"temp": "Float64", "rain": "Boolean"},
        step=STEP,
        timeout_s=0.1,
        fresh_s=5.0,
        stale_max_s=600.0,
        default={"temp": 55, "rain": None},
        tolerates={"temp": "cached"},
        memory_bytes=2**30,
        network=(6379,),
        may_read=(str((tmp_path / "weather.db").resolve()),),
        env=("REDIS_PASSWORD",),
    )
    assert declared().plan(STEP, tmp_path).network is False


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", "Weather!"),
        ("keys", []),
        ("keys", "origin"),
        ("keys", ["origin", "origin"]),
        ("keys", [f"k{number}" for number in range(17)]),
        ("columns", {}),
        ("columns", ["temp"]),
        ("columns", {"temp": "Datetime"}),
        ("columns", {"temp": pl.List(pl.Int64)}),
        ("columns", {"origin": "String"}),
        ("fetch", "fetch"),
        ("fetch", later),
        ("fetch", of_two),
        ("timeout_s", 0),
        ("timeout_s", 60),
        ("timeout_s", float("nan")),
        ("fresh_s", -1),
        ("stale_max_s", 0),
        ("default", {"wind": 1.0}),
        ("default", {"temp": "warm"}),
        ("default", {"temp": float("nan")}),
        ("default", {"rain": 1}),
        ("default", [55.0]),
        ("tolerates", {"temp": "stale"}),
        ("tolerates", {"wind": "live"}),
        ("tolerates", {"temp": "cached"}),
        ("memory", "lots"),
        ("network", "all"),
        ("env", "PASSWORD"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(field: str, wrong: object) -> None:
    with pytest.raises(DeclarationError) as raised:
        declared(**{field: wrong})
    assert raised.value.field == ("features" if field == "name" else field)


def test_values_cannot_be_kept_for_less_than_they_are_fresh() -> None:
    with pytest.raises(DeclarationError, match="fresh_s or more"):
        declared(fresh_s=60, stale_max_s=5)


def test_a_path_that_is_not_there_is_refused_by_the_service(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="may_read"):
        declared(may_read=["gone.db"]).plan(STEP, tmp_path)


def test_a_service_takes_groups_that_share_neither_name_nor_column() -> None:
    wind = declared(name="wind", columns={"wind": "Float64"})
    assert check_features([declared(), wind]) == (declared(), wind)
    for wrong in (declared(), [declared(), declared()], ["weather"], {"weather": 1}):
        with pytest.raises(DeclarationError):
            check_features(wrong)
    with pytest.raises(DeclarationError, match="looked up by 'weather' and by 'wind'"):
        check_features([declared(), declared(name="wind")])
