"""Lookups are read apart from the supervisor, by version, and a failed refresh changes nothing."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import polars as pl
import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.compose import lookup_reader
from firedoor.compose.lookups import KEPT_MIN, KEPT_S, Lookups
from firedoor.compose.project import Project
from firedoor.errors import FrameRefused
from firedoor.spec.plan import LookupPlan, Plan

PIPELINE = """
import os
import polars as pl
import firedoor as fd

def table():
    print("a step may print")
    return pl.DataFrame({"code": ["a", "b"], "rate": [1.0, 2.0]})

def broken():
    raise RuntimeError("the store is away")

def crashes():
    os.kill(os.getpid(), 11)

def hangs():
    import time
    time.sleep(60)

pipeline = fd.Pipeline("p", owner="me")
source = pipeline.source("s", fd.jsonl("*.jsonl"))
names = (table, broken, crashes, hangs)
joined = {make.__name__: fd.lookup(make.__name__, make, key=["code"]) for make in names}

@pipeline.transform(reads=source, lookups=joined)
def join(frame: pl.DataFrame, table, broken, crashes, hangs) -> pl.DataFrame:
    return frame

pipeline.sink("out", fd.parquet("out/"), reads=join)
"""


class Told:
    """A run's lookups, with what it tells."""

    def __init__(self, tmp_path: Path, *lookups: LookupPlan, limit_s: float = 30.0) -> None:
        file = tmp_path / "pipeline.py"
        file.write_text(PIPELINE)
        plan = Plan(
            pipeline="p", owner="me", file=str(file), sys_path=(), zones=(), edges=(),
            lookups=lookups,
        )  # fmt: skip
        self.project = Project.at(tmp_path)
        self.project.create()
        self.lines: list[str] = []
        self.lookups = Lookups(
            project=self.project, plan=plan, clock=SystemClock(), tell=self.lines.append,
            limit_s=limit_s,
        )  # fmt: skip

    def snapshot(self) -> dict[str, str]:
        asyncio.run(self.lookups.snapshot())
        return self.lookups.current()

    def table(self, name: str) -> pl.DataFrame:
        version = self.lookups.current()[name]
        return pl.read_parquet(self.project.lookups / name / f"{version}.parquet")


def test_files_of_each_kind_and_a_function_become_versions(tmp_path: Path) -> None:
    frame = pl.DataFrame({"code": ["a", "b"], "rate": [1, 2]})
    frame.write_parquet(tmp_path / "one.parquet")
    frame.write_csv(tmp_path / "two.csv")
    frame.write_ipc(tmp_path / "three.arrow")
    told = Told(
        tmp_path,
        LookupPlan(name="one", path=str(tmp_path / "one.parquet"), key=("code",)),
        LookupPlan(name="two", path=str(tmp_path / "two.csv")),
        LookupPlan(name="three", path=str(tmp_path / "three.arrow")),
        LookupPlan(name="table", key=("code",)),
    )
    first = told.snapshot()
    assert set(first) == {"one", "two", "three", "table"}
    for name in ("one", "two", "three"):
        assert told.table(name).equals(frame)
    assert told.table("table").height == 2
    assert told.snapshot() == first, "the same content is the same version"
    assert told.lines == []


def test_a_key_that_is_there_twice_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "weather.csv"
    path.write_text("origin,hour,temp\nEWR,1,3.0\nEWR,1,4.0\nJFK,1,5.0\n")
    told = Told(tmp_path, LookupPlan(name="weather", path=str(path), key=("origin", "hour")))
    with pytest.raises(FrameRefused) as caught:
        told.snapshot()
    message = str(caught.value)
    assert "1 keys are there more than once (origin=EWR, hour=1)" in message
    assert "frame.unique(['origin', 'hour'], keep='first', maintain_order=True)" in message


def test_what_cannot_be_joined_to_is_refused() -> None:
    frame = pl.DataFrame({"code": [1]})
    with pytest.raises(FrameRefused, match="did you mean 'code'"):
        lookup_reader.check(frame, LookupPlan(name="x", key=("cod",)))
    with pytest.raises(FrameRefused, match="no columns"):
        lookup_reader.check(pl.DataFrame(), LookupPlan(name="x"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("broken", "its function fails: RuntimeError: the store is away"),
        ("crashes", "crashed the process by SIGSEGV"),
        ("hangs", "did not end within 3 s"),
    ],
)
def test_a_function_that_fails_costs_its_lookup(tmp_path: Path, name: str, said: str) -> None:
    told = Told(tmp_path, LookupPlan(name=name), LookupPlan(name="table"), limit_s=3.0)
    with pytest.raises(FrameRefused) as caught:
        told.snapshot()
    assert said in str(caught.value)
    assert set(told.lookups.current()) == {"table"}


def test_a_refresh_that_fails_leaves_the_last_good_version_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    path.write_text("code,rate\na,1\n")
    told = Told(tmp_path, LookupPlan(name="one", path=str(path), key=("code",)))
    first = told.snapshot()
    path.unlink()
    assert told.snapshot() == first
    assert "is not there" in told.lookups.failures["one"]
    assert f"version {first['one']} stays in force" in told.lines[-1]
    path.write_text("code,rate\na,2\n")
    assert told.snapshot() != first
    assert told.lookups.failures == {}
    assert "can be read again" in told.lines[-1]


def test_old_versions_go_but_for_the_latest(tmp_path: Path) -> None:
    path = tmp_path / "one.csv"
    told = Told(tmp_path, LookupPlan(name="one", path=str(path)))
    folder = told.project.lookups / "one"
    versions = []
    for number in range(KEPT_MIN + 1):
        path.write_text(f"code\n{number}\n")
        versions.append(told.snapshot()["one"])
        for file in folder.glob("*.parquet"):
            then = file.stat().st_mtime - KEPT_S - 1
            os.utime(file, (then, then))
    path.write_text("code\nlast\n")
    versions.append(told.snapshot()["one"])
    kept = {file.stem for file in folder.glob("*.parquet")}
    assert kept == set(versions[-KEPT_MIN:])
