"""``firedoor mlflow``, and what else speaks of MLflow, where it is not installed or asked for."""

from __future__ import annotations

import builtins
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from compose.tracked import Box, add_run
from firedoor.cli import mlflow
from firedoor.cli.main import app
from firedoor.errors import DependencyDown

JOBS = Path(__file__).parents[1] / "jobs" / "pipeline.py"
URI = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name.split(".", maxsplit=1)[0] in {"mlflow", "yaml"}:
            raise ImportError(f"No module named {name!r}", name=name)
        return real(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    for name in [name for name in sys.modules if name.split(".")[0] in {"mlflow", "yaml"}]:
        monkeypatch.delitem(sys.modules, name)


def run(*words: str, code: int = 0) -> str:
    ended = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    assert ended.exit_code == code, ended.output + repr(ended.exception)
    return ended.output


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    """A server in memory instead of MLflow's."""
    one = Box()
    monkeypatch.setattr(mlflow, "Server", lambda uri: uri)
    monkeypatch.setattr(mlflow, "MlflowTracking", lambda server, project: one)  # noqa: ARG005
    return one


@pytest.mark.usefixtures("no_mlflow")
def test_without_the_extra_a_mirror_says_what_to_install(project: Path) -> None:
    add_run(project, "train-1")
    said = run("mlflow", "mirror", "--uri", URI, "--name", "p", code=2)
    assert "needs MLflow, which is not here" in said
    assert "pip install 'firedoor[mlflow]'" in said


@pytest.mark.usefixtures("no_mlflow")
def test_without_the_extra_a_model_of_mlflow_is_refused_with_what_to_install(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (project / "saved").mkdir()
    (project / "saved" / "MLmodel").write_text("flavors: {}")
    said = run("models", "add", "late", "--from-mlflow", "saved", code=1)
    assert "pip install 'firedoor[mlflow]'" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "says no server"),
        (("--uri", "ftp://ann:pa55@x"), "is no address of a server"),
        (("--uri", URI, "--name", "a/b"), "cannot name experiments and models"),
    ],
)
def test_what_cannot_be_mirrored_to_is_refused(
    project: Path, words: tuple[str, ...], says: str
) -> None:
    add_run(project, "train-1")
    said = run("mlflow", "mirror", *words, code=2)
    assert says in said
    assert "pa55" not in said


def test_a_model_on_a_server_needs_an_address() -> None:
    said = run("models", "add", "late", "--from-mlflow", "models:/late/1", code=1)
    assert "is on a server, and none is named" in said


def test_the_command_tells_what_is_new_once_and_that_there_is_nothing_more(
    project: Path, box: Box
) -> None:
    add_run(project, "train-1")
    words = ("mlflow", "mirror", "--uri", URI, "--name", "p")
    assert run(*words) == "run train-1: done, 1 figure\n"
    assert run(*words) == f"{URI} has all of it\n"
    assert len(box.runs) == 1
    add_run(project, "train-2")
    assert json.loads(run(*words, "--json")) == {
        "said": ["run train-2: done, 1 figure"], "refused": {},
    }  # fmt: skip


def test_a_server_that_is_away_ends_the_command_with_3(project: Path, box: Box) -> None:
    add_run(project, "train-1")
    box.fails[1] = DependencyDown("the tracking server at x is away: refused")
    assert "is away: refused" in run("mlflow", "mirror", "--uri", URI, "--name", "p", code=3)


def test_a_job_ends_as_it_ended_whatever_becomes_of_its_mirror(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(JOBS, project / "pipeline.py")
    monkeypatch.setattr(mlflow, "AFTER_S", 0.001)
    job = ("job", "run", "--pipeline", "pipeline.py", "--mlflow", URI)
    said = run(*job, "good")
    assert "run        good-1: done" in said
    assert "warning: not all is mirrored: it took longer than 0 s" in said
    assert "`firedoor mlflow mirror` sends the rest" in said
    assert "run        raises-1: failed (raised)" in run(*job, "raises", code=1)


def test_a_job_does_not_begin_with_an_address_that_is_none(project: Path) -> None:
    shutil.copy(JOBS, project / "pipeline.py")
    words = ("--pipeline", "pipeline.py", "--mlflow", "mlruns")
    assert "is no address of a server" in run("job", "run", "good", *words, code=2)
    assert not (project / ".firedoor").exists()


def test_what_a_mirror_of_a_job_says_is_told_in_a_line_without_its_address_as_an_argument(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def ran(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        asked.append((command, more["env"]["MLFLOW_TRACKING_URI"]))
        return subprocess.CompletedProcess(command, 3, "", "firedoor: the server\nis away\n")

    monkeypatch.setattr(subprocess, "run", ran)
    mlflow.mirror_after("http://ann:pa55@x:1", project)
    ((command, uri),) = asked
    assert uri == "http://ann:pa55@x:1"
    assert not any("pa55" in word for word in command)
    assert capsys.readouterr().err == (
        "warning: not all is mirrored: the server is away; "
        "`firedoor mlflow mirror` sends the rest\n"
    )


def test_importing_firedoor_and_its_commands_imports_no_mlflow() -> None:
    asked = (
        "import sys, firedoor, firedoor.cli.job, firedoor.cli.models, firedoor.cli.mlflow\n"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", asked], check=True, timeout=60)
