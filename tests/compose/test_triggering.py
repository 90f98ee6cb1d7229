"""Jobs run when their triggers ask, in simulated time, from nothing but records of runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec
import polars as pl
import pytest

from firedoor.compose.project import Project
from firedoor.compose.runs import Runs
from firedoor.compose.triggering import HOLD_S, Lookout, Watcher, watching
from firedoor.errors import FiredoorError, NotKnown, PipelineUnloadable, ProjectBusy
from firedoor.flow.triggers import Because, TriggerPlan
from firedoor.spec.plan import JobLimits, JobPlan, Plan, SinkPlan, ZonePlan
from firedoor.spec.referred import StepNote
from firedoor.testing.loop import EPOCH_S, VirtualClock, run
from firedoor.wire.run import Code, RunOutcome, RunRecord

STEP = StepNote(name="f", pickled=b"", main_path=None, main_module=None, where="f.py:1")
HOUR_S = 3_600.0
EVERY_HOUR = TriggerPlan(kind="every", every_s=HOUR_S)


class World:
    """A project whose jobs are run by a stand-in that writes their records."""

    def __init__(self, folder: Path, **triggers: TriggerPlan) -> None:
        self.folder = folder
        self.clock = VirtualClock()
        self.told: list[str] = []
        self.began: list[tuple[str, float]] = []
        """Runs, with the hours after which they began."""
        self.outcomes: dict[str, RunOutcome] = {}
        self.refusal: FiredoorError | None = None
        self.at: Callable[[], None] = lambda: None
        self.hours = 3.5
        self.triggers = triggers
        self.unloadable = False
        self.pipeline = "shop"
        self.faults: dict[str, str] = {}
        """What drills want of jobs."""

    def load(self) -> Plan:
        if self.unloadable:
            message = "shop.py: no such thing"
            raise PipelineUnloadable(message)
        sink = ZonePlan(
            name="store", kind="sink", owner="", version="v",
            sink=SinkPlan(form="parquet", path=str(self.folder / "out")),
        )  # fmt: skip
        jobs = tuple(
            JobPlan(name=name, owner="", version="v", step=STEP, limits=JobLimits(), trigger=one)
            for name, one in self.triggers.items()
        )
        return Plan(
            pipeline=self.pipeline, owner="", file="shop.py", sys_path=(), zones=(sink,), edges=(),
            jobs=jobs,
        )  # fmt: skip

    def run(self, plan: Plan, job: JobPlan, because: Because | None) -> RunRecord:
        if self.refusal is not None:
            self.began.append((f"{job.name} refused", self.hour()))
            raise self.refusal
        looked = Lookout(self.folder, self.clock)._sinks(plan, job)
        now_s = self.clock.utc_s()

        def make(name: str, resumes: str) -> RunRecord:
            return RunRecord(
                id=name, job=job.name, pipeline=plan.pipeline, file="", by="", key=name,
                because=because, drilled=self.faults.get(job.name, ""), code=Code(version=""),
                parameters={}, seed=0, started_s=now_s, resumes=resumes,
                seen={name: files.listing for name, files in looked.items()},
            )  # fmt: skip

        with Runs(self.folder).begin(job.name, "", make, fresh=True) as (folder, begun):
            outcome = self.outcomes.get(job.name, "done")
            record = msgspec.structs.replace(begun, outcome=outcome, ended_s=now_s)
            folder.write(record)
        self.began.append((record.id, self.hour()))
        self.at()
        return record

    def hour(self) -> float:
        return round((self.clock.utc_s() - EPOCH_S) / HOUR_S, 2)

    def by_hand(self, name: str) -> None:
        plan = self.load()
        self.run(plan, plan.job(name), None)

    def store(self, name: str, *, at_s: float) -> None:
        """Write a file of the sink, at a time of the world."""
        folder = self.folder / "out"
        folder.mkdir(exist_ok=True)
        pl.DataFrame({"a": [len(name)]}).write_parquet(folder / name)
        for path in (folder / name, folder):
            os.utime(path, (EPOCH_S + at_s, EPOCH_S + at_s))

    def watcher(self) -> Watcher:
        return Watcher(
            lookout=Lookout(self.folder, self.clock), clock=self.clock, tell=self.told.append,
            load=self.load, run=self.run, asked=lambda: self.hour() > self.hours,
            wanted=lambda job: self.faults.get(job, ""),
        )  # fmt: skip

    def watch(self) -> list[tuple[str, float]]:
        """Watch until it is over, and return what began when."""

        async def main() -> None:
            await self.watcher().watch()

        run(main())
        return self.began


def on(*jobs: str, sinks: tuple[str, ...] = ()) -> TriggerPlan:
    return TriggerPlan(kind="on", jobs=jobs, sinks=sinks)


def test_a_job_runs_each_hour_and_one_that_fails_waits_the_hour_and_ends_nothing(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, train=EVERY_HOUR)
    world.outcomes["train"] = "failed"
    assert world.watch() == [(f"train-{n + 1}", float(n)) for n in range(4)]
    assert world.told[0] == "train: every 1h"


def test_a_watcher_that_is_started_again_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    world = World(tmp_path, train=EVERY_HOUR, check=on("train"))
    world.hours = 2.5
    world.watch()
    told = list(world.began)
    assert [name for name, _ in told] == [
        "train-1", "check-1", "train-2", "check-2", "train-3", "check-3",
    ]  # fmt: skip

    async def later() -> None:
        await world.clock.wait(2.6 * HOUR_S)
        world.hours = 3.2
        await world.watcher().watch()

    run(later())
    assert world.began[len(told) :] == [("train-4", 3.0), ("check-4", 3.0)]


def test_jobs_follow_each_other_and_none_is_answered_twice(tmp_path: Path) -> None:
    world = World(tmp_path, train=EVERY_HOUR, check=on("train"), report=on("check"))
    world.hours = 1.5
    names = [name for name, _ in world.watch()]
    assert names == ["train-1", "check-1", "report-1", "train-2", "check-2", "report-2"]
    record = Runs(tmp_path).read("check-2")
    assert record.because is not None
    assert record.because.runs == ("train-2",)


def test_runs_by_hand_are_answered_as_well_and_several_by_one(tmp_path: Path) -> None:
    world = World(tmp_path, train=TriggerPlan(), check=on("train"))
    world.hours = 0.1

    async def main() -> None:
        for _ in range(3):
            world.by_hand("train")
        world.outcomes["train"] = "failed"
        world.by_hand("train")
        await world.watcher().watch()

    run(main())
    assert [name for name, _ in world.began][4:] == ["check-1"]
    record = Runs(tmp_path).read("check-1")
    assert record.because is not None
    assert record.because.runs == ("train-1", "train-2", "train-3")
    assert world.told == ["check: train-3 ended well, and stands for train-1, train-2 as well"]


def test_a_run_that_repeats_another_is_no_news(tmp_path: Path) -> None:
    world = World(tmp_path, train=TriggerPlan(), check=on("train"))
    world.hours = 0.1

    async def main() -> None:
        world.by_hand("train")
        path = tmp_path / ".firedoor" / "runs" / "train-1" / "record.json"
        record = msgspec.json.decode(path.read_bytes())
        path.write_bytes(msgspec.json.encode({**record, "reproduces": "train-0"}))
        await world.watcher().watch()

    run(main())
    assert len(world.began) == 1


def test_a_job_of_that_name_in_another_pipeline_is_another_job(tmp_path: Path) -> None:
    world = World(tmp_path, train=EVERY_HOUR, check=on("train"))
    world.hours = 0.1

    async def main() -> None:
        world.pipeline = "other"
        world.by_hand("train")
        world.pipeline = "shop"
        await world.watcher().watch()

    run(main())
    assert [name for name, _ in world.began] == ["train-1", "train-2", "check-1"]
    assert world.told[1] == "check: train-2 ended well"


def test_changed_files_are_waited_for_until_they_are_quiet(tmp_path: Path) -> None:
    world = World(tmp_path, train=on(sinks=("store",)))
    world.hours = 0.05
    project = Project.at(tmp_path)
    project.create()
    world.store("a.parquet", at_s=-100.0)
    begun: list[float] = []
    world.at = lambda: begun.append(world.clock.now_s())

    async def write() -> None:
        for at_s in (60.0, 65.0):
            await world.clock.wait(at_s - world.clock.now_s())
            world.store(f"b{at_s:.0f}.parquet", at_s=at_s)

    async def main() -> None:
        await asyncio.gather(world.watcher().watch(), write())

    with project.running():  # the pipeline is at work
        run(main())
    assert [round(one) for one in begun] == [0, 75], "10 s after the latest change"


def test_when_the_pipeline_has_ended_changed_files_are_not_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, train=on(sinks=("store",)))
    world.store("a.parquet", at_s=0.0)

    async def main() -> bool:
        return world.watcher().once()

    assert run(main())
    assert [name for name, _ in world.began] == ["train-1"]
    assert run(main())
    assert len(world.began) == 1


def test_files_from_the_future_are_quiet_once_they_were_seen_for_so_long(tmp_path: Path) -> None:
    world = World(tmp_path, train=on(sinks=("store",)))
    world.hours = 0.05
    Project.at(tmp_path).create()
    world.store("a.parquet", at_s=1e9)
    with Project.at(tmp_path).running():
        world.watch()
    assert [name for name, _ in world.began] == ["train-1"]


def test_what_cannot_begin_is_told_once_and_tried_again_after_its_interval(tmp_path: Path) -> None:
    world = World(tmp_path, train=EVERY_HOUR, check=on("train"))
    world.hours = 2.5
    world.refusal = NotKnown("nothing was written yet")
    assert world.watch() == [("train refused", 0.0), ("train refused", 1.0), ("train refused", 2.0)]
    assert [line for line in world.told if "cannot begin" in line] == [
        "train: cannot begin: nothing was written yet; it is tried again later"
    ]


def test_a_job_that_cannot_begin_on_an_event_is_tried_seldomer_each_time(tmp_path: Path) -> None:
    world = World(tmp_path, train=TriggerPlan(), check=on("train"))
    world.hours = 0.5

    async def main() -> None:
        world.by_hand("train")
        world.refusal = NotKnown("nothing to evaluate")
        await world.watcher().watch()

    run(main())
    assert [round(hour * HOUR_S / HOLD_S) for _, hour in world.began[1:]] == [0, 1, 3, 7, 15]


def test_a_file_that_cannot_be_loaded_is_tried_again_and_the_plan_is_that_of_the_file(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, train=EVERY_HOUR)
    world.hours = 2.5

    def edit() -> None:
        world.triggers["check"] = on("train")

    world.at = edit

    async def main() -> None:
        watcher = world.watcher()
        first = watcher.load()
        world.unloadable = True
        job, due = watcher._ready(first)[0]
        assert watcher._run(first, job, due) == (first, False)
        world.unloadable = False
        await watcher.watch()

    run(main())
    assert world.began == [("train-1", 1.0), ("train-2", 2.0), ("check-1", 2.0)]


def test_once_runs_what_is_due_and_what_follows_each_once_and_says_whether_all_ended_well(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, train=TriggerPlan(kind="every", every_s=1.0), check=on("train"))
    world.outcomes["check"] = "failed"

    async def main() -> bool:
        return world.watcher().once()

    assert run(main()) is False
    assert [name for name, _ in world.began] == ["train-1", "check-1"]


def test_two_watchers_do_not_run_one_trigger_twice(tmp_path: Path) -> None:
    world = World(tmp_path, train=EVERY_HOUR)
    world.hours = 0.5

    async def main(*, waits: bool) -> None:
        await world.watcher().watch_alone(tmp_path, "shop", waits=waits)

    with ExitStack() as held:
        held.enter_context(watching(tmp_path, "shop"))
        with pytest.raises(ProjectBusy, match="are watched already"):
            run(main(waits=False))
        run(main(waits=True))
        assert world.began == []
        assert len(world.told) == 1
        with watching(tmp_path, "other"):
            pass
    run(main(waits=True))
    assert [name for name, _ in world.began] == ["train-1"]


# ---- because of drills


def test_a_fault_has_a_job_of_no_trigger_run_and_once_more_when_it_is_over(tmp_path: Path) -> None:
    world = World(tmp_path, train=TriggerPlan(), evaluate=on("train"))
    world.faults["train"] = "d-1"

    def at() -> None:
        if len(world.began) == 2:
            world.faults.clear()

    world.at = at
    began = [name for name, _ in world.watch()]
    assert began == ["train-1", "evaluate-1", "train-2", "evaluate-2"], "what it made is judged"
    runs = Runs(tmp_path)
    struck, again = runs.read("train-1"), runs.read("train-2")
    assert (struck.drilled, again.drilled) == ("d-1", "")
    assert [run.because.drill for run in (struck, again) if run.because] == ["d-1", "after d-1"]
    assert "train: drill fault d-1 is to strike it" in world.told
    assert "train: drill fault d-1 is over: once more" in world.told


def test_a_fault_of_a_job_that_follows_another_has_that_one_begin(tmp_path: Path) -> None:
    world = World(tmp_path, train=TriggerPlan(), evaluate=on("train"))
    world.faults["evaluate"], world.outcomes["evaluate"] = "d-1", "failed"

    def at() -> None:
        if len(world.began) == 2:
            world.faults.clear()
            world.outcomes.clear()

    world.at = at
    began = [name for name, _ in world.watch()]
    assert began == ["train-1", "evaluate-1", "train-2", "evaluate-2"]
    drilled = [Runs(tmp_path).read(name).drilled for name in began]
    assert drilled == ["", "d-1", "", ""]
