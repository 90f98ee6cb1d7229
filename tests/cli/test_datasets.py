"""``firedoor datasets``: what is printed, refused, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.main import app
from firedoor.compose.datasets import Datasets
from jobs.kept_rows import SUMMER, frame_of, settle, write


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    settle(tmp_path)
    return tmp_path


def run(*arguments: str, code: int = 0) -> str:
    """Return what a command prints."""
    ended = CliRunner().invoke(app, ["datasets", *arguments], env={"COLUMNS": "200"})
    assert ended.exit_code == code, ended.output + ended.stderr
    return ended.stderr if code else ended.output


def take(name: str = "delays", *more: str, code: int = 0) -> str:
    return run("take", name, "--pipeline", "parted.py", *more, code=code)


def test_a_snapshot_is_taken_listed_shown_verified_and_forgotten() -> None:
    assert run("list") == "no snapshots\n"
    lines = take().splitlines()
    assert lines[0].startswith("snapshot   delays-")
    name = lines[0].split()[1].rstrip(",")
    assert lines[1] == "rows       60 of sink store of late"
    assert lines[2].startswith("part       train: 40 rows, ")
    assert ", sealed, at 2013-07-01T01:40:00+00:00 to " in lines[3]
    assert "leaks      keys flight" in lines
    assert "from       2 files: 2 batches, rows-000001 to rows-000002" in lines
    assert run("show", name).splitlines() == lines
    assert json.loads(run("show", name, "--json"))["id"] == name
    listed = run("list")
    assert f"{name}" in listed
    assert "train 40, test 20 (sealed)" in listed
    assert [one["name"] for one in json.loads(run("list", "delays", "--json"))] == ["delays"]
    assert "60 rows" in run("verify", name)
    assert json.loads(run("verify", "--json")) == {name: ""}
    assert run("forget", name) == f"{name}: forgotten\n"
    assert run("list") == "no snapshots\n"


def test_what_is_not_compared_and_what_is_not_parted_is_said() -> None:
    assert "leaks      nothing was compared: declare leakage=" in take("tails")
    whole = take("store")
    assert "part       all: 60 rows" in whole
    assert "parted     not: as the sink wrote them" in whole


def test_parts_that_leak_end_with_2_and_leave_nothing(place: Path) -> None:
    write(place, 3, frame_of(7, 1, SUMMER))
    said = take(code=2)
    assert "firedoor: no snapshot of delays: parts share what they must not; split by" in said
    assert "row 0 of rows-000003.parquet as row 7 of rows-000001.parquet" in said
    assert run("list") == "no snapshots\n"
    ran = CliRunner().invoke(app, ["job", "run", "counts", "--pipeline", "parted.py"])
    assert (ran.exit_code, "parts share" in ran.stderr) == (2, True)


def test_what_was_changed_ends_with_1_and_the_others_are_told(place: Path) -> None:
    take()
    take("tails")
    kept = Datasets(place)
    bad, good = kept.every("delays")[0].id, kept.every("tails")[0].id
    rows = kept.folder(bad) / "open" / "train" / "rows.parquet"
    rows.chmod(0o600)
    rows.write_bytes(b"")
    assert "open/train/rows.parquet is not what was taken" in run("verify", code=1)
    ended = CliRunner().invoke(app, ["datasets", "verify", "--json"])
    told = json.loads(ended.stdout)
    assert (set(told), told[good], ended.exit_code) == ({good, bad}, "", 1)


def test_what_is_not_there_is_named_with_what_is() -> None:
    assert "there are delays, tails, store, copy" in take("flights", code=2)
    assert "see `firedoor datasets`" in run("show", "delays-0123456789abcdef", code=1)
    assert "write it like delays-0123456789abcdef" in run("verify", "delays", code=1)
