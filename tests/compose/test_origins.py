"""Where a run comes from: the code with what differs from its commit, and what it reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

import polars as pl
import pytest

from firedoor.compose.origins import code_of, input_of, libraries, machine
from firedoor.errors import NotKnown
from firedoor.spec.plan import JobLimits, JobPlan, StepNote

STEP = StepNote(name="train", pickled=b"", main_path=None, main_module=None, where="")


def job_of(folder: Path | None = None) -> JobPlan:
    return JobPlan(
        name="train", owner="", version="v1", step=STEP, limits=JobLimits(),
        reads="" if folder is None else "store", folder=str(folder or ""),
    )  # fmt: skip


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


def test_the_listing_of_an_input_changes_with_its_files_and_with_nothing_else(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "store"
    for _ in range(2):
        with pytest.raises(NotKnown, match=r"has written nothing into .*store yet"):
            input_of(job_of(folder))
        folder.mkdir(exist_ok=True)
    frame = pl.DataFrame({"a": [1, 2]})
    frame.write_parquet(folder / "b-000000.parquet")
    one = input_of(job_of(folder))
    (folder / "notes.txt").write_text("no rows")
    assert input_of(job_of(folder)) == one
    assert one is not None
    assert (one.sink, one.files) == ("store", 1)
    assert one.bytes == (folder / "b-000000.parquet").stat().st_size
    frame.write_parquet(folder / "b-000001.parquet")
    two = input_of(job_of(folder))
    assert two is not None
    assert (two.files, two.listing != one.listing) == (2, True)
    assert input_of(job_of()) is None


def test_libraries_and_machine_are_told() -> None:
    assert libraries()["polars"] == pl.__version__
    assert machine().memory_bytes > 2**28
