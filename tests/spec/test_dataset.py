"""Datasets as declared: what is refused, with the remedy, and what a plan says of a good one."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import firedoor as fd
from firedoor.compose.planning import plan_of
from firedoor.errors import DeclarationError
from firedoor.spec.dataset import leak_policy_of, leakage_told, policy_of, split_told
from firedoor.spec.plan import Plan, decode_plan, encode_plan
from firedoor.spec.reach import stem_of
from firedoor.spec.zone import Zone

JUNE = datetime(2013, 6, 1, tzinfo=UTC)
BY_TIME = fd.ByTime(column="at", until={"train": JUNE, "test": None})
BY_KEY = fd.ByKey(key=("tail",), shares={"train": 0.8, "test": 0.2}, salt="s")


def train(run: object, folder: Path) -> None:
    """Train it."""


def begun() -> tuple[fd.Pipeline, Zone, Zone]:
    pipeline = fd.Pipeline("flights", owner="ops@example.com")
    rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
    return pipeline, rows, pipeline.sink("store", fd.parquet("out/"), reads=rows)


def planned(pipeline: fd.Pipeline, tmp_path: Path) -> Plan:
    return plan_of(pipeline, file=tmp_path / "late.py", sys_path=())


@pytest.mark.parametrize(
    ("more", "field", "said"),
    [
        ({"split": "random"}, "split", "fd.ByKey(key="),
        ({"split": fd.ByTime(column="at", until={"Train!": JUNE, "b": None})}, "split", "letter"),
        ({"sealed": "test", "label": "late"}, "sealed", "is no list of parts"),
        ({"sealed": ["later"], "label": "late"}, "sealed", "name one of: train, test"),
        ({"sealed": ["test", "test"], "label": "late"}, "sealed", "name each once"),
        ({"sealed": ["train", "test"], "label": "late"}, "sealed", "leave one open"),
        ({"sealed": ["test"]}, "label", "name the column that models are to predict"),
        ({"sealed": ["test"], "label": 3}, "label", "is no name of a column"),
        ({"sealed": ["test"], "label": "at"}, "label", "split by another column"),
        ({"split": BY_KEY, "label": "tail"}, "label", "split by another column"),
        ({"leakage": {"key": "tail"}}, "leakage", "fd.LeakPolicy(key="),
        ({"memory": "1KiB"}, "memory", "give 64 MiB to"),
        ({"sealde": ["test"]}, "sealde", "write sealed="),
        ({"reads": "nowhere"}, "reads", "read one of: store"),
        ({"reads": "rows"}, "reads", "is no sink that writes Parquet files"),
        ({"name": "Delays"}, "dataset", "small letter"),
        ({"name": "store"}, "dataset", "is declared already"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(
    more: dict[str, Any], field: str, said: str
) -> None:
    pipeline, _, store = begun()
    given: dict[str, Any] = {"name": "delays", "reads": store, "split": BY_TIME, **more}
    with pytest.raises(DeclarationError) as refused:
        pipeline.dataset(given.pop("name"), **given)
    assert refused.value.field == field
    assert said in str(refused.value)
    assert pipeline.datasets == ()


def test_a_plan_says_all_of_a_dataset_and_gives_the_policies_back(tmp_path: Path) -> None:
    pipeline, _, store = begun()
    leakage = fd.LeakPolicy(key=("tail",), features=("distance",), near_share_max=0.2)
    one = pipeline.dataset(
        "delays", reads=store, split=BY_TIME, sealed=["test"], label="late", leakage=leakage
    )
    pipeline.dataset("tails", reads="store", split=BY_KEY)
    pipeline.job(reads=one)(train)
    pipeline.job(reads="tails", name="other")(train)
    pipeline.job(reads=store, name="whole")(train)
    plan = decode_plan(encode_plan(planned(pipeline, tmp_path)))
    delays, tails = plan.datasets
    assert (delays.sink, delays.sealed, delays.label) == ("store", ("test",), "late")
    assert delays.folder == str(pipeline.folder / "out")
    assert delays.split is not None
    assert tails.split is not None
    assert delays.leakage is not None
    assert policy_of(delays.split) == BY_TIME
    assert policy_of(tails.split) == BY_KEY
    assert leak_policy_of(delays.leakage) == leakage
    assert "train 2013-06-01T00:00:00+00:00, test from there on" in split_told(delays.split)
    assert split_told(tails.split) == "by key tail with salt s: train 0.8, test 0.2"
    assert leakage_told(delays.leakage).endswith("in distance, at most 20.00% of a part")
    jobs = {job.name: job for job in plan.jobs}
    assert [jobs[name].dataset for name in ("train", "other", "whole")] == ["delays", "tails", ""]
    assert {job.reads for job in plan.jobs} == {"store"}
    assert plan.read_by(jobs["train"]) == delays
    assert len({job.version for job in plan.jobs}) == 3


def test_one_instant_is_written_in_one_way() -> None:
    pipeline, _, store = begun()
    there = JUNE.astimezone(timezone(timedelta(hours=2)))
    split = fd.ByTime(column="at", until={"train": there, "test": None})
    moved = pipeline.dataset("moved", reads=store, split=split)
    assert moved.split == pipeline.dataset("same", reads=store, split=BY_TIME).split


def test_a_dataset_of_another_pipeline_cannot_be_read() -> None:
    pipeline, _, store = begun()
    other, _, its = begun()
    theirs = other.dataset("delays", reads=its, split=BY_TIME)
    with pytest.raises(DeclarationError, match="is a dataset of another pipeline"):
        pipeline.job(reads=theirs)
    pipeline.dataset("delays", reads=store, split=BY_TIME)
    with pytest.raises(DeclarationError, match="is a dataset of another pipeline"):
        pipeline.job(reads=theirs)


def sealed_job(pipeline: fd.Pipeline, store: Zone, **more: Any) -> None:
    """Declare a job that reads a dataset of which a part is sealed."""
    dataset = pipeline.dataset("d", reads=store, split=BY_TIME, sealed=["test"], label="late")
    pipeline.job(reads=dataset, **more)(train)


def test_a_job_with_a_sealed_part_has_no_network_that_leads_anywhere() -> None:
    pipeline, _, store = begun()
    with pytest.raises(DeclarationError, match=r"network=True: .* name the ports that it needs"):
        sealed_job(pipeline, store, network=True)
    pipeline, _, store = begun()
    sealed_job(pipeline, store, network=[5000])
    assert pipeline.jobs[0].limits.network == (5000,)


@pytest.mark.parametrize("path", ["data", "data/a.jsonl", "out", "out/x", ".", "copy"])
def test_a_job_with_a_sealed_part_may_not_read_what_holds_its_rows(
    tmp_path: Path, path: str
) -> None:
    pipeline, rows, store = begun()
    pipeline.folder = tmp_path
    pipeline.sink("copy", fd.parquet("copy"), reads=rows)
    for name in ("data", "out", "copy"):
        (tmp_path / name).mkdir()
    for name in ("data/a.jsonl", "out/x", "data/planes.csv"):
        (tmp_path / name).touch()
    sealed_job(pipeline, store, may_read=["data/planes.csv", path])
    with pytest.raises(DeclarationError, match=r"of job 'train' holds rows of a part that is"):
        planned(pipeline, tmp_path)


def test_other_files_beside_them_may_be_read_and_without_a_sealed_part_all_may(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "planes.csv").touch()
    pipeline, _, store = begun()
    pipeline.folder = tmp_path
    sealed_job(pipeline, store, may_read=["data/planes.csv"])
    assert planned(pipeline, tmp_path).jobs[0].limits.may_read
    pipeline, _, store = begun()
    pipeline.folder = tmp_path
    pipeline.job(reads=store, may_read=["data"])(train)
    assert planned(pipeline, tmp_path).jobs[0].limits.may_read


def test_a_sink_that_writes_among_the_code_cannot_be_sealed(tmp_path: Path) -> None:
    pipeline = fd.Pipeline("flights")
    pipeline.folder = tmp_path
    rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
    sealed_job(pipeline, pipeline.sink("store", fd.parquet("."), reads=rows))
    with pytest.raises(DeclarationError, match="have the sink write to a folder of its own"):
        planned(pipeline, tmp_path)


@pytest.mark.parametrize(
    ("pattern", "stem", "whole"),
    [
        ("/p/data/*.jsonl", "/p/data", False),
        ("/p/data/x.jsonl", "/p/data/x.jsonl", True),
        ("/p/**/x.jsonl", "/p", False),
        ("/p[[]1]/out", "/p[1]/out", True),
        ("/p[[]1]/a?", "/p[1]", False),
        ("/p[12]/out", "/", False),
    ],
)
def test_the_folder_of_a_pattern_is_what_lies_before_its_glob(
    pattern: str, stem: str, *, whole: bool
) -> None:
    assert stem_of(pattern) == (stem, whole)


def test_declaring_a_dataset_imports_no_numpy() -> None:
    script = """
import sys
import firedoor as fd
pipeline = fd.Pipeline("late")
rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
store = pipeline.sink("store", fd.parquet("out/"), reads=rows)
split = fd.ByKey(key=("tail",), shares={"a": 0.5, "b": 0.5})
pipeline.dataset("d", reads=store, split=split, leakage=fd.LeakPolicy(key=("tail",)))
assert "numpy" not in sys.modules
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
