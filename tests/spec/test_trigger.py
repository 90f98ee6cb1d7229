"""Triggers as declared: what is refused, with the remedy, and what a plan says of a good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import firedoor as fd
from firedoor.compose.planning import plan_of
from firedoor.errors import DeclarationError
from firedoor.flow.triggers import TriggerPlan
from firedoor.spec.plan import decode_plan, encode_plan


def train(run: object) -> None:
    """Train it."""


def check(run: object) -> None:
    """Look at it."""


def declared() -> tuple[fd.Pipeline, Any]:
    pipeline = fd.Pipeline("flights", owner="ops@example.com")
    rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
    store = pipeline.sink("store", fd.parquet("out/"), reads=rows)
    pipeline.job()(train)
    return pipeline, store


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [(90, 90), ("90s", 90), ("1.5h", 5_400), ("1 d", 86_400), ("1w", 604_800)],
)
def test_an_interval_is_seconds_or_a_number_with_a_unit(interval: Any, seconds: float) -> None:
    assert fd.every(interval).every_s == seconds


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: fd.every("daily"), 'for example "15min", "12h" or "1d"'),
        (lambda: fd.every("1m"), 'for example "15min"'),
        (lambda: fd.every(interval=True), 'for example "15min"'),
        (lambda: fd.every(0.5), "give 1 to 31,622,400 seconds"),
        (lambda: fd.every(float("nan")), "give 1 to"),
        (lambda: fd.every("400d"), "give 1 to"),
        (fd.on, "write fd.on(train)"),
        (lambda: fd.on("train", quiet_s=-1), "give 0 to 86,400 seconds"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused(make: Callable[[], object], remedy: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        make()
    assert remedy in str(refused.value)


@pytest.mark.parametrize(
    ("trigger", "says"),
    [
        ("1d", 'write trigger=fd.manual, fd.every("1d") or fd.on(...)'),
        (fd.on("trian"), "wait for one of: train, store"),
        (fd.on("rows"), "is no job and no sink that writes Parquet files"),
        (fd.on(check), "wait for one of: train, store"),
        (fd.on(train, "train"), "name it once"),
        (fd.on(7), "wait for one of"),  # type: ignore[arg-type]
    ],
)
def test_what_never_happens_is_refused(trigger: Any, says: str) -> None:
    pipeline, _ = declared()
    with pytest.raises(DeclarationError) as refused:
        pipeline.job(trigger=trigger)(check)
    assert says in str(refused.value)


def test_a_sink_of_another_pipeline_and_a_function_of_two_jobs_are_refused() -> None:
    pipeline, _ = declared()
    with pytest.raises(DeclarationError, match="is no job and no sink"):
        pipeline.job(trigger=fd.on(declared()[1]))
    pipeline.job(name="again")(train)
    with pytest.raises(DeclarationError, match="of several jobs: train, again; name the job"):
        pipeline.job(trigger=fd.on(train))
    pipeline.job(trigger=fd.on("again"))(check)


def test_a_plan_names_what_is_waited_for_and_comes_back_from_disk() -> None:
    pipeline, store = declared()
    pipeline.job(trigger=fd.on(train, store, quiet_s=3))(check)
    pipeline.job(trigger=fd.every("2h"), name="nightly")(check)
    plan = decode_plan(encode_plan(plan_of(pipeline, file=Path(__file__), sys_path=())))
    assert [job.trigger for job in plan.jobs] == [
        TriggerPlan(),
        TriggerPlan(kind="on", jobs=("train",), sinks=("store",), quiet_s=3.0),
        TriggerPlan(kind="every", every_s=7_200.0),
    ]
    assert [job.trigger.words for job in plan.jobs] == ["manual", "on train, store", "every 2h"]
