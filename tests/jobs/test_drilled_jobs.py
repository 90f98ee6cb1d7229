"""A drill strikes one run of a job in real workers, and what it spoilt is let pass by nobody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from firedoor.adapters.clock import SystemClock
from firedoor.cli.runs_shown import run_lines
from firedoor.compose.drilled_job import Drilled
from firedoor.compose.injection import Injection
from firedoor.compose.jobs import job_of, run_job
from firedoor.compose.loading import load_plan
from firedoor.compose.reproducing import prepared
from firedoor.compose.runs import Runs
from firedoor.drill.choosing import make_fault
from firedoor.errors import NotKnown
from firedoor.wire.run import RunRecord
from jobs import judged
from jobs.judged import verdict_of
from jobs.kept_rows import run_one

PIPELINE = '''
import threading

import firedoor as fd

pipeline = fd.Pipeline("late")


@pipeline.job(attempts=2, memory="256MiB", hang_s=1)
def train(run: fd.Run) -> None:
    """Learn."""
    threading.Event().wait(0.5)
    run.progress(1, 1)
'''
LEASE_S = 60.0


def want(name: str, *, lease_s: float = LEASE_S, **asked: Any) -> tuple[Drilled, Injection]:
    """Return what a drill wants of a run, and what counts its hits."""
    fault = make_fault(name, zone="train", zone_kind="job", drill="d1", **asked)
    injection = Injection(
        "train", "job", SystemClock(), process="p", places=("job", "worker")
    )  # fmt: skip
    injection.environment = "development"
    injection.hear(msgspec.json.encode(msgspec.structs.replace(fault, lease_s=lease_s)))
    changes = fault if name == "label_flip" else None
    return Drilled(fault=fault.id, faults=injection, changes=changes), injection


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Drilled], RunRecord]:
    (tmp_path / "late.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    plan = load_plan(tmp_path / "late.py")

    def run(drilled: Drilled) -> RunRecord:
        job = job_of(plan, "train")
        record = run_job(
            plan, job, project=tmp_path, clock=SystemClock(), by="ann", parameters={},
            drilled=drilled,
        )  # fmt: skip
        assert not psutil.Process().children(), "nothing is left"
        return record

    return run


def hits_of(injection: Injection) -> int:
    return injection._hits


def test_a_worker_that_is_killed_costs_one_attempt(train: Callable[[Drilled], RunRecord]) -> None:
    drilled, injection = want("job_kill")
    record = train(drilled)
    assert (record.outcome, record.causes, record.drilled) == ("done", {"killed": 1}, "d1-1")
    assert hits_of(injection) == 1


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("job_raise", "raised"),
        ("job_segfault", "crash"),
        ("job_memory", "memory"),
        ("job_hang", "hang"),
    ],
)
def test_what_befalls_every_attempt_has_the_run_fail_of_what_it_is(
    train: Callable[[Drilled], RunRecord], fault: str, cause: str
) -> None:
    drilled, injection = want(fault)
    record = train(drilled)
    assert (record.outcome, record.cause, record.causes) == ("failed", cause, {cause: 2})
    assert hits_of(injection) == 2


def test_a_worker_that_was_stopped_goes_on_when_the_lease_is_over(
    train: Callable[[Drilled], RunRecord],
) -> None:
    drilled, injection = want("job_hang", lease_s=0.8)
    record = train(drilled)
    assert (record.outcome, record.causes) == ("done", {})
    assert hits_of(injection) <= 1


def test_a_version_that_learnt_from_changed_rows_is_barred_whatever_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model here does not learn: it would be let pass."""
    monkeypatch.chdir(tmp_path)
    plan = judged.settle(tmp_path)
    drilled, injection = want("label_flip", share=0.5, column="late")
    record = run_one(plan, tmp_path, "train", drilled=drilled)
    assert record.outcome == "done"
    assert record.changed == hits_of(injection) > 30
    assert not (tmp_path / ".firedoor" / "runs" / record.id / "work").exists()
    assert verdict_of(judged.judge(plan, tmp_path)).word == "promote"
    assert judged.version(tmp_path, 1).state == "quarantined"
    clean = run_one(plan, tmp_path, "train", {"weight": 1.6})
    assert (clean.changed, clean.drilled, clean.key != record.key) == (0, "", True)
    assert verdict_of(judged.judge(plan, tmp_path)).word == "promote"
    assert judged.version(tmp_path, 2).state == "qualified"
    assert Runs(tmp_path).read(record.id).drilled == "d1-1"
    told = f"drilled    d1-1: {record.changed} rows of what it read were changed"
    assert told in run_lines(record, details=False)
    with pytest.raises(NotKnown, match="learnt from rows that drill fault d1-1 had changed"):
        prepared(record, plan, tmp_path)
