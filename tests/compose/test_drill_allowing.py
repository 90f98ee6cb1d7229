"""In production somebody has to agree, lately, and all has to be well."""

from __future__ import annotations

import asyncio
import dataclasses

import msgspec
import pytest

from control.world import make_plan
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.drill_allowing import (
    Leave,
    give_leave,
    heard_objectives,
    remaining_of,
    require_leave,
)
from firedoor.control.rollout_kept import Kept, encode_rollouts, rollout_key
from firedoor.drill.spending import Remaining
from firedoor.errors import DrillRefused
from firedoor.rollout.state import Rollout, ServiceState, Target
from firedoor.slo.status import Alert, ObjectiveStatus, SloStatus, encode_slo
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan

NOW_S = 10_000.0
STEP = StepNote(name="predict", pickled=b"", main_path=None, main_module=None, where="")
SERVICE = ServicePlan(
    name="predict", owner="ann", version="1", step=STEP, model=ModelPlan(name="late")
)
TARGET = Target(version=2, digest="2" * 64)
ROLLOUT = Rollout(number=1, candidate=TARGET, last_live=TARGET, by="ann")


def objective(zone: str = "clean", **more: object) -> ObjectiveStatus:
    """Return one that is well."""
    values = {
        "zone": zone, "indicator": "availability", "promise": "", "target": 0.99,
        "period_days": 30.0, "verdict": "kept", "left": 0.9, **more,
    }  # fmt: skip
    return msgspec.convert(values, ObjectiveStatus)


def asked(
    *objectives: ObjectiveStatus, agreed_s: float | None = NOW_S - 60, blind: str = "",
    rollouts: ServiceState | None = None,
) -> tuple[Remaining, ...]:  # fmt: skip
    """Ask whether a drill may begin, where a judge says so; return what is left of budgets."""
    found: list[Remaining] = []

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), SystemClock())
        if agreed_s is not None:
            await give_leave(streams, Leave(by="ann", because="practice", at_s=agreed_s))
        status = SloStatus(
            pipeline="year", at_s=NOW_S, judge="zones", objectives=objectives, blind=blind
        )
        await streams.beat("slo.zones", encode_slo(status))
        if rollouts is not None:
            await streams.put(rollout_key("predict"), encode_rollouts(Kept(state=rollouts)))
        heard = await heard_objectives(streams)
        plan = msgspec.structs.replace(make_plan(), services=(SERVICE,))
        await require_leave(streams, plan, heard, at_s=NOW_S)
        found.extend(remaining_of(heard))

    asyncio.run(main())
    return tuple(found)


def test_where_somebody_agreed_lately_and_all_is_well_it_may_begin() -> None:
    left = asked(objective(left=0.7, period_days=7.0))
    assert left == (
        Remaining(zone="clean", indicator="availability", left=0.7, period_days=7.0),
    )  # fmt: skip


@pytest.mark.parametrize("agreed_s", [None, NOW_S - 901, NOW_S + 10])
def test_nobody_or_too_long_ago_is_refused(agreed_s: float | None) -> None:
    with pytest.raises(DrillRefused, match="firedoor drill allow"):
        asked(objective(), agreed_s=agreed_s)


def test_a_budget_of_which_too_little_is_left_is_refused() -> None:
    with pytest.raises(DrillRefused, match="49% of the error budget of store for freshness"):
        asked(objective(), objective("store", indicator="freshness", left=0.49))


def test_an_alert_that_fires_is_refused() -> None:
    alert = Alert(severity="page", since_s=1.0, detectors=("fast_burn",), text="store loses rows")
    with pytest.raises(DrillRefused, match="store loses rows"):
        asked(objective("store", alerts=(alert,)))


@pytest.mark.parametrize(
    "state",
    [
        ServiceState(service="predict", current=ROLLOUT),
        ServiceState(service="predict", waiting=(ROLLOUT,)),
        ServiceState(service="predict", returning=True),
    ],
)
def test_a_rollout_that_is_under_way_or_waits_is_refused(state: ServiceState) -> None:
    with pytest.raises(DrillRefused, match="a rollout of predict is under way"):
        asked(objective(), rollouts=state)


def test_a_rollout_that_waits_for_drills_holds_none_up() -> None:
    held = dataclasses.replace(ROLLOUT, phase="held", hold="drill")
    assert asked(objective(), rollouts=ServiceState(service="predict", current=held))


def test_rollouts_that_are_over_hold_nobody_up() -> None:
    assert asked(objective(), rollouts=ServiceState(service="predict", live=TARGET))


def test_where_nobody_knows_how_promises_are_it_is_refused() -> None:
    with pytest.raises(DrillRefused, match="not known"):
        asked()
    with pytest.raises(DrillRefused, match="not known"):
        asked(objective(), blind="the broker does not answer")
