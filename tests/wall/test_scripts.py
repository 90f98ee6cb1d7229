"""Steps that live in the script itself, as in every first try: with and without its guard."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import firedoor

STEP = """
import dataframely as dy
import polars as pl
import firedoor as fd

print("imported as", __name__)

class Positive(dy.Schema):
    number = dy.Int64(min=0)

def double(frame: pl.DataFrame) -> pl.DataFrame:
    if 3 in frame["number"]:
        raise ValueError("three")
    return frame.with_columns(doubled=pl.col("number") * 2)
"""
RUN = """
with fd.Wall(double, schema=Positive) as wall:
    good, dead = wall(pl.DataFrame({"number": [1, 2, 3, 4, -1]}))
    print(good["doubled"].to_list(), dead.reasons["code"].to_list())
"""
GUARDED = f'{STEP}\nif __name__ == "__main__":\n' + "".join(
    f"    {line}\n" for line in RUN.strip().splitlines()
)
SAID = "[2, 4, 8] ['exception', 'schema']\n"


def run(
    folder: Path, *arguments: str, typed: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments in a folder."""
    source = str(Path(firedoor.__file__).parents[1])
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_step_and_a_schema_of_the_script_itself_work_behind_its_guard(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(GUARDED, encoding="utf-8")
    ended = run(tmp_path, "job.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(SAID)
    assert "imported as __main__" in ended.stdout


def test_a_script_that_is_run_as_a_module_works_too(tmp_path: Path) -> None:
    package = tmp_path / "jobs"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "nightly.py").write_text(GUARDED, encoding="utf-8")
    ended = run(tmp_path, "-m", "jobs.nightly")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(SAID)


def test_a_script_without_its_guard_is_told_to_have_one(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(f"{STEP}\n{RUN}", encoding="utf-8")
    ended = run(tmp_path, "job.py")
    assert ended.returncode == 1
    last = ended.stderr.strip()
    assert "StepUnloadable: " in last
    assert "NestedWall: wall 'double' was called inside a worker" in last
    assert 'under if __name__ == "__main__":' in last


def test_a_script_that_makes_its_wall_at_the_top_and_calls_it_behind_the_guard_works(
    tmp_path: Path,
) -> None:
    body = (
        f"{STEP}\nwall = fd.Wall(double, schema=Positive)\n"
        'if __name__ == "__main__":\n'
        '    good, dead = wall(pl.DataFrame({"number": [1, 2, 3, 4, -1]}))\n'
        '    print(good["doubled"].to_list(), dead.reasons["code"].to_list())\n'
    )
    (tmp_path / "job.py").write_text(body, encoding="utf-8")
    ended = run(tmp_path, "job.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith(SAID)


def test_a_step_that_is_typed_into_a_prompt_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for ended in (run(tmp_path, "-c", STEP + RUN), run(tmp_path, "-", typed=STEP + RUN)):
        assert ended.returncode == 1
        assert "is typed into a prompt or notebook" in ended.stderr
        assert "put it into a module, or pass cloudpickle=True" in ended.stderr
