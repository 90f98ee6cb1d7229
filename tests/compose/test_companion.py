"""A process beside zones that is kept alive, or down for as long as a drill wants that.

The process is real: in a project without a plan it says so, and ends.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from firedoor.adapters.clock import SystemClock
from firedoor.compose.companion import Companion
from firedoor.compose.project import Project
from firedoor.compose.restarts import RestartPolicy

WAIT_S = 60.0
QUIET_S = 0.5


def test_one_that_is_kept_down_is_not_started_until_it_may(tmp_path: Path) -> None:
    project = Project.at(tmp_path)
    project.create()
    told: list[str] = []
    ended, began = asyncio.Event(), list[int]()
    companion = Companion(
        name="serve-control", command=["control"], what="the control process", stop_s=5.0,
        began=began.append,
    )  # fmt: skip

    def tell(line: str) -> None:
        told.append(line)
        companion.kept_down = "a drill wants it so (d-1)" if len(told) == 1 else ""
        ended.set()

    async def main() -> None:
        policy = RestartPolicy(wait_min_s=0.01, wait_max_s=0.01)
        async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
            keeping = group.create_task(
                companion.keep(project, clock=SystemClock(), tell=tell, policy=policy)
            )
            await ended.wait()
            ended.clear()
            await asyncio.sleep(QUIET_S)
            assert len(began) == 1
            companion.kept_down = ""
            await ended.wait()
            assert len(began) == 2
            keeping.cancel()

    asyncio.run(main())
    assert "the control process ended with" in told[0]
