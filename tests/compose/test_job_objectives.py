"""What jobs keep of their promises is what the records of their runs say, each run once."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from compose.test_runs import begin
from firedoor.compose.job_objectives import JobObjectives, say_jobs
from firedoor.compose.runs import RunFolder, Runs
from firedoor.drill.job_runs import JobSaid
from firedoor.events.objective import Objectives
from firedoor.spec.plan import JobLimits, JobPlan, Plan
from firedoor.spec.referred import StepNote
from firedoor.wire.run import RunRecord, decode_run

JOB = JobPlan(
    name="train", owner="o", version="v", limits=JobLimits(),
    step=StepNote(name="train", pickled=b"", main_path=None, main_module=None, where=""),
)  # fmt: skip
PLAN = Plan(pipeline="p", owner="o", file="p.py", sys_path=(), zones=(), edges=(), jobs=(JOB,))


@dataclass
class At:
    """A clock that stands."""

    now: float = 100.0

    def now_s(self) -> float:
        return self.now

    def utc_s(self) -> float:
        return self.now

    async def wait(self, seconds: float) -> None:
        self.now += seconds


def end(folder: RunFolder, outcome: str, *, began_s: float, ended_s: float) -> None:
    record = decode_run((folder.path / "record.json").read_bytes())
    told = {"outcome": outcome, "started_s": began_s, "ended_s": ended_s}
    changed: RunRecord = msgspec.structs.replace(record, **told)
    folder.write(changed, durable=False)


def test_runs_that_ended_are_counted_once_and_those_before_not(tmp_path: Path) -> None:
    runs, at = Runs(tmp_path), At()
    with ExitStack() as held:
        made = [begin(runs, held, key=f"k{number}") for number in range(5)]
        end(made[0], "done", began_s=10.0, ended_s=20.0)
        jobs = JobObjectives(tmp_path, "p", [JOB], at, process="here-1-jobs")
        jobs.look()
        (told,) = jobs.told()
        assert told.availability.units == 0, "it ended before anybody counted"
        end(made[1], "done", began_s=110.0, ended_s=150.0)
        end(made[2], "failed", began_s=110.0, ended_s=150.0)
        end(made[3], "cancelled", began_s=110.0, ended_s=150.0)
        jobs.look()
        jobs.look()
        (told,) = jobs.told()
        (lately,) = jobs.runs()
    assert [(run.run, run.outcome) for run in lately.runs] == [
        ("train-1", "done"), ("train-2", "done"), ("train-3", "failed"), ("train-4", "cancelled"),
        ("train-5", "running"),
    ]  # fmt: skip
    assert (told.zone, told.process) == ("train", "here-1-jobs")
    assert (told.availability.good, told.availability.own) == (1, 1)
    assert sum(told.latency_s.values()) == 1


def test_what_jobs_have_kept_is_said_each_second(tmp_path: Path) -> None:
    said: list[tuple[str, float]] = []
    at = At()

    class Enough(Exception):
        """It was said often enough."""

    class Streams:
        async def beat(self, key: str, value: bytes) -> None:
            if key == "runs.train":
                assert msgspec.json.decode(value, type=JobSaid) == JobSaid(job="train")
                return
            told = msgspec.json.decode(value, type=Objectives)
            assert key == f"objective.{told.zone}.{told.process}"
            said.append((told.zone, told.at_s))
            if len(said) == 3:
                raise Enough

    with pytest.raises(Enough):
        asyncio.run(say_jobs(Streams(), PLAN, tmp_path, at))
    assert said == [("train", 100.0), ("train", 101.0), ("train", 102.0)]
