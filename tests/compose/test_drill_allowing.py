"""In production somebody has to agree, lately, and all has to be well."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

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
from firedoor.errors import DrillRefused

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
