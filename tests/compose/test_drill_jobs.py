"""A drill of a job, in virtual time: the run that is struck, the next one, and those behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from compose.drill_world import CLOCK, World, make_drilled, matrix
from firedoor.compose.drill_stage import stage_of
from firedoor.compose.job_faults import JobFaults
from firedoor.drill.job_runs import JobSaid, RunSaid
from firedoor.drill.matrix import Asked
from firedoor.drill.report import Report, Row
from firedoor.flow.triggers import TriggerPlan
from firedoor.spec.plan import JobLimits, JobPlan, Plan
from firedoor.spec.referred import StepNote

TOOK_S = 4.0
LOOK_S = 0.5
Ends = Callable[[RunSaid], RunSaid]
"""How a run ends that a drill struck."""


def job(name: str, *after: str) -> JobPlan:
    step = StepNote(name=name, pickled=b"", main_path=None, main_module=None, where="")
    trigger = TriggerPlan(kind="on", jobs=after) if after else TriggerPlan()
    return JobPlan(
        name=name, owner="o", version="v", limits=JobLimits(), step=step, trigger=trigger,
        reads="store",
    )  # fmt: skip


def planned(*jobs: JobPlan) -> Plan:
    return msgspec.structs.replace(make_drilled(), jobs=jobs)


PLAN = planned(job("train"), job("evaluate", "train"))


@dataclass
class Jobs:
    """Whoever runs jobs: one at a time, each for a while; and whoever tells of them."""

    world: World
    ends: Ends = lambda run: replace(run, tries={"killed": 1})
    again: str = "done"
    """How the run ends that comes after."""
    runs: dict[str, list[RunSaid]] = field(default_factory=lambda: {"train": [], "evaluate": []})

    async def act(self) -> None:
        """Go on for ever."""
        faults = JobFaults(self.world.plan, clock=CLOCK)
        faults.permit(foreign=False)
        while True:
            await faults.hear(self.world.streams)
            wanted, trains = faults.wanted("train"), self.runs["train"]
            if wanted and not any(run.drilled == wanted for run in trains):
                faults.of_run(PLAN.job("train")).faults.hit()
                await self._run("train", faults, wanted)
            elif not wanted and trains and trains[-1].drilled:
                await self._run("train", faults, "")
            await self._tell()
            await CLOCK.wait(LOOK_S)

    async def _run(self, name: str, faults: JobFaults, drilled: str, judges: str = "") -> None:
        """Run one, and what follows it."""
        number = len(self.runs[name]) + 1
        run = RunSaid(run=f"{name}-{number}", started_s=CLOCK.utc_s(), drilled=drilled)
        self.runs[name].append(run)
        for _ in range(int(TOOK_S / LOOK_S)):
            await faults.hear(self.world.streams)
            await self._tell()
            await CLOCK.wait(LOOK_S)
        ended = replace(run, outcome="done", ended_s=CLOCK.utc_s(), judges=judges)
        ended = replace(ended, verdict="reject") if judges else replace(ended, model=f"m@{number}")
        if name == "train":
            ended = self.ends(ended) if drilled else replace(ended, outcome=self.again)
        self.runs[name][-1] = ended
        if name == "train" and ended.outcome == "done":
            await self._run("evaluate", faults, "", judges=ended.model)

    async def _tell(self) -> None:
        for name, runs in self.runs.items():
            said = JobSaid(job=name, runs=tuple(runs))
            await self.world.streams.beat(f"runs.{name}", msgspec.json.encode(said))


def drilled(fault: str = "job_kill", *, recover_s: float = 60.0, **more: object) -> Row:
    """Drill ``train``, and return what was found."""
    world = World(plan=PLAN)
    jobs = Jobs(world, **more)  # type: ignore[arg-type]
    found: list[Report] = []
    asked = Asked(fault=fault, zone="train", column="late" if fault == "label_flip" else "")

    async def story(world: World) -> None:
        async with asyncio.TaskGroup() as group:
            acting = group.create_task(jobs.act())
            found.append(await world.drill(matrix(asked, recover_s=recover_s)).run())
            acting.cancel()

    world.play(story)
    (row,) = found[0].rows
    assert found[0].zones == tuple(cell.zone for cell in row.cells), "a column each"
    return row


def verdicts(row: Row) -> dict[str, str]:
    return {cell.zone: cell.verdict for cell in row.cells}


def test_a_job_that_is_struck_runs_once_more_and_zones_keep_what_they_promise() -> None:
    row = drilled()
    assert set(verdicts(row).values()) == {"kept"}, row
    cell = row.cell("train")
    assert cell is not None
    assert cell.why == "train-1 ended well (killed 1); then train-2 ended well"
    assert (row.hits, row.cleaned) == (1, True)
    assert row.for_s < 10, "it is taken back once the run has ended"
    assert row.recovered_s is not None
    assert row.recovered_s >= 3 * TOOK_S - 2, "two evaluations and a training came after it"


def test_a_run_that_fails_is_expected_and_one_after_the_fault_is_a_breach() -> None:
    failed: Ends = lambda run: replace(run, outcome="failed", cause="raised", model="")  # noqa: E731
    assert verdicts(drilled("job_raise", ends=failed))["train"] == "expected"
    row = drilled("job_raise", ends=failed, again="failed", recover_s=20.0)
    assert verdicts(row)["train"] == "breach"
    assert row.recovered_s is None


def test_what_the_drill_spoilt_is_refused_by_what_judges_it() -> None:
    spoilt: Ends = lambda run: replace(run, changed=120)  # noqa: E731
    row = drilled("label_flip", ends=spoilt)
    found = verdicts(row)
    assert (found["train"], found["evaluate"], found["end_to_end"]) == ("expected", "kept", "kept")


def test_where_no_job_has_a_trigger_nothing_runs_jobs_and_none_can_be_drilled() -> None:
    assert [seat.name for seat in stage_of(PLAN).jobs] == ["train", "evaluate"]
    assert stage_of(planned(job("train"))).jobs == ()
