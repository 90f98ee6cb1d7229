"""The example of `make train`: its story on a part of the year, and what its model can be asked."""

from __future__ import annotations

import importlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.request import urlopen

import polars as pl
import pytest

from architecture import pages
from examples.small_year import EXAMPLE, ROOT, write_small_year
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs

EVERY = 8
BOOSTERS = 2
pytestmark = pytest.mark.timeout(300)
BOUND_S = 280
"""For a machine with much else to do; alone the story takes half a minute."""
NAMES = ("steps", "data", "year", "weather_service", "pipeline", "delays", "drift")


class Told(NamedTuple):
    """One run of the story."""

    code: int
    output: str
    figures: dict[str, Any]
    project: Path
    year: Path

    def firedoor(self, *words: str, year: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command in the project that it left."""
        return subprocess.run(
            [sys.executable, "-m", "firedoor.cli", *words, "--project", str(self.project)],
            env={**os.environ, "FLIGHTS_YEAR": str(year or self.year)},
            capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip


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
def told(modules: dict[str, ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The whole story, with one of eight flights."""
    year, folder = modules["year"], tmp_path_factory.mktemp("story")
    write_small_year(year, year.YEAR, every=EVERY)
    figures = folder / "figures.json"
    ended = subprocess.run(
        [
            sys.executable, str(EXAMPLE / "train.py"), "--json", str(figures),
            "--project", str(folder), "--boosters", str(BOOSTERS),
        ],
        cwd=ROOT, env={**os.environ, "FLIGHTS_YEAR": str(year.YEAR)},
        capture_output=True, text=True, timeout=BOUND_S, check=False,
    )  # fmt: skip
    assert figures.exists(), ended.stdout + ended.stderr
    return Told(ended.returncode, ended.stdout, json.loads(figures.read_text()), folder, year.YEAR)


def test_the_story_goes_from_raw_lines_to_scored_flights(told: Told) -> None:
    assert told.code == 0, told.output
    season = told.figures["season"]
    assert season["due"] == season["scored"] > 10_000
    assert season["doubled"] == 0
    assert season["by_model"] == {"delays@3": season["due"]}
    assert 0.6 < season["auc"] < 0.75
    assert len(season["weekly_auc"]) == 17


def test_a_model_of_which_a_fifth_of_the_labels_were_permuted_is_not_promoted(told: Told) -> None:
    first, worse, second = told.figures["candidates"]
    assert (first["verdict"], second["verdict"]) == ("promote", "promote")
    assert (worse["permuted"], worse["live"]) == (0.2, False)
    assert worse["verdict"] in {"hold", "reject"}
    assert [why.partition(" is ")[0] for why in worse["why"]] == ["log_loss"]
    versions = Models(told.project).read("delays").state.versions
    assert [version.verdict for version in versions] == ["promote", worse["verdict"], "promote"]


def picture(command: str = "make train") -> str:
    """Return what the README shows of a story."""
    console = [f for f in pages.fences(ROOT / "README.md") if f.language == "console"]
    shown = dict(command for fence in console for command in pages.commands(fence) if command[1])
    return shown[command]


def test_the_picture_in_the_readme_is_what_it_prints_but_for_the_numbers(told: Told) -> None:
    expected, printed = (re.sub(r"\d[\d,.]*", "#", text) for text in (picture(), told.output))
    assert pages.agrees(expected, printed), told.output


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_the_picture_in_the_readme_is_what_it_prints_of_the_whole_year(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(EXAMPLE / "train.py"), "--project", str(tmp_path / "project")],
        cwd=ROOT, env={**os.environ, "FLIGHTS_YEAR": str(tmp_path / "year")},
        capture_output=True, text=True, timeout=1_700, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert pages.agrees(picture(), ended.stdout), ended.stdout


def test_what_it_says_to_try_can_be_tried(told: Told) -> None:
    shown = told.firedoor("models", "show", "delays@champion")
    assert shown.returncode == 0, shown.stderr
    assert "roc_auc" in shown.stdout


def test_the_model_was_learnt_without_a_look_at_the_sealed_months(told: Told) -> None:
    record = Runs(told.project).read("train-1")
    read = record.input
    assert read is not None
    assert read.sealed == ("test",)
    assert read.parts.keys() == {"train", "tune", "test", "later"}
    version = Models(told.project).manifest("delays@1")
    assert {"late", "day", "flight", "time_hour"}.isdisjoint(
        field.name for field in version.signature.inputs
    )


def test_a_run_is_repeated_bit_for_bit(told: Told) -> None:
    again = told.firedoor("reproduce", "train-1")
    assert again.returncode == 0, again.stdout + again.stderr


def events(project: Path, run: str, what: str) -> int:
    """Return how many events of a kind a run has written."""
    file = project / ".firedoor" / "runs" / run / "events.jsonl"
    return file.read_text().count(f'"what":"{what}"') if file.exists() else 0


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something holds that a process brings about."""
    end_s = time.monotonic() + BOUND_S
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end_s
        select.select([], [], [], 0.01)


def test_a_training_that_was_killed_goes_on_to_the_same_model_bit_for_bit(told: Told) -> None:
    job = ["job", "run", "train", "--pipeline", str(EXAMPLE / "training.py"), "--seed", "9"]
    job += ["--param", f"boosters={BOOSTERS}", "--param", "rounds=40"]
    ran = len(Runs(told.project).every("train"))
    killed, whole = f"train-{ran + 1}", f"train-{ran + 3}"
    with subprocess.Popen(
        [sys.executable, "-m", "firedoor.cli", *job, "--project", str(told.project)],
        env={**os.environ, "FLIGHTS_YEAR": str(told.year)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        until(lambda: events(told.project, killed, "checkpoint") == 1, process)
        process.kill()
    resumed = told.firedoor(*job)
    assert resumed.returncode == 0, resumed.stdout
    fresh = told.firedoor(*job, "--fresh")
    assert fresh.returncode == 0, fresh.stdout
    records = {name: Runs(told.project).read(name) for name in (killed, f"train-{ran + 2}", whole)}
    assert [record.outcome for record in records.values()] == ["lost", "done", "done"]
    assert records[f"train-{ran + 2}"].resumes == killed
    # The same content is the same version, whoever made it.
    assert records[f"train-{ran + 2}"].model == records[whole].model != ""


def test_going_back_while_flights_are_scored_leaves_none_unscored_or_scored_twice(
    told: Told, tmp_path: Path
) -> None:
    """Each batch is scored whole by one version, and the last ones by the older."""
    stored = pl.read_parquet(told.year.with_name("store") / "*.parquet")
    due = stored.filter(pl.col("day") >= date(2013, 9, 1)).head(8_000)
    store, scored = tmp_path / "store", tmp_path / "scored"
    store.mkdir()
    for number, part in enumerate(due.iter_slices(200)):
        part.write_parquet(store / f"part-{number:03}.parquet")
    project = tmp_path / "project"
    shutil.copytree(told.project / ".firedoor" / "models", project / ".firedoor" / "models")
    with subprocess.Popen(
        [
            sys.executable, "-m", "firedoor.cli", "run", str(EXAMPLE / "scoring.py"),
            "--project", str(project),
        ],
        env={**os.environ, "FLIGHTS_YEAR": str(tmp_path / "year"), "FLIGHTS_RATE": "1500"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        until(lambda: len(list(scored.glob("*.parquet"))) >= 5, process)
        back = subprocess.run(
            [sys.executable, "-m", "firedoor.cli", "models", "rollback", "delays"],
            cwd=project, capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
        assert back.returncode == 0, back.stderr
        said, _ = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0, said
    frames = [pl.read_parquet(file) for file in sorted(scored.glob("*.parquet"))]
    assert all(frame["model"].n_unique() == 1 for frame in frames)
    by = [frame["model"][0] for frame in frames]
    assert (set(by), by[-1]) == ({"delays@3", "delays@1"}, "delays@1")
    rows = pl.concat(frames)
    key = ["carrier", "flight", "origin", "time_hour"]
    assert rows.height == rows.n_unique(key) == due.height
    assert rows["chance"].null_count() == 0


# --- Served: `make serve` ------------------------------------------------------------------------


@contextmanager
def told_address(command: list[str], year: Path, **env: str) -> Iterator[str]:
    """Run a program until it is left, and give the address in the first line that it prints."""
    environ = {**os.environ, "FLIGHTS_YEAR": str(year), **env}
    with subprocess.Popen(
        [sys.executable, *command], env=environ, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rpartition(" ")[2]
        process.terminate()
        process.communicate(timeout=BOUND_S)


def test_the_model_that_is_live_answers_over_http_what_it_says_itself(told: Told) -> None:
    """Distinct flights, each answer compared with the version that it names."""
    serve = ["-m", "firedoor.cli", "serve", str(EXAMPLE / "serving.py"), "--port", "0"]
    load = ["load.py", "--rate", "60", "--seconds", "4", "--project", str(told.project)]
    weather = [str(EXAMPLE / "weather_service.py"), "--port", "0"]
    with (
        told_address(weather, told.year) as asked,
        told_address(
            [*serve, "--project", str(told.project)], told.year, FLIGHTS_WEATHER=asked
        ) as address,
    ):
        assert address.startswith("http://"), address
        until_ready(address)
        ended = subprocess.run(
            [sys.executable, str(EXAMPLE / load[0]), address, *load[1:]],
            env={**os.environ, "FLIGHTS_YEAR": str(told.year)},
            capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "failed     none" in ended.stdout
    assert re.search(r"wrong      0 of \d{3}", ended.stdout), ended.stdout


def until_ready(address: str) -> None:
    """Wait until a version answers."""
    end_s = time.monotonic() + BOUND_S
    while time.monotonic() < end_s:
        with suppress(OSError), urlopen(f"{address}/readyz", timeout=5) as answer:  # noqa: S310 - ours
            if answer.status == HTTPStatus.OK:
                return
        select.select([], [], [], 0.05)
    pytest.fail("nothing answers")


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_story_of_two_rollouts_ends_as_it_should(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    ended = subprocess.run(
        [
            sys.executable, str(EXAMPLE / "serve.py"), "--json", str(figures),
            "--project", str(tmp_path / "project"),
        ],
        cwd=ROOT, env={**os.environ, "FLIGHTS_YEAR": str(tmp_path / "year")},
        capture_output=True, text=True, timeout=850, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert pages.agrees(picture("make serve"), ended.stdout), ended.stdout
    found = json.loads(figures.read_text())
    assert [one["phase"] for one in found["rollouts"]] == ["live", "quarantined"]
    assert found["seconds"] < 120


# --- The model itself, which knows nothing of firedoor --------------------------------------------


@pytest.fixture(scope="module")
def rows(told: Told) -> pl.DataFrame:
    """Flights of the store that did arrive."""
    stored = pl.read_parquet(told.year.with_name("store") / "*.parquet")
    return stored.filter(pl.col("late").is_not_null())


@pytest.fixture(scope="module")
def model(modules: dict[str, ModuleType], rows: pl.DataFrame) -> Any:
    """A model of a few trees."""
    delays = modules["delays"]
    train, tune = rows.filter(pl.col("day") < date(2013, 5, 1)), rows[-3000:]
    names = delays.names_in(train)
    booster = delays.fit(train, tune, names, seed=1, rounds=20, after_round=lambda _: None)
    return delays.calibrated([booster], names, tune)


def test_a_model_that_was_saved_says_the_same_to_the_last_digit(
    modules: dict[str, ModuleType], model: Any, rows: pl.DataFrame, tmp_path: Path
) -> None:
    modules["delays"].save_model(model, tmp_path)
    told = modules["delays"].load(tmp_path).chance(rows[:500])
    assert told.equals(model.chance(rows[:500]))


def test_probabilities_are_right_on_average_where_they_were_fitted(
    model: Any, rows: pl.DataFrame
) -> None:
    tune = rows[-3000:]
    assert model.chance(tune).mean() == pytest.approx(tune["late"].mean(), abs=1e-9)


def test_worse_weather_never_makes_a_flight_less_likely_to_be_late(
    model: Any, rows: pl.DataFrame
) -> None:
    some = rows[:2000]
    worse = some.with_columns(
        pl.col("precip") + 0.2, pl.col("wind_speed") + 10, pl.col("visib") - 5
    )
    before, after = model.chance(some), model.chance(worse)
    assert (after >= before).all()
    assert (after > before).any()


def test_a_model_can_be_asked_of_no_flights_and_of_names_that_it_never_saw(
    model: Any, rows: pl.DataFrame
) -> None:
    assert model.chance(rows.clear()).len() == 0
    odd = rows[:5].with_columns(carrier=pl.lit("ZZ"), fleet=pl.lit(None, pl.String))
    assert model.chance(odd).is_between(0, 1).all()


def test_permuting_labels_changes_some_and_keeps_how_many_are_late(
    modules: dict[str, ModuleType], rows: pl.DataFrame
) -> None:
    spoil = modules["delays"].with_labels_permuted
    spoiled = spoil(rows, 0.2, 1)
    assert spoiled["late"].sum() == rows["late"].sum()
    moved = (spoiled["late"] != rows["late"]).mean()
    assert 0.02 < moved < 0.2
    assert spoil(rows, 0.2, 1).equals(spoiled)
    assert not spoil(rows, 0.2, 2).equals(spoiled)
    assert spoil(rows, 0.0, 1).equals(rows)


def test_what_a_model_is_asked_with_is_what_the_store_holds(
    modules: dict[str, ModuleType], rows: pl.DataFrame
) -> None:
    wanted = modules["delays"].INPUTS
    held = {name: str(dtype).partition("(")[0] for name, dtype in rows.schema.items()}
    assert {name: held[name] for name in wanted} == wanted


# --- The figures of the season --------------------------------------------------------------------


def scored_of(days: list[date]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return scores and what became of the flights, one a day."""
    key = {
        "carrier": ["UA"] * len(days), "flight": range(len(days)),
        "origin": ["EWR"] * len(days), "time_hour": days,
    }  # fmt: skip
    late = [number % 2 == 0 for number in range(len(days))]
    stored = pl.DataFrame({**key, "day": days, "late": late})
    scored = pl.DataFrame({**key, "day": days, "chance": [0.9 if one else 0.2 for one in late]})
    return scored, stored


def test_a_flight_that_is_missing_or_scored_twice_is_counted(
    modules: dict[str, ModuleType],
) -> None:
    drift, days = modules["drift"], [date(2013, 9, day) for day in range(1, 11)]
    scored, stored = scored_of(days)
    once = drift.scored_once
    assert once(scored, stored, days[0]) == (10, 10, 0)
    assert once(scored[1:], stored, days[0]) == (10, 9, 0)
    assert once(pl.concat([scored, scored[:2]]), stored, days[0]) == (10, 10, 2)
    assert once(scored, stored, days[4]) == (6, 6, 0)


def test_scores_are_held_against_flights_that_arrived(modules: dict[str, ModuleType]) -> None:
    drift = modules["drift"]
    scored, stored = scored_of([date(2013, 9, day) for day in range(1, 16)])
    unknown = stored.with_columns(late=pl.when(pl.col("flight") > 0).then("late"))
    rows = drift.joined(scored, unknown)
    assert rows.height == 14
    assert drift.auc(rows) == 1.0
    weeks = drift.by_week(rows)
    assert weeks.rows() == [(date(2013, 9, 2), 7, 1.0), (date(2013, 9, 9), 7, 1.0)]
    months = drift.by_month(rows, rows)
    assert months["psi"].to_list() == [0.0]
    assert months["late"].to_list() == [0.5]


def test_scores_that_moved_have_a_psi_that_says_so(modules: dict[str, ModuleType]) -> None:
    psi = modules["drift"].psi
    before = pl.Series(range(1000)) / 1000
    assert psi(before, before) == 0.0
    assert 0.0 < psi(before, before + 0.02) < 0.1
    assert psi(before, before + 0.3) > 0.25
