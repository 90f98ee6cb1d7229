"""``firedoor run`` and ``firedoor up``: a pipeline on this machine, watched to its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.refusing import warn_or_refuse
from firedoor.compose.credentials import endpoint_of
from firedoor.compose.files import explain, write_atomically
from firedoor.compose.inputs import missing_inputs
from firedoor.compose.loading import load_plan
from firedoor.compose.progress import screen_for
from firedoor.compose.project import Endpoint, Project
from firedoor.compose.report import NOT_DONE, Figures, figures_of, report_lines
from firedoor.compose.supervisor import Outcome, Supervisor
from firedoor.errors import DeclarationError, FiredoorError, PipelineUnloadable
from firedoor.spec.plan import Plan

REFUSED = 2

FileArgument = Annotated[Path, typer.Argument(help="The Python file that declares the pipeline.")]
ProjectOption = Annotated[
    Path, typer.Option("--project", help="The folder to make .firedoor in.", show_default="here")
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the figures of the run to this file.")
]
NatsOption = Annotated[
    str | None, typer.Option("--nats", help="Address of a broker that is there already.")
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        help="JSON file with user and password for --nats; or set FIREDOOR_NATS_USER and "
        "FIREDOOR_NATS_PASSWORD.",
    ),
]


def run(
    pipeline: FileArgument,
    *,
    project: ProjectOption = Path(),
    json: JsonOption = None,
    nats: NatsOption = None,
    credentials: CredentialsOption = None,
) -> None:
    """Run a pipeline to its end.

    That is when its sources have no more, and everything has come through. Ends with 0 if every
    row is accounted for; with 1 if rows are missing or a zone waits for a person; with 2 if it
    cannot begin; with 130 if it was asked to end before. Ctrl-C drains: what was begun is
    finished, and the next run goes on.
    """
    _run(pipeline, project, json, _endpoint(nats, credentials), bounded=True)


def up(
    pipeline: FileArgument,
    *,
    project: ProjectOption = Path(),
    json: JsonOption = None,
    nats: NatsOption = None,
    credentials: CredentialsOption = None,
) -> None:
    """Keep a pipeline running until it is asked to end.

    Ctrl-C or SIGTERM drains: what was begun is finished, and the next time goes on. Ends with 0 if
    every row is accounted for, with 1 otherwise, with 2 if it cannot begin.
    """
    _run(pipeline, project, json, _endpoint(nats, credentials), bounded=False)


def _run(
    file: Path,
    directory: Path,
    json: Path | None,
    external: Callable[[], Endpoint | None],
    *,
    bounded: bool,
) -> None:
    """Run, report, and end with the exit code."""
    try:
        project = Project.at(directory)
        project.create()
        with project.running():
            plan = load_plan(file)
            if not plan.zones:
                names = ", ".join(job.name for job in plan.jobs)
                how = f"firedoor job run NAME ({names})" if names else f"firedoor serve {file}"
                what = "jobs" if names else "services"
                message = f"{file}: declares {what} and no zones: {how}"
                raise PipelineUnloadable(message)
            missing = missing_inputs(plan)
            if missing:
                raise PipelineUnloadable("\n".join(missing))
            if json is not None and not json.absolute().parent.is_dir():
                why, remedy = "is in no folder that is there", "make the folder, or name another"
                raise DeclarationError("json", str(json), why, remedy)
            warn_or_refuse(plan, file, SystemClock().utc_s())
            code = _supervise(project, plan, json, external(), bounded=bounded)
    except FiredoorError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(explain(error))
    else:
        sys.stdout.flush()
        raise typer.Exit(code)


def _supervise(
    project: Project, plan: Plan, json: Path | None, external: Endpoint | None, *, bounded: bool
) -> int:
    """Run the supervisor, print the report, keep the figures; return the exit code."""
    clock = SystemClock()
    screen = screen_for(sys.stdout, clock)
    supervisor = Supervisor(
        project=project,
        plan=plan,
        clock=clock,
        screen=screen,
        bounded=bounded,
        external=external,
    )
    for zone in plan.zones:
        if bounded and zone.source is not None and zone.source.follow:
            screen.tell(
                f"source {zone.name} waits for new files (follow=True), so that this run does not "
                "end by itself: end it with Ctrl-C, or use `firedoor up`"
            )
    try:
        outcome = asyncio.run(_until_asked(supervisor))
    finally:
        screen.close()
    figures = figures_of(plan, outcome, bounded=bounded)
    for line in report_lines(figures):
        print(line)
    kept = _keep(figures, project.report_file)
    if json is not None:
        kept = _keep(figures, json.absolute()) and kept
    return figures.exit_code if kept else figures.exit_code or NOT_DONE


def _keep(figures: Figures, file: Path) -> bool:
    """Write the figures of a run; return whether that could be done: the run itself is over."""
    try:
        write_atomically(file, msgspec.json.format(msgspec.json.encode(figures)))
    except OSError as error:
        message = f"the figures of the run are not in {file}: {explain(error)}"
        print(f"firedoor: {message}", file=sys.stderr)
        return False
    return True


async def _until_asked(supervisor: Supervisor) -> Outcome:
    """Run the supervisor; signals ask it to end."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.end)
    return await supervisor.run()


def _endpoint(nats: str | None, credentials: Path | None) -> Callable[[], Endpoint | None]:
    """Return what gives the broker that was named, or None; it may refuse."""
    return lambda: None if nats is None else endpoint_of(nats, credentials, os.environ)


def _refuse(message: str) -> None:
    """Say why it cannot begin, and end."""
    print(f"firedoor: {message}", file=sys.stderr)
    raise typer.Exit(REFUSED)
