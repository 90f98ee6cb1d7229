"""In production somebody has to agree, lately, and all has to be well."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from control.rollout_world import make_plan as make_service
from control.rollout_world import target
from control.world import make_plan
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.drill_allowing import (
    Leave,
    Promise,
    give_leave,
    read_promises,
    require_leave,
)
from firedoor.control.rollout_kept import Kept, encode_rollouts
from firedoor.errors import DrillRefused
from firedoor.rollout.state import Hold, Rollout, ServiceState

NOW_S = 10_000.0
WELL = (Promise(zone="clean", indicator="availability", left=0.9),)


def asked(promises: tuple[Promise, ...] = WELL, *, agreed_s: float | None = NOW_S - 60) -> None:
    """Ask whether a drill may begin."""

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), SystemClock())
        if agreed_s is not None:
            await give_leave(streams, Leave(by="ann", because="practice", at_s=agreed_s))
        await require_leave(streams, make_plan(), promises, at_s=NOW_S)

    asyncio.run(main())


def test_where_somebody_agreed_lately_and_all_is_well_it_may_begin() -> None:
    asked()


@pytest.mark.parametrize("agreed_s", [None, NOW_S - 901, NOW_S + 10])
def test_nobody_or_too_long_ago_is_refused(agreed_s: float | None) -> None:
    with pytest.raises(DrillRefused, match="firedoor drill allow"):
        asked(agreed_s=agreed_s)


def test_a_budget_of_which_too_little_is_left_is_refused() -> None:
    low = Promise(zone="store", indicator="freshness", left=0.49)
    with pytest.raises(DrillRefused, match="49% of the error budget of store for freshness"):
        asked((*WELL, low))


@pytest.mark.parametrize("hold", ["", "no_verdict", "drill"])
def test_a_rollout_under_way_is_refused_but_for_one_that_waits_for_drills(hold: Hold) -> None:
    rollout = Rollout(
        number=1, candidate=target(2), last_live=target(1), by="ann", phase="held", hold=hold
    )
    state = ServiceState(service="predict", live=target(1), current=rollout)

    async def main() -> None:
        streams = MemoryStreams(MemoryStore(), SystemClock())
        await give_leave(streams, Leave(by="ann", because="practice", at_s=NOW_S - 60))
        await streams.put("rollout.predict", encode_rollouts(Kept(state=state)))
        plan = replace(make_plan(), services=(make_service(),))
        await require_leave(streams, plan, WELL, at_s=NOW_S)

    if hold == "drill":
        asyncio.run(main())
    else:
        with pytest.raises(DrillRefused, match="a rollout of predict is under way"):
            asyncio.run(main())


def test_an_alert_that_fires_is_refused(tmp_path: Path) -> None:
    alert = {"text": "store loses rows", "severity": "page"}
    told = {"zone": "store", "indicator": "availability", "left": 0.9, "alerts": [alert]}
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "slo.json").write_text(json.dumps({"objectives": [told]}))
    with pytest.raises(DrillRefused, match="store loses rows"):
        asked(read_promises(tmp_path))


def test_where_nobody_knows_how_promises_are_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "slo.json").write_text("{")
    with pytest.raises(DrillRefused, match="not known"):
        asked(read_promises(tmp_path))
