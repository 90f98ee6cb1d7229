"""Faults in real workers: they die as rows make them die, and nothing is left when it is over."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from compose import stage_steps
from compose.test_stage import ROWS, Opened, dead_of, numbers_of, rows_of, trips, zone_of
from firedoor.adapters.clock import SystemClock
from firedoor.compose.function_sink import FunctionSink
from firedoor.compose.injection import Injection
from firedoor.compose.stage import WallStage, build_stage
from firedoor.compute import ipc
from firedoor.compute.aiming import aim
from firedoor.compute.striking import chosen
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault
from firedoor.drill.lease import NOTHING
from firedoor.errors import DependencyDown, StepAtFault
from firedoor.ports.stage import Handled
from firedoor.spec.plan import Plan, SinkPlan, ZonePlan
from firedoor.wire.envelope import Envelope

pytestmark = pytest.mark.usefixtures("kept_fork_servers")
BATCH = "trips-000007"
WALL: dict[str, bool | int | float | str | list[str | int] | None] = {
    "timeout_s": 1.0, "memory": "256MiB",
}  # fmt: skip


class Drilled(Opened):
    """Stages into which a drill injects something, proven by a clean batch."""

    def __init__(self, project: Path) -> None:
        super().__init__(project)
        self.injection = Injection(
            "double", "transform", SystemClock(), process="here-1", places=("worker",)
        )
        self.injection.environment = "development"

    def stage(self, zone: ZonePlan) -> WallStage:
        plan = Plan(
            pipeline="p", owner="o", file="", sys_path=tuple(sys.path), zones=(zone,), edges=()
        )
        self.stages.append(build_stage(zone, plan, project=self.project, faults=self.injection))
        self.take(self.stages[-1], trips())
        return self.stages[-1]

    def want(self, name: str, **asked: object) -> Fault:
        fault = make_fault(name, zone="double", zone_kind="transform", drill="d1", **asked)  # type: ignore[arg-type]
        self.injection.hear(msgspec.json.encode(fault))
        assert self.injection.lease.refused == ""
        return fault

    def over(self) -> None:
        self.injection.hear(None)
        self.injection.lease = NOTHING


@pytest.fixture
def drilled(tmp_path: Path) -> Iterator[Drilled]:
    made = Drilled(tmp_path)
    yield made
    for stage in made.stages:
        stage.close()


def hit_rows(fault: Fault) -> list[int]:
    """Return the rows that a fault hits, found out without any worker."""
    strike = aim(fault, BATCH, trips(), memory_bytes=0).strike
    assert strike is not None
    return [row for row, hit in enumerate(chosen(trips(), strike)) if hit]


def check_that_it_is_over(drilled: Drilled, stage: WallStage) -> None:
    """See that the same batch goes through whole, by the way that workers were started before."""
    lost = stage.workers_lost()
    drilled.over()
    drilled.injection.forget(BATCH)
    handled = drilled.take(stage, trips(), batch=BATCH)
    assert rows_of(handled).equals(stage_steps.double(trips()))
    assert handled.dead is None
    assert drilled.injection.struck(BATCH) == ""
    assert stage.workers_lost() == lost
    assert stage._passage.crew.way == "fork"
    assert stage._passage.tally.rowwise()


@pytest.mark.parametrize(
    ("name", "code", "share", "seed"),
    [
        ("poison_raise", "exception", 0.01, 1),
        ("poison_segfault", "crash", 0.002, 1),
        pytest.param("poison_hang", "hang", 0.001, 1, marks=pytest.mark.soak),
        pytest.param("poison_memory", "memory", 0.001, 1, marks=pytest.mark.soak),
    ],
)
def test_just_the_poisoned_rows_are_dead_and_nothing_is_left_when_it_is_over(
    drilled: Drilled, name: str, code: str, share: float, seed: int
) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    fault = drilled.want(name, share=share, seed=seed)
    expected = hit_rows(fault)
    assert 1 <= len(expected) <= 20, "the seed is to be chosen so"

    handled = drilled.take(stage, trips(), batch=BATCH)

    dead = dead_of(handled)
    assert dead["row"].to_list() == expected
    assert set(dead["code"]) == {code}
    others = [row for row in range(ROWS) if row not in expected]
    assert numbers_of(handled) == others
    assert rows_of(handled).equals(stage_steps.double(trips())[others])
    assert drilled.injection.struck(BATCH) == fault.id
    assert drilled.injection._hits == len(expected)
    check_that_it_is_over(drilled, stage)


def test_poison_dies_of_a_real_segmentation_fault(drilled: Drilled) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    drilled.want("poison_segfault", share=0.002, seed=1)
    handled = drilled.take(stage, trips(), batch=BATCH)
    assert all("SIGSEGV" in message for message in dead_of(handled)["message"])
    assert {cause for cause, _ in drilled.journal} == {"crash"}
    assert stage.workers_lost() >= 3


def test_more_poison_than_rows_can_be_to_blame_for_halts_the_zone(drilled: Drilled) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    drilled.want("poison_raise", share=0.5)
    with pytest.raises(StepAtFault) as caught:
        drilled.take(stage, trips(), batch=BATCH)
    assert caught.value.code == "contrast"
    check_that_it_is_over(drilled, stage)


@pytest.mark.parametrize(
    ("name", "intensity", "lost"),
    [
        ("worker_kill", None, 1),
        ("worker_hang", None, 1),
        ("worker_memory", 2.0, 1),
        ("worker_cpu", 0.05, 0),
    ],
)
def test_a_worker_that_is_hit_once_costs_no_row(
    drilled: Drilled, name: str, intensity: float | None, lost: int
) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    fault = drilled.want(name, intensity=intensity, share=1.0)

    handled = drilled.take(stage, trips(), batch=BATCH)

    assert handled.dead is None
    assert rows_of(handled).equals(stage_steps.double(trips()))
    assert stage.workers_lost() == lost
    assert drilled.injection.struck(BATCH) == fault.id
    check_that_it_is_over(drilled, stage)


def test_the_first_batch_of_a_zone_is_not_hit(drilled: Drilled) -> None:
    """A worker that dies over the first rows says something about how workers are started."""
    drilled.want("worker_kill", share=1.0)
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    assert stage.workers_lost() == 0
    assert drilled.injection._hits == 0


def test_a_renamed_column_is_found_by_the_schema_at_the_door(drilled: Drilled) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, schema=stage_steps.Trip, wall=WALL))
    drilled.want("schema_rename", column="distance")
    with pytest.raises(StepAtFault, match="distance_renamed") as caught:
        drilled.take(stage, trips(), batch=BATCH)
    assert caught.value.code == "wrong_schema"
    check_that_it_is_over(drilled, stage)


def test_values_out_of_range_are_dead_letters_that_hold_the_rows_as_they_came(
    drilled: Drilled,
) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, schema=stage_steps.Trip, wall=WALL))
    fault = drilled.want("unit_change", column="distance", share=0.02, intensity=1e6)
    handled = drilled.take(stage, trips(), batch=BATCH)
    dead = dead_of(handled)
    assert dead["row"].to_list() == hit_rows(fault)
    assert set(dead["signature"]) == {"rule distance|max"}
    assert dead["distance"].to_list() == trips()["distance"][dead["row"].to_list()].to_list()
    check_that_it_is_over(drilled, stage)


def test_poison_beside_rows_that_the_schema_rejects_hits_the_same_rows(drilled: Drilled) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, schema=stage_steps.Trip, wall=WALL))
    frame = trips(distance=pl.when(pl.int_range(pl.len()) < 20).then(-1).otherwise("distance"))
    fault = drilled.want("poison_raise", share=0.01, seed=3)
    strike = aim(fault, BATCH, frame, memory_bytes=0).strike
    assert strike is not None
    poisoned = {row for row, hit in enumerate(chosen(frame, strike)) if hit}
    assert poisoned

    dead = dead_of(drilled.take(stage, frame, batch=BATCH))

    by_code = {code: set(rows["row"]) for (code,), rows in dead.group_by("code")}
    assert by_code == {"schema": set(range(20)), "exception": poisoned - set(range(20))}


def test_what_no_batch_here_can_have_done_to_it_is_refused(drilled: Drilled) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    drilled.want("out_of_order")
    handled = drilled.take(stage, trips(), batch=BATCH)
    assert rows_of(handled).equals(stage_steps.double(trips()))
    assert "needs a column of times" in drilled.injection.lease.refused


def test_a_sinks_function_is_hit_too_and_its_batch_comes_again() -> None:
    injection = Injection("tell", "sink", SystemClock(), process="p", places=("worker",))
    injection.environment = "development"
    zone = replace_kind(zone_of(stage_steps.tell, wall=WALL))
    plan = Plan(pipeline="p", owner="o", file="", sys_path=tuple(sys.path), zones=(zone,), edges=())
    sink = FunctionSink(zone, plan, faults=injection)
    try:
        assert take(sink, trips()).sink == f"tell/{BATCH}"
        fault = make_fault("poison_raise", zone="tell", zone_kind="sink", drill="d1", share=0.1)
        injection.hear(msgspec.json.encode(fault))
        with pytest.raises(DependencyDown, match="poisoned by drill fault d1-1"):
            take(sink, trips())
        injection.hear(None)
        assert take(sink, trips()).sink == f"tell/{BATCH}"
    finally:
        sink.close()


def replace_kind(zone: ZonePlan) -> ZonePlan:
    return msgspec.structs.replace(zone, kind="sink", sink=SinkPlan(form="function"))


def take(sink: FunctionSink, frame: pl.DataFrame) -> Handled:
    rows = b"".join(ipc.encode(frame, compress=True))
    envelope = Envelope(
        batch=BATCH, rows=frame.height, frame_bytes=len(rows), crc32=0, zone="trips",
        zone_version="1", cut_s=0.0,
    )  # fmt: skip

    async def note(_cause: str, _where: str) -> None:
        return None

    return asyncio.run(sink.handle(envelope, rows, note))


def test_a_search_for_rows_that_hang_is_no_longer_than_the_lease(drilled: Drilled) -> None:
    stage = drilled.stage(zone_of(stage_steps.double, wall=WALL))
    fault = msgspec.structs.replace(
        make_fault(
            "poison_hang", zone="double", zone_kind="transform", drill="d1", share=0.02, seed=1
        ),
        lease_s=1.0,
    )
    drilled.injection.hear(msgspec.json.encode(fault))
    assert len(hit_rows(fault)) > 10
    began_s = time.monotonic()

    handled = drilled.take(stage, trips(), batch=BATCH)

    assert time.monotonic() - began_s < 10.0
    dead = 0 if handled.dead is None else handled.dead.rows
    assert dead < len(hit_rows(fault)), "the others came through when it was over"
    assert handled.parcel.rows + dead == ROWS
    check_that_it_is_over(drilled, stage)
