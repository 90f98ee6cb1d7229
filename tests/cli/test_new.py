"""``firedoor new``: the project it writes loads, passes its check and its own tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest  # noqa: TC002 - beside its fixtures
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.cli.sample import PAGE, sample_lines


def new(folder: Path, name: str) -> tuple[int, str]:
    told = CliRunner().invoke(app, ["new", name, "--into", str(folder)])
    return told.exit_code, told.output


def test_a_new_project_passes_its_check_and_its_own_tests(tmp_path: Path) -> None:
    code, said = new(tmp_path, "parcels")
    assert (code, said.splitlines()[-1]) == (0, "  firedoor run pipeline.py")
    checked = CliRunner().invoke(app, ["check", str(tmp_path / "parcels" / "pipeline.py")])
    assert (checked.exit_code, checked.output.splitlines()[-1]) == (0, "no problems")
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "parcels", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout
    assert not list(tmp_path.glob(".parcels-*"))


def test_the_sample_has_200_rows_of_which_three_are_bad_as_its_page_says() -> None:
    rows = [json.loads(line) for line in sample_lines().splitlines()]
    assert len(rows) == len({row["parcel"] for row in rows}) == 200
    bad = [
        row for row in rows
        if row["weight_kg"] is None or row["weight_kg"] <= 0 or row["sent"] == "2026-03-32"
    ]  # fmt: skip
    assert len(bad) == 3
    assert "197 come out" in PAGE
    assert sample_lines() == sample_lines()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "parcels").mkdir()
    (tmp_path / "parcels" / "mine.txt").write_text("mine", encoding="utf-8")
    code, said = new(tmp_path, "parcels")
    assert code == 1
    assert "is there already; choose another name" in said
    assert [path.name for path in (tmp_path / "parcels").iterdir()] == ["mine.txt"]


def test_a_name_that_cannot_be_a_pipeline_is_refused(tmp_path: Path) -> None:
    for name in ("Parcels", "../up", "a b", ""):
        code, said = new(tmp_path, name)
        assert code == 1
        assert "use a small letter" in said
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_told(tmp_path: Path) -> None:
    code, said = new(tmp_path / "nowhere", "parcels")
    assert code == 1
    assert "cannot be written (No such file or directory); choose another place" in said


def test_a_project_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", fail)
    code, said = new(tmp_path, "parcels")
    assert code == 1
    assert "No space left on device" in said
    assert list(tmp_path.iterdir()) == []
