"""``firedoor reproduce``: the same again, bit for bit, or what is not, or why it cannot be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.compose.models import Models
from firedoor.compose.runs import Runs

PIPELINE = '''
import os
import random
from pathlib import Path

import polars as pl

import firedoor as fd

pipeline = fd.Pipeline("late")
rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
store = pipeline.sink("store", fd.parquet("out/"), reads=rows)


@pipeline.job(reads=store, parameters={"rounds": 3, "drift": False, "fail": False}, attempts=2)
def train(run: fd.Run, folder: Path) -> None:
    """Learn a little."""
    if run.parameters["fail"]:
        raise RuntimeError("no luck")
    chance = random.Random(run.seed)
    value = pl.read_parquet(folder / "*.parquet")["a"].sum() + chance.random()
    run.log_metric("sum", value)
    run.log_metric("luck", int.from_bytes(os.urandom(4)) if run.parameters["drift"] else 1)
    model = run.scratch / "model"
    model.mkdir()
    (model / "weights").write_text(str(value))
    (model / "noise").write_bytes(os.urandom(8) if run.parameters["drift"] else b"")
    run.save("late", model, inputs={"a": "Int64"})


@pipeline.job()
def report(run: fd.Run) -> None:
    """Look about."""
    run.log_metric("rows", 3)
'''


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "late.py").write_text(PIPELINE)
    (tmp_path / "out").mkdir()
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "out" / "rows-000001.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    """Return what a command prints."""
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert ended.exit_code == code, ended.output + ended.stderr
    return ended.stderr if code == 2 else ended.output


def train(*more: str, code: int = 0, job: str = "train") -> str:
    return run("job", "run", job, "--pipeline", "late.py", *more, code=code)


def edit(project: Path, before: str, after: str) -> None:
    text = (project / "late.py").read_text()
    assert before in text
    (project / "late.py").write_text(text.replace(before, after))


def test_a_run_again_is_identical_and_registers_nothing(project: Path) -> None:
    train("--seed", "7", "--param", "rounds=5")
    said = run("reproduce", "train-1").splitlines()
    assert said == [
        "run        train-2: done",
        "same       2 files bit for bit, 2 figures to the last digit",
        "repeats    train-1",
        "result     identical",
    ]
    record = Runs(project).read("train-2")
    assert (record.reproduces, record.seed, record.parameters["rounds"]) == ("train-1", 7, 5)
    assert (record.model, record.differences, record.outcome) == ("", (), "done")
    assert [version.run for version in Models(project).read("late").state.versions] == ["train-1"]
    shown = run("runs", "train-2")
    assert "repeats    train-1\nresult     identical\n" in shown
    told = json.loads(run("reproduce", "train-1", "--json"))
    assert (told["identical"], told["same"]) == (True, {"files": 2, "figures": 2})


def test_it_runs_on_what_the_run_read_and_not_on_what_is_there_now(project: Path) -> None:
    train()
    pl.DataFrame({"a": [100]}).write_parquet(project / "out" / "rows-000002.parquet")
    assert "result     identical" in run("reproduce", "train-1")
    shutil.rmtree(project / "out")
    assert "result     identical" in run("reproduce", "train-1")


def test_files_and_figures_that_differ_are_each_told_and_the_rest_counted(project: Path) -> None:
    train("--param", "drift=true")
    said = run("reproduce", "train-1", code=1)
    assert "same       1 file bit for bit, 1 figure to the last digit\n" in said
    assert "result     not the same\n" in said
    assert "differs    file noise: " in said
    assert "           figure luck: " in said
    assert "besides" not in said
    noise, luck = Runs(project).read("train-2").differences
    assert (noise.what, noise.name, len(noise.now)) == ("file", "noise", 64)
    assert luck.now.endswith(")"), "with the difference"


def test_other_code_is_run_and_told_and_alone_makes_no_difference(project: Path) -> None:
    train()
    edit(project, "Learn a little", "Learn a little more")
    said = run("reproduce", "train-1")
    assert "result     identical\n" in said
    assert "besides    code version: " in said
    edit(project, '"weights").write_text(str(value))', '"weights").write_text(str(value + 1))')
    assert "differs    file weights: " in run("reproduce", "train-1", code=1)


def test_a_model_that_is_said_to_be_another_or_is_not_made_is_told(project: Path) -> None:
    train()
    edit(project, 'inputs={"a": "Int64"}', 'inputs={"b": "Int64"}')
    assert "differs    model signature: " in run("reproduce", "train-1", code=1)
    edit(project, '    run.save("late", model, inputs={"b": "Int64"})\n', "")
    said = run("reproduce", "train-1", code=1)
    assert "model name: late, now -\n" in said
    assert "file weights: " in said


def test_a_parameter_that_was_declared_since_is_told_and_one_that_is_gone_refuses(
    project: Path,
) -> None:
    train()
    edit(project, '"rounds": 3, ', '"rounds": 3, "depth": 4, ')
    assert "parameter depth: -, now 4\n" in run("reproduce", "train-1")
    edit(project, '"rounds": 3, ', "")
    assert "'rounds': is no parameter of this job" in run("reproduce", "train-1", code=2)


def test_an_attempt_that_fails_on_the_way_is_told_and_a_job_that_fails_differs(
    project: Path,
) -> None:
    train()
    edit(project, 'if run.parameters["fail"]:', "if run.attempt == 1:")
    said = run("reproduce", "train-1")
    assert "way failed attempts: -, now raised 1\n" in said
    edit(project, "if run.attempt == 1:", "if True:")
    said = run("reproduce", "train-1", code=1)
    assert "train-3: failed (raised)" in said
    assert "differs    outcome: done, now failed\n" in said


def test_a_job_that_reads_nothing_and_makes_no_model_is_compared_by_its_figures() -> None:
    train(job="report")
    said = run("reproduce", "report-1")
    assert "same       0 files bit for bit, 1 figure to the last digit\n" in said


def test_what_cannot_be_run_again_ends_with_2_and_says_why(project: Path) -> None:
    train("--param", "fail=true", code=1)
    assert "train-1 did not end well (failed)" in run("reproduce", "train-1", code=2)
    assert "there is no run train-9" in run("reproduce", "train-9", code=2)
    train()
    run("reproduce", "train-2")
    assert "train-3 itself repeats train-2" in run("reproduce", "train-3", code=2)
    edit(project, "def train(run", "def teach(run")
    assert "has no job 'train': there are teach, report" in run("reproduce", "train-2", code=2)
    edit(project, "def teach(run", "def train(run")
    edit(project, "fd.parquet(", "fd.parquet(1")
    assert "late.py" in run("reproduce", "train-2", code=2)
    edit(project, "fd.parquet(1", "fd.parquet(")
    edit(project, "@pipeline.job(reads=store, ", "@pipeline.job(")
    edit(project, ", folder: Path)", ")")
    said = run("reproduce", "train-2", code=2)
    assert "job 'train' reads nothing now, and read store in train-2" in said
    (project / "late.py").unlink()
    assert "late.py" in run("reproduce", "train-2", code=2)
    assert len(Runs(project).every("train")) == 3


def test_a_snapshot_or_a_model_that_is_gone_or_changed_refuses(project: Path) -> None:
    train()
    (weights,) = (
        path
        for path in (project / ".firedoor" / "models").rglob("*")
        if path.is_file() and path.read_bytes().startswith(b"3.")
    )
    before = weights.read_bytes()
    weights.chmod(0o600)
    weights.write_bytes(before + b"1")
    assert "instead of" in run("reproduce", "train-1", code=2)
    weights.write_bytes(before)
    snapshot = project / ".firedoor" / "datasets" / Runs(project).read("train-1").input.snapshot  # type: ignore[union-attr]
    file = next(snapshot.joinpath("open").rglob("*.parquet"))
    data = bytearray(file.read_bytes())
    file.chmod(0o600)
    file.write_bytes(data[:-1] + b"?")
    assert "is not what was taken" in run("reproduce", "train-1", code=2)
    run("datasets", "forget", snapshot.name)
    assert f"there is no snapshot {snapshot.name}" in run("reproduce", "train-1", code=2)
    assert len(Runs(project).every()) == 1
