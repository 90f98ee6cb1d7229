"""A job that a drill has learn from changed rows is given a copy, and the snapshot stays."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import polars as pl
import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.compose.drilled_job import Drilled
from firedoor.compose.injection import Injection
from firedoor.compose.job_faults import NO_DATA, NO_READING, JobFaults
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.lease import taken_back
from firedoor.spec.evaluation_plan import EvaluationPlan
from firedoor.spec.plan import JobLimits, JobPlan, Plan
from firedoor.spec.referred import StepNote
from firedoor.testing.loop import VirtualClock, run

CLOCK = VirtualClock()
ROWS = 400


def wanted(name: str, **more: object) -> Fault:
    return make_fault(name, zone="train", zone_kind="job", drill="d1", **more)  # type: ignore[arg-type]


def drilled_by(fault: Fault) -> tuple[Drilled, Injection]:
    made = Injection("train", "job", CLOCK, process="p", places=("job", "worker"))
    made.environment = "development"
    made.hear(msgspec.json.encode(fault))
    return Drilled(fault=fault.id, faults=made, changes=fault), made


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Return what a job reads: two parts, nobody may write there."""
    folder = tmp_path / "open"
    for part in ("train", "tune"):
        (folder / part).mkdir(parents=True)
        frame = pl.DataFrame({"x": range(ROWS), "late": [n % 3 == 0 for n in range(ROWS)]})
        frame.write_parquet(folder / part / "rows.parquet")
        (folder / part / "rows.parquet").chmod(0o400)
        (folder / part).chmod(0o500)
    return folder


def read(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "**" / "*.parquet", glob=True)


def test_labels_are_flipped_in_a_copy_as_many_as_were_asked_for(
    snapshot: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        drilled, _ = drilled_by(wanted("label_flip", share=0.5, column="late"))
        told: list[str] = []
        changed = drilled.change(snapshot, tmp_path / "work", told.append)
        before, after = read(snapshot), read(tmp_path / "work")
        differ = (before["late"] != after["late"]).sum()
        assert differ == changed
        assert 0.4 * 2 * ROWS < changed < 0.6 * 2 * ROWS
        assert before["x"].equals(after["x"])
        assert told == [f"drill fault d1-1 (label_flip) changed {changed} rows of what it reads"]
        assert not os.access(snapshot / "train", os.W_OK) or os.geteuid() == 0

    run(main())


def test_where_no_column_fits_it_is_refused_and_the_job_reads_what_there_is(
    snapshot: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        drilled, faults = drilled_by(wanted("label_flip", column="early"))
        assert drilled.change(snapshot, tmp_path / "work", print) == 0
        assert not (tmp_path / "work").exists()
        assert "label_flip needs a column of two values" in faults.lease.refused
        assert Drilled().change(snapshot, tmp_path / "work", print) == 0
        late, over = drilled_by(wanted("label_flip", share=0.5, column="late"))
        over.hear(None)
        assert late.change(snapshot, tmp_path / "work", print) == 0, "it is over by then"

    run(main())


def test_a_file_that_a_fault_does_not_fit_is_left_as_it_is_and_one_that_cannot_be_read_refused(
    snapshot: Path, tmp_path: Path
) -> None:
    async def main() -> None:
        (snapshot / "tune").chmod(0o700)
        pl.DataFrame({"x": [1]}).write_parquet(snapshot / "tune" / "other.parquet")
        drilled, faults = drilled_by(wanted("label_flip", share=0.5, column="late"))
        assert drilled.change(snapshot, tmp_path / "work", print) > 0
        assert faults.lease.refused == ""
        (snapshot / "tune" / "torn.parquet").write_bytes(b"PAR1")
        assert drilled.change(snapshot, tmp_path / "work", print) == 0
        assert "what it reads cannot be changed" in faults.lease.refused
        assert not (tmp_path / "work").exists()

    run(main())


# ---- who hears of it


def job(name: str, **more: object) -> JobPlan:
    step = StepNote(name=name, pickled=b"", main_path=None, main_module=None, where="")
    made = JobPlan(name=name, owner="o", version="v", limits=JobLimits(), step=step, reads="store")
    return msgspec.structs.replace(made, **more)


EVALUATE = EvaluationPlan(model="delays", part="test", rules=())
PLAN = Plan(
    pipeline="p", owner="o", file="p.py", sys_path=(), zones=(), edges=(),
    jobs=(job("train"), job("evaluate", evaluation=EVALUATE), job("tell", reads="")),
)  # fmt: skip


class Scene:
    """A broker in memory, the process that runs jobs, and a drill that speaks."""

    def __init__(self, *, foreign: bool = False) -> None:
        self.streams = MemoryStreams(MemoryStore(), CLOCK)
        self.faults = JobFaults(PLAN, clock=CLOCK)
        self.faults.permit(foreign=foreign)

    async def want(self, fault: Fault) -> None:
        await self.streams.beat(f"fault.{fault.zone}", msgspec.json.encode(fault))
        await self.faults.hear(self.streams)

    async def said(self, job: str) -> Injected:
        (value,) = (await self.streams.beats(f"injected.{job}.")).values()
        return msgspec.json.decode(value, type=Injected)


def test_a_fault_of_a_job_is_wanted_for_as_long_as_its_lease_lasts_and_its_hits_are_said() -> None:
    async def main() -> None:
        scene, fault = Scene(), wanted("job_kill")
        assert scene.faults.wanted("train") == ""
        await scene.want(fault)
        assert (scene.faults.wanted("train"), scene.faults.wanted("tell")) == ("d1-1", "")
        before = scene.faults.of_run(PLAN.job("tell"))
        drilled = scene.faults.of_run(PLAN.job("train"))
        assert (drilled.fault, before.fault) == ("d1-1", "")
        await scene.want(msgspec.structs.replace(fault, id="d1-2", zone="tell"))
        assert before.faults.now("job") is None, "a run that had begun before is not struck"
        drilled.faults.hit()
        await scene.faults.hear(scene.streams)
        assert (await scene.said("train")).hits == 1
        await CLOCK.wait(fault.lease_s)
        assert scene.faults.wanted("train") == ""
        assert scene.faults.of_run(PLAN.job("train")).fault == ""

    run(main())


def test_one_that_whoever_supervises_injects_has_a_run_begin_and_is_not_said_here() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.want(wanted("kill"))
        assert scene.faults.wanted("train") == "d1-1"
        assert scene.faults.of_run(PLAN.job("train")).faults.now("job") is None
        assert await scene.streams.beats("injected.") == {}
        await scene.want(taken_back(wanted("kill")))
        assert scene.faults.wanted("train") == ""

    run(main())


def test_in_production_no_run_begins_for_a_fault_that_is_not_allowed() -> None:
    async def main() -> None:
        for fault in (wanted("job_kill"), wanted("kill")):
            scene = Scene(foreign=True)
            await scene.want(fault)
            assert scene.faults.wanted("train") == ""

    run(main())


def test_what_changes_rows_is_refused_where_a_job_reads_none_of_its_own() -> None:
    async def main() -> None:
        for name, why in (("evaluate", NO_DATA), ("tell", NO_READING)):
            scene = Scene()
            await scene.want(
                make_fault("label_flip", zone=name, zone_kind="job", drill="d1", column="late")
            )
            assert scene.faults.of_run(PLAN.job(name)).changes is None
            await scene.faults.hear(scene.streams)
            assert (await scene.said(name)).refused == why
        scene = Scene()
        unknown = scene.faults.of_run(job("declared_since"))
        assert (unknown.fault, unknown.faults.now("job")) == ("", None)

    run(main())
