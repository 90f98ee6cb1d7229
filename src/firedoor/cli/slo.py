"""``firedoor slo``: promises, error budgets and alerts; ``firedoor slo watch`` judges them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, NatsOption, ProjectOption, ask, stop
from firedoor.compose.journaling import Journaling
from firedoor.compose.judging import alone, heard, objectives_of, watch_objectives
from firedoor.compose.metrics_endpoint import shown
from firedoor.compose.project import Project
from firedoor.compose.reaching import reach
from firedoor.compose.slo_files import Of, read_status
from firedoor.compose.small_http import HOST
from firedoor.control.slo_board import show_slo
from firedoor.errors import NotKnown
from firedoor.slo.status import SloStatus

JUDGES: tuple[Of, ...] = ("zones", "services")

app = typer.Typer(
    help="What is promised, how much of each error budget is left, and who is paged.",
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def slo(
    context: typer.Context,
    *,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
) -> None:
    """Show objectives with what is left of their error budgets, and alerts.

    firedoor up judges what zones promise, firedoor serve what services do; where neither runs,
    firedoor slo watch does.
    """
    if context.invoked_subcommand is not None:
        return
    folder = Project.at(project).folder
    if nats is None:
        statuses = [status for of in JUDGES if (status := read_status(folder, of)) is not None]
        if not statuses and not folder.is_dir():
            message = f"{folder} is no project folder: name the one that .firedoor is in: --project"
            stop(NotKnown(message))
    else:
        statuses = ask(_heard(project, nats))
    if as_json:
        print(msgspec.json.encode({status.judge: status for status in statuses}).decode())
        return
    for line in show_slo(statuses, now_s=SystemClock().utc_s()):
        print(line)


async def _heard(project: Path, nats: str) -> list[SloStatus]:
    """Return what judges say to the broker."""
    async with reach(project, nats=nats) as reached:
        return await heard(reached.streams)


@app.command("watch")
def watch(
    *,
    project: ProjectOption = Path(),
    nats: NatsOption = None,
    of: Annotated[
        str, typer.Option("--of", help="Whose promises: those of zones, of services, or all.")
    ] = "all",
    metrics: Annotated[
        int | None,
        typer.Option(
            "--metrics",
            min=0,
            max=65535,
            help="Port of /metrics with budgets, alerts and all zones' metrics; 0: any.",
        ),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option("--metrics-host", help="Where --metrics is answered.")
    ] = HOST,
) -> None:
    """Judge promises until Ctrl-C, where neither firedoor up nor firedoor serve does: at scale.

    One is enough for a pipeline; another one is refused. Alerts are printed, and are in the ledger.
    """
    chosen = JUDGES if of == "all" else tuple(each for each in JUDGES if each == of)
    if not chosen:
        raise typer.BadParameter("choose zones, services or all", param_hint="--of")
    with contextlib.suppress(KeyboardInterrupt):
        shows = None if metrics is None else (metrics_host, metrics)
        ask(_watch(project, nats, chosen, shows))


async def _watch(
    project: Path, nats: str | None, chosen: tuple[Of, ...], metrics: tuple[str, int] | None
) -> None:
    """Watch until it is asked to end; metrics are shown meanwhile, if that is wanted."""
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave.set)
    place = Project.at(project)
    async with reach(project, nats=nats) as reached, contextlib.AsyncExitStack() as stack:
        plan = reached.plan
        if not any(objectives_of(plan, of) for of in chosen):
            message = f"{plan.pipeline} promises nothing: declare slo=fd.SLO(availability=0.999)"
            raise NotKnown(message)
        await alone(reached.streams, chosen)
        if metrics is not None:
            host, port = metrics
            beats = partial(reached.streams.beats, "")
            at = await stack.enter_async_context(
                shown(port, beats, pipeline=plan.pipeline, host=host)
            )
            _say(f"metrics: {at}")
        clock = SystemClock()
        journaling = Journaling(place.folder, "slo watch", clock)
        async with asyncio.TaskGroup() as group:
            aside = [group.create_task(journaling.run(reached.streams))]
            for of in chosen:
                watching = watch_objectives(
                    reached.streams, plan, place, of=of, clock=clock, tell=_say,
                    journal=journaling.journal,
                )  # fmt: skip
                aside.append(group.create_task(watching))
            await leave.wait()
            for task in aside:
                task.cancel()
        await journaling.finish()


def _say(line: str) -> None:
    """Print an alert."""
    print(line, flush=True)
