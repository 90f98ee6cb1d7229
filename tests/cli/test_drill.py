"""``firedoor drill``: clear refusals, and reports in every form."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from cli.stored import firedoor, make_project
from control.world import World, make_plan
from drilled import report, row, second
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.drill_files import FORMS, drills_folder, keep, names
from firedoor.compose.drill_run import Setting
from firedoor.compose.project import Project
from firedoor.compose.reaching import Reached
from firedoor.drill.report import decode_report
from firedoor.errors import DrillRefused

ROW = {"fault": "kill", "zone": "clean"}
HURT = {"predict": [second(lost=30)] * 12}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("drills")

    async def nothing(world: World) -> None:
        del world

    make_project(directory, nothing)
    return directory


def refused(folder: Path, *words: str, code: int = 2) -> str:
    result = firedoor(folder, "drill", "run", *words)
    assert result.exit_code == code, result.output + result.stderr
    return result.stderr


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_without_a_pipeline_that_runs_there_is_nothing_to_drill(folder: Path) -> None:
    assert "nothing runs" in refused(folder, "--fault", "kill")


def test_without_a_project_it_says_how_to_begin(tmp_path: Path) -> None:
    assert "firedoor run" in refused(tmp_path, "--fault", "kill")


def test_without_a_matrix_it_says_how_to_name_one(folder: Path) -> None:
    assert "--matrix" in refused(folder)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.yaml", "rows: [", "cannot be read"),
        ("b.yaml", "rows: [{fault: explode}]", "is no fault of the catalogue"),
        ("c.toml", "rows = 1", "matrix="),
        ("d.json", "{", "cannot be read"),
        ("e.txt", "rows", "of no known form"),
        ("f.py", "rows = 1", "makes no matrix"),
        ("g.py", "raise ValueError('no')", "ValueError"),
        ("h.yaml", "rows: [{fault: kill, share: 0.5}]\nfor_s: 900", "for_s"),
    ],
)
def test_a_matrix_that_is_none_is_refused(tmp_path: Path, name: str, text: str, why: str) -> None:
    Project.at(tmp_path).create()
    assert why in refused(tmp_path, "--matrix", written(tmp_path, name, text))


def test_a_matrix_that_is_not_there_is_told(folder: Path) -> None:
    assert "no.yaml" in refused(folder, "--matrix", "no.yaml")


@pytest.mark.parametrize(
    "words",
    [
        ("--zone", "clean"),
        ("--intensity", "2"),
        ("--fault", "kill", "--matrix", "x.yaml"),
        ("--fault", "kil"),
        ("--fault", "kill", "--for", "0"),
        ("--fault", "kill", "--seeds", "0"),
    ],
)
def test_options_that_make_no_drill_are_refused(folder: Path, words: tuple[str, ...]) -> None:
    assert "firedoor: " in refused(folder, *words)


def test_a_copy_is_not_drilled_at_a_broker_of_the_real_pipeline(folder: Path) -> None:
    words = ("--fault", "kill", "--replay", "recording", "--nats", "nats://live:4222")
    assert "--replay drills a copy" in refused(folder, *words)


def test_the_file_that_stops_drills_stops_those_of_copies_and_production_is_not_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    class Refusing:
        def __init__(self, *, setting: Setting, halted: Callable[[], str], **_: object) -> None:
            asked.append((setting.environment, halted()))

        def interrupt(self, because: str) -> None:
            del because

        async def run(self) -> None:
            message = "enough was seen"
            raise DrillRefused(message)

    @contextmanager
    def copied(*_: object) -> Iterator[Path]:
        yield tmp_path

    Project.at(tmp_path).create()
    Project.at(tmp_path).write_plan(make_plan())
    monkeypatch.setattr("firedoor.cli.drill.Drill", Refusing)
    monkeypatch.setattr("firedoor.cli.drill.copied", copied)
    monkeypatch.setattr(Project, "supervisor_pid", lambda _: 1)
    monkeypatch.setattr("firedoor.cli.drill.reach", reached_in(tmp_path))
    monkeypatch.setenv("FIREDOOR_ENVIRONMENT", "production")
    (folder / "CHAOS_STOP").touch()
    refused(folder, "--fault", "kill", "--replay", "recording")
    (folder / "CHAOS_STOP").unlink()
    refused(folder, "--fault", "kill", "--replay", "recording")
    assert [(environment, bool(why)) for environment, why in asked] == [
        ("development", True), ("development", False),
    ]  # fmt: skip


def reached_in(folder: Path) -> Callable[..., AbstractAsyncContextManager[Reached]]:
    """Return what gives the plan that is kept in a folder, and streams in which nothing is."""

    @asynccontextmanager
    async def reach(directory: Path, **_: object) -> AsyncIterator[Reached]:
        assert directory == folder
        project = Project.at(folder)
        empty = MemoryStreams(MemoryStore(), SystemClock())
        yield Reached(streams=empty, plan=project.read_plan(), folder=project.folder)

    return reach


def test_the_catalogue_is_shown_by_class(folder: Path) -> None:
    result = firedoor_bare("drill", "list", "--class", "model")
    assert result.exit_code == 0
    assert "model_nan" in result.output
    assert "latency" not in result.output
    del folder


def firedoor_bare(*words: str):  # type: ignore[no-untyped-def] # noqa: ANN201 - of typer's tests
    from typer.testing import CliRunner  # noqa: PLC0415

    from firedoor.cli.main import app  # noqa: PLC0415

    return CliRunner().invoke(app, list(words))


def test_what_is_kept_is_shown_in_every_form_compared_and_listed(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    out = tmp_path / "out"
    first, later = report(row()), report(row(HURT))
    from msgspec.structs import replace  # noqa: PLC0415

    keep(replace(first, drill="20261129-010000-aaaa"), project.folder)
    keep(replace(later, drill="20261129-020000-bbbb"), project.folder, out)
    assert sorted(path.name for path in out.iterdir()) == sorted(FORMS)
    assert "worse:" in (out / "containment.html").read_text()
    shown = firedoor(tmp_path, "drill", "show")
    assert shown.exit_code == 0
    assert "kill" in shown.output
    assert "not contained" in shown.output
    told = firedoor(tmp_path, "drill", "show", "last", "--format", "json")
    assert decode_report(told.output.encode()).drill == "20261129-020000-bbbb"
    compared = firedoor(tmp_path, "drill", "compare", "20261129-010000-aaaa")
    assert compared.exit_code == 1
    assert "predict: kept -> breach" in compared.output
    listed = firedoor(tmp_path, "drill", "history").output
    assert listed.index("aaaa") < listed.index("bbbb")


def test_only_the_latest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from msgspec.structs import replace  # noqa: PLC0415

    monkeypatch.setattr("firedoor.compose.drill_files.KEPT_MAX", 2)
    for number in range(4):
        folder = keep(replace(report(row()), drill=f"d{number}"), tmp_path)
        (folder / "notes.md").write_text("of a person")
    assert (drills_folder(tmp_path) / "d0" / "notes.md").exists()
    assert names(drills_folder(tmp_path)) == ["d2", "d3"]


def test_a_report_of_another_schema_is_told(tmp_path: Path) -> None:
    Project.at(tmp_path).create()
    folder = keep(report(row()), Project.at(tmp_path).folder)
    file = folder / "containment.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": 2}))
    result = firedoor(tmp_path, "drill", "show", str(file))
    assert result.exit_code == 1
    assert "schema 2" in result.stderr


def test_a_drill_that_is_not_there_is_told(folder: Path) -> None:
    assert "firedoor drill run" in firedoor(folder, "drill", "show").stderr
    assert "there is no drill" in firedoor(folder, "drill", "show", "other").stderr
