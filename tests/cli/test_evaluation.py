"""``firedoor job run`` of an evaluation: the verdict, its exit code, and where it stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs
from jobs import judged


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    judged.settle(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    """Return what a command prints."""
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "240"})
    assert ended.exit_code == code, ended.output + ended.stderr
    return ended.stderr if code == 2 else ended.output


def job(name: str, *more: str, code: int = 0) -> str:
    return run("job", "run", name, "--pipeline", "evaluated.py", *more, code=code)


def test_a_verdict_is_told_rule_by_rule_and_stays_with_the_version() -> None:
    job("train")
    said = job("evaluate")
    assert "verdict    promote late@1\n" in said
    assert 'kept       at_least("roc_auc", 0.65): roc_auc is 0.79' in said
    assert "on         1,200 rows, part test of delays-" in said
    assert "against    no champion\n" in said
    assert "  worst roc_auc by origin  JFK: 0.76" in said
    assert said.count("kept       ") == 6
    for shown in (run("runs", "evaluate-1"), run("models", "show", "late@1")):
        assert "verdict    promote late@1\n" in shown
        assert "calibration (rmsce)" in shown
    shown = run("models", "show", "late@1")
    assert "trained    train-1 on delays-" in shown
    assert "judged by  evaluate-1\n" in shown
    told = json.loads(run("models", "show", "late@1", "--json"))
    assert told["training"]["id"] == "train-1"
    assert told["verdict"]["judgement"]["word"] == "promote"


def test_the_command_ends_with_0_3_or_4_as_the_verdict_is(project: Path) -> None:
    judged.add(project)
    held = job("many", code=3)
    assert "verdict    hold late@1\n" in held
    assert "open       rows: there are 1,200 rows, and 10,000 are needed for a verdict\n" in held
    assert "note       it was added by hand" in held
    judged.add(project, how="nan")
    rejected = job("quick", code=4)
    assert "broken     values: 1 of 1,200 predictions are missing or not finite" in rejected
    told = json.loads(job("quick", "--version", "1", "--json"))
    assert (told["judges"], told["verdict"]["judgement"]["word"]) == ("late@1", "promote")
    assert "late@2: reject" in run("runs")


def test_an_evaluation_that_cannot_begin_ends_with_2_and_one_that_fails_with_1(
    project: Path,
) -> None:
    assert "holds no models" in job("evaluate", code=2)
    judged.add(project)
    assert "version 9 is not there" in job("evaluate", "--version", "9", code=2)
    assert "is no parameter of this job" in job("evaluate", "--param", "rounds=3", code=2)
    assert "is for evaluations" in job("train", "--version", "1", code=2)
    (project / "evaluated_model.py").unlink()
    assert "cannot be imported" in job("quick", code=3)
    files = Models(project).manifest("late@1").files
    kept = next((project / ".firedoor" / "models").rglob(f"*{files[0].sha256[2:]}*"))
    kept.chmod(0o600)
    kept.write_text("{}")
    assert "failed (tampered)" in job("quick", "--version", "1", code=1)


def test_two_versions_are_compared_by_what_evaluation_says_of_them(project: Path) -> None:
    judged.add(project)
    assert "evaluation" not in run("models", "compare", "late@1", "late@1")
    job("evaluate")
    judged.add(project, weight=1.3)
    job("evaluate")
    compared = run("models", "compare", "late@1", "late@2")
    assert "evaluation: verdict" in compared
    assert "evaluation: worst roc_auc by origin" in compared
    Runs(project).read("evaluate-1")
    record = project / ".firedoor" / "runs" / "evaluate-1" / "record.json"
    record.unlink()
    shown = run("models", "show", "late@1")
    assert "judged by  evaluate-1, whose record has gone\n" in shown
    assert "test.roc_auc" in shown
