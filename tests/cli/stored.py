"""Projects on disk whose runs have ended, and commands run in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from typer.testing import CliRunner, Result

from control.world import World, make_plan
from firedoor.adapters.nats import server
from firedoor.adapters.nats.streams import connect
from firedoor.cli.main import app
from firedoor.compose.project import Project
from firedoor.spec.plan import Plan

KEY = "KeyError at steps.py:12"


def make_project(
    directory: Path, story: Callable[[World], Awaitable[None]], plan: Plan | None = None
) -> Project:
    """Return a project in which a story took place, and whose broker has ended."""
    project = Project.at(directory)
    project.create()
    plan = make_plan() if plan is None else plan
    project.write_plan(plan)

    async def tell(url: str, user: str, password: str) -> None:
        streams = await connect(url, pipeline=plan.pipeline, user=user, password=password)
        try:
            await streams.declare(plan)
            await story(World(streams, plan))
        finally:
            await streams.close()

    with server.start(project.folder, plan) as local:
        endpoint = local.endpoint()
        asyncio.run(tell(endpoint.url, endpoint.user or "", endpoint.password or ""))
    return project


async def rows_died(world: World) -> None:
    """Rows 3 and 6 of two batches die in clean; everything else arrives."""
    await world.cut(2)
    dead = {100 * batch + row: KEY for batch in (1, 2) for row in (3, 6)}
    await world.run_all(dead=dead)


def firedoor(directory: Path, *words: str) -> Result:
    """Run a command in a project."""
    return CliRunner().invoke(app, [*words, "--project", str(directory)])
