"""Jobs as declared: what is refused, with the remedy, and what a plan says of a good one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import firedoor as fd
from firedoor.compose.planning import plan_of
from firedoor.errors import DeclarationError
from firedoor.spec.plan import decode_plan, encode_plan
from firedoor.spec.zone import Zone


def train(run: object) -> None:
    """Train it.

    Slowly.
    """


def fit(run: object, folder: Path) -> None:
    """Fit it."""


async def later(run: object) -> None:
    """Not yet."""


def steps(run: object) -> Iterator[object]:
    yield run


def begun() -> tuple[fd.Pipeline, Zone, Zone]:
    pipeline = fd.Pipeline("flights", owner="ops@example.com")
    rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
    return pipeline, rows, pipeline.sink("store", fd.parquet("out/"), reads=rows)


@pytest.mark.parametrize(
    ("more", "field", "remedy"),
    [
        ({"memory": "lots"}, "memory", "MiB"),
        ({"disk": "1B"}, "disk", "give 1 MiB to"),
        ({"timeout_s": 0}, "timeout_s", "give 0.1 to 2,592,000 seconds"),
        ({"timeout_s": math.nan}, "timeout_s", "give 0.1 to"),
        ({"cpu_s": 0.5}, "cpu_s", "give 1 to"),
        ({"hang_s": 60, "timeout_s": 10}, "hang_s", "give less, or None"),
        ({"attempts": 0}, "attempts", "give 1 to 10 attempts"),
        ({"attempts": True}, "attempts", "give 1 to 10 attempts"),
        ({"network": "yes"}, "network", "give True, False, or"),
        ({"may_read": ["nowhere"]}, "may_read", "create it first"),
        ({"env": "HOME"}, "env", 'write env=["NAME"]'),
        ({"processes_max": 0}, "processes_max", "give 1 to 4,096"),
        ({"owner": "a\nb"}, "owner", "give one line"),
        ({"name": "Train"}, "name", "small letter"),
        ({"name": "store"}, "job", "name of its own"),
        ({"trigger": "daily"}, "trigger", "write trigger=fd.manual"),
        ({"reads": "rows"}, "reads", "read one of: store"),
        ({"reads": "stores"}, "reads", "read one of: store"),
        ({"memroy": 1}, "memroy", "write memory="),
        ({"parameters": ["a"]}, "parameters", "write parameters="),
        ({"parameters": {"a b": 1}}, "parameters", "write parameters="),
        ({"parameters": {"a": math.inf}}, "parameters", "write parameters="),
        ({"parameters": {"a": [1]}}, "parameters", "write parameters="),
        ({"parameters": {"a": "x" * 1001}}, "parameters", "put it into a file"),
        ({"parameters": {"a": 2**63}}, "parameters", "give it as text"),
    ],
)
def test_a_job_that_cannot_work_is_refused_with_a_remedy(
    more: dict[str, Any], field: str, remedy: str
) -> None:
    pipeline, _, _ = begun()
    with pytest.raises(DeclarationError) as caught:
        pipeline.job(**more)(fit if "reads" in more else train)
    assert caught.value.field == field
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("step", "reads", "said"),
    [
        (fit, None, "write def fit(run)"),
        (train, "store", "write def train(run, folder)"),
        (later, None, "write a plain function: def later(run)"),
        (steps, None, "write a plain function: def steps(run)"),
        (3, None, "is not a function"),
        (Path, None, "is not a function"),
    ],
)
def test_a_function_that_cannot_be_called_with_a_run_is_refused(
    step: Any, reads: str | None, said: str
) -> None:
    pipeline, _, _ = begun()
    with pytest.raises(DeclarationError) as caught:
        pipeline.job(reads=reads, name="train")(step)
    assert said in str(caught.value)


def test_two_jobs_or_a_zone_and_a_job_have_not_the_same_name() -> None:
    pipeline, rows, _ = begun()
    pipeline.job()(train)
    with pytest.raises(DeclarationError, match="declared already"):
        pipeline.job()(train)
    with pytest.raises(DeclarationError, match="declared already"):
        pipeline.sink("train", fd.parquet("other/"), reads=rows)
    pipeline.freeze()
    with pytest.raises(DeclarationError, match="was frozen"):
        pipeline.job(name="another")(train)


def test_a_plan_says_what_a_job_may_and_its_edges_stay_as_they_were(tmp_path: Path) -> None:
    bare, _, _ = begun()
    pipeline, _, store = begun()
    made = pipeline.job(
        reads=store, memory="512MiB", timeout_s=60, cpu_s=10.2, attempts=3, parameters={"a": 1},
        may_read=[tmp_path], network=[5432],
    )(fit)  # fmt: skip
    assert made is fit
    assert [job.name for job in pipeline.jobs] == ["fit"]
    plan = plan_of(pipeline, file=Path(__file__), sys_path=())
    assert decode_plan(encode_plan(plan)) == plan
    before = plan_of(bare, file=Path(__file__), sys_path=())
    assert (plan.edges, [zone.name for zone in plan.zones]) == (before.edges, ["rows", "store"])
    job = plan.job("fit")
    assert (job.owner, job.doc, job.reads) == ("ops@example.com", "Fit it.", "store")
    assert job.folder.endswith("/out")
    limits = job.limits
    assert (limits.memory_bytes, limits.cpu_s, limits.hang_s) == (512 * 2**20, 11, 60)
    assert (limits.network, limits.may_read) == ((5432,), (str(tmp_path),))
    with pytest.raises(KeyError):
        plan.job("store")


def test_a_job_may_use_no_network_and_is_tried_once_where_nothing_is_said() -> None:
    pipeline, _, _ = begun()
    pipeline.job()(train)
    limits = pipeline.jobs[0].limits
    assert (limits.network, limits.attempts, limits.hang_s) == (False, 1, 600)


def test_the_version_of_a_job_is_that_of_its_code_and_options() -> None:
    versions = set()
    for more in ({}, {"attempts": 2}, {"parameters": {"a": 1}}, {"parameters": {"a": 1}}):
        pipeline, _, _ = begun()
        pipeline.job(**more)(train)
        plan = plan_of(pipeline, file=Path(__file__), sys_path=())
        versions.add(plan.job("train").version)
    assert len(versions) == 3


def test_less_memory_than_a_worker_needs_is_refused() -> None:
    pipeline, _, _ = begun()
    pipeline.job(memory="10MiB")(train)
    with pytest.raises(DeclarationError, match="job 'train' is less than a worker needs"):
        plan_of(pipeline, file=Path(__file__), sys_path=())
