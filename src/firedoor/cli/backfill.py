"""``firedoor backfill``: join an edge that was cut, and run what it missed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import NatsOption, ProjectOption, ask, somebody
from firedoor.compose.reaching import reach
from firedoor.compose.recutting import Recutter
from firedoor.control import backfill as backfilling
from firedoor.control.backfill import Backfilled, edges_meant

TOLD_MAX = 10


def backfill(
    edge: Annotated[str, typer.Argument(help="clean:audit, or a zone for all that it reads.")],
    *,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Join an edge that was cut while full, and run the batches that it missed.

    Each is cut again by its source and goes to this edge alone. May be run again at any time: what
    was done is not done twice. Ends with 1 if something was left.
    """

    async def work() -> list[Backfilled]:
        async with reach(project, nats=nats, change=True) as reached:
            streams, plan = reached.streams, reached.plan
            edges = edges_meant(plan, edge)
            async with Recutter(streams, plan) as recutter:
                return [
                    await backfilling.backfill(
                        streams, plan, one, recutter.cut, clock=SystemClock(), by=somebody()
                    )
                    for one in edges
                ]

    results = ask(work())
    for result in results:
        _tell(result)
    if any(result.left for result in results):
        raise typer.Exit(1)


def _tell(result: Backfilled) -> None:
    """Print what was done about one edge."""
    if not result.batches and not result.left:
        print(f"{result.edge} has missed nothing that was not run since")
        return
    named = ", ".join(result.batches[:TOLD_MAX])
    more = len(result.batches) - TOLD_MAX
    print(
        f"{result.edge}: {result.rows} rows go there again"
        + (f" as {named}" if named else "")
        + (f" and {more} more" if more > 0 else "")
    )
    for words in result.left[:TOLD_MAX]:
        print(f"left: {words}")
    if len(result.left) > TOLD_MAX:
        print(f"left: {len(result.left) - TOLD_MAX} more")
