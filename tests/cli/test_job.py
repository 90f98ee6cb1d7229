"""``firedoor job run`` and ``firedoor runs``: what is printed, refused, and how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.compose.loading import load_plan
from firedoor.compose.project import Project
from firedoor.spec.plan import encode_plan

JOBS = Path(__file__).parents[1] / "jobs" / "pipeline.py"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(JOBS, tmp_path / "pipeline.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    """Return what a command prints."""
    ended = CliRunner().invoke(app, arguments, env={"COLUMNS": "160"})
    assert ended.exit_code == code, ended.output + ended.stderr
    return ended.stderr if code == 2 else ended.output


def job(name: str, *more: str, code: int = 0) -> str:
    return run("job", "run", name, "--pipeline", "pipeline.py", *more, code=code)


def test_a_job_that_ends_well_is_told_in_a_few_lines() -> None:
    lines = job("good", "--param", "rounds=5", "--param", "loss=log 2", "--seed", "3").splitlines()
    assert lines[0] == "seed 3"
    assert lines[1].startswith("run        good-1: done in ")
    assert lines[2] == "progress   5 of 5 at fit"
    assert lines[4:6] == ["figures    auc 0.72", "model      late@1"]
    shown = run("runs", "good-1")
    assert "parameters rounds=5, rate=0.1, loss=log 2; seed 3\n" in shown
    assert "libraries  python=" in shown
    assert "metric      auc 0.72\n" in shown
    assert "late@1" in run("models", "show", "late@1")


def test_a_job_that_fails_ends_with_1_and_says_where() -> None:
    said = job("raises", code=1)
    assert "run        raises-1: failed (raised) in " in said
    assert "why        ValueError: no rows of class 1\n" in said
    assert "progress   1 of 4 at split\n" in said
    assert "said       last words\n" in said
    listed = run("runs", "--job", "raises")
    assert "raises-1  failed (raised)" in listed
    assert "no runs" in run("runs", "--job", "good")


def test_what_cannot_begin_ends_with_2_and_says_what_to_do() -> None:
    assert "there are good, counts" in job("best", code=2)
    assert "there are rounds, rate, loss" in job("good", "--param", "round=5", code=2)
    assert "write --param rounds=100" in job("good", "--param", "rounds", code=2)
    assert "give it once" in job("good", "--param", "rounds=1", "--param", "rounds=2", code=2)
    assert "no pipeline ran in" in run("job", "run", "good", code=2)
    assert "run the pipeline first" in job("counts", code=2)
    assert run("runs") == "no runs\n"
    assert "see `firedoor runs`" in CliRunner().invoke(app, ["runs", "good-1"]).stderr


def test_json_has_all_of_the_record() -> None:
    record = json.loads(job("crashes", "--json", code=1))
    assert (record["outcome"], record["cause"], len(record["attempts"])) == ("failed", "crash", 2)
    told = json.loads(run("runs", "crashes-1", "--json"))
    assert told["run"]["causes"] == {"crash": 2}
    assert [event["what"] for event in told["events"]].count("attempt") == 2
    assert [one["id"] for one in json.loads(run("runs", "--json"))] == ["crashes-1"]


def test_the_pipeline_that_ran_last_here_is_the_one_that_is_meant(project: Path) -> None:
    where = Project.at(project)
    where.create()
    where.plan_file.write_bytes(encode_plan(load_plan(project / "pipeline.py")))
    assert "good-1: done" in run("job", "run", "good")


def test_text_of_a_job_does_nothing_to_a_terminal(project: Path) -> None:
    file = project / "pipeline.py"
    file.write_text(file.read_text().replace('"last words"', r'"\x1b[2Jlast [bold]words[/]"'))
    said = job("raises", code=1)
    assert "\x1b" not in said
    assert "[bold]words[/]" in said


def test_a_pipeline_of_jobs_alone_is_checked_and_its_jobs_are_run(project: Path) -> None:
    (project / "only.py").write_text(
        "import firedoor as fd\n"
        "pipeline = fd.Pipeline('only')\n"
        "@pipeline.job()\n"
        "def train(run):\n    run.progress(1, 2)\n"
    )
    assert "train-1: done" in run("job", "run", "train", "--pipeline", "only.py")
    assert "no problems" in run("check", "only.py", "--fmea")
    assert "no zones: firedoor job run NAME (train)" in run("run", "only.py", code=2)
