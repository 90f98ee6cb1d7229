"""Dead letters behind the walls of their zones, for a rehearsal of their replay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from firedoor.compose.stage import WallStage, build_stage
from firedoor.control.rehearsal import TryRows
from firedoor.ports.stage import Handled
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.envelope import Envelope

_log = logging.getLogger(__name__)


@asynccontextmanager
async def rehearsal_stages(plan: Plan, *, project: Path) -> AsyncIterator[TryRows]:
    """Give what takes rows through zones' steps; walls are put up when they are first needed.

    Args:
        plan: the pipeline.
        project: the project folder, for lookups: in the versions that hold now.
    """
    stages: dict[str, WallStage] = {}

    async def try_rows(zone: ZonePlan, envelope: Envelope, payload: bytes) -> Handled:
        if zone.name not in stages:
            # Rows that died once may well die again, all in the same way: that is the answer here,
            # and no fault of the step.
            alone = msgspec.structs.replace(zone, wall={**zone.wall, "contrast": 1.0})
            stages[zone.name] = build_stage(alone, plan, project=project)
        return await stages[zone.name].handle(envelope, payload, _journal)

    try:
        yield try_rows
    finally:
        for stage in stages.values():
            await asyncio.get_running_loop().run_in_executor(None, stage.close)


async def _journal(cause: str, where: str) -> None:
    """Nothing is kept of runs that come to nothing: nothing comes of this one either."""
    _log.debug("a rehearsal was tried again: %s, %s", cause, where)
