"""Where a run comes from: the code with what differs from its commit, and what it reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import polars as pl

from firedoor.compose.origins import code_of, libraries, machine
from firedoor.spec.plan import JobLimits, JobPlan
from firedoor.spec.referred import StepNote

STEP = StepNote(name="train", pickled=b"", main_path=None, main_module=None, where="")


def job_of() -> JobPlan:
    return JobPlan(name="train", owner="", version="v1", step=STEP, limits=JobLimits())


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_code_is_told_with_its_commit_and_what_differs_from_it(tmp_path: Path) -> None:
    file = tmp_path / "late.py"
    file.write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "late.py")
    git(tmp_path, "commit", "-q", "-m", "one")
    clean = code_of(job_of(), str(file))
    assert (clean.version, clean.commit) == ("v1", git(tmp_path, "rev-parse", "HEAD"))
    assert clean.diff == ""
    found = set()
    for text in ("a = 2\n", "a = 3\n", "a = 2\n"):
        file.write_text(text)
        found.add(code_of(job_of(), str(file)).diff)
    assert len(found) == 2
    assert all(len(diff) == 64 for diff in found)


def test_code_outside_of_a_repository_has_its_version_alone(tmp_path: Path) -> None:
    code = code_of(job_of(), str(tmp_path / "late.py"))
    assert (code.version, code.commit, code.diff) == ("v1", "", "")


def test_libraries_and_machine_are_told() -> None:
    assert libraries()["polars"] == pl.__version__
    assert machine().memory_bytes > 2**28
