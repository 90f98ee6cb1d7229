"""``firedoor job run``: a job behind its wall, watched to its end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.adapters.mlflow.naming import check_uri
from firedoor.cli.asking import JsonOption, ProjectOption, somebody
from firedoor.cli.job_screen import screen, signals
from firedoor.cli.mlflow import mirror_after
from firedoor.cli.runs_shown import run_lines
from firedoor.cli.unloadable import refusals_told
from firedoor.compose.job_faults import JobFaults, heard_in_a_thread
from firedoor.compose.job_objectives import tell_run
from firedoor.compose.jobs import job_of, run_job, with_parameters
from firedoor.compose.loading import load_plan
from firedoor.compose.project import Project
from firedoor.compose.tether import tie
from firedoor.compose.triggering import Lookout, Watcher, triggered, watching
from firedoor.errors import DeclarationError, NotKnown
from firedoor.flow.triggers import Because
from firedoor.spec.job import Parameter
from firedoor.spec.plan import JobPlan, Plan, decode_plan
from firedoor.wire.run import RunRecord

REFUSED = 2
CODES = {"done": 0, "cancelled": 130}
VERDICTS = {"promote": 0, "hold": 3, "reject": 4}

PipelineOption = Annotated[
    Path | None,
    typer.Option("--pipeline", help="The pipeline's file; else the one that ran last here."),
]

app = typer.Typer(
    help="Jobs: functions that run to completion, such as a training.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def jobs() -> None:
    """Jobs: functions that run to completion, such as a training."""


@app.command("run")
def run_command(
    name: Annotated[str, typer.Argument(help="The job.")],
    *,
    param: Annotated[
        list[str] | None, typer.Option("--param", help="A parameter, as in rounds=100.")
    ] = None,
    version: Annotated[
        str, typer.Option(help="Of an evaluation: which; else the latest without a verdict.")
    ] = "",
    seed: Annotated[
        int | None, typer.Option(min=0, help="What run.seed is; else 0, or as declared.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, whatever an earlier run kept.")
    ] = False,
    pipeline: PipelineOption = None,
    mlflow: Annotated[
        str, typer.Option("--mlflow", help="Mirror to this server afterwards, if it is there.")
    ] = "",
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Run a job to its end, behind a wall, and keep a record of it.

    A run of the same code, parameters, seed and input that did not end well is resumed from its
    checkpoints. Ends with 0 if the job ended well, with 1 if it failed, with 2 if it cannot begin,
    with 130 if it was asked to end before: Ctrl-C ends the job and is recorded. An evaluation that
    came to a verdict ends with 0 for promote, 3 for hold, 4 for reject.
    """
    with refusals_told(REFUSED):
        uri = check_uri(mlflow) if mlflow else ""
        plan = load_plan(file_of(pipeline, project))
        job = job_of(plan, name)
        parameters = with_parameters(job, _parameters(param or []))
        asked: list[int] = []
        with signals(asked), screen(name, quiet=as_json) as watcher:
            record = run_job(
                plan, job, project=project, clock=SystemClock(), by=somebody(),
                parameters=parameters, seed=seed, version=version, fresh=fresh, watcher=watcher,
                cancelled=lambda: bool(asked),
            )  # fmt: skip
    tell_run(record, SystemClock())
    if as_json:
        print(json.dumps(msgspec.to_builtins(record)))
    else:
        for line in run_lines(record, details=False):
            print(line)
    if uri:
        mirror_after(uri, project)
    code = CODES.get(record.outcome, 1)
    raise typer.Exit(code if record.verdict is None or code else VERDICTS[record.verdict.word])


@app.command("watch")
def watch_command(
    *,
    once: Annotated[bool, typer.Option("--once", help="Run what is due now, and end.")] = False,
    pipeline: PipelineOption = None,
    project: ProjectOption = Path(),
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run jobs when their triggers say so, one at a time, until it is asked to end.

    `firedoor up` does so by itself; `firedoor run` does not. A job that fails ends nothing. Ends
    with 0; with 1 if --once ran a job that did not end well, or one could not begin; with 2 if it
    cannot begin itself: only one may watch a pipeline.
    """
    if supervised:
        tie()
    asked: list[int] = []
    with refusals_told(REFUSED), signals(asked):
        file, clock = file_of(pipeline, project), SystemClock()
        plan = load_plan(file)
        if not triggered(plan):
            message = f'no job of {file} has a trigger: write trigger=fd.every("1d") at one'
            raise NotKnown(message)

        # What runs once does not wait for drills, of which there are none without `firedoor up`.
        faults = JobFaults(plan, clock=clock) if once else heard_in_a_thread(project, plan)

        def run(plan: Plan, job: JobPlan, because: Because) -> RunRecord:
            with screen(job.name, quiet=False) as watcher:
                record = run_job(
                    plan, job, project=project, clock=clock, by="its trigger",
                    parameters=with_parameters(job, {}), because=because,
                    drilled=faults.of_run(job), watcher=watcher, cancelled=lambda: bool(asked),
                )  # fmt: skip
            tell_run(record, clock)
            for line in run_lines(record, details=False):
                print(line, flush=True)
            return record

        watcher = Watcher(
            lookout=Lookout(project, clock), clock=clock, load=lambda: load_plan(file), run=run,
            asked=lambda: bool(asked), tell=lambda line: print(line, flush=True),
            wanted=faults.wanted,
        )  # fmt: skip
        well = True
        if once:
            with watching(project, plan.pipeline):
                well = watcher.once()
        else:
            asyncio.run(watcher.watch_alone(project, plan.pipeline, waits=supervised))
    raise typer.Exit(0 if well else 1)


def file_of(pipeline: Path | None, project: Path) -> Path:
    """Return the file that declares the pipeline.

    Raises:
        NotKnown: if nobody said, and nothing ran here.
    """
    if pipeline is not None:
        return pipeline
    return Path(_last(project).file)


def _last(project: Path) -> Plan:
    """Return the plan of what ran last in a project."""
    file = Project.at(project).plan_file
    try:
        return decode_plan(file.read_bytes())
    except FileNotFoundError:
        message = f"no pipeline ran in {project.absolute()} yet: name its file by --pipeline FILE"
        raise NotKnown(message) from None
    except (OSError, msgspec.DecodeError) as error:
        message = f"{file} cannot be read: {error}; name the pipeline's file by --pipeline FILE"
        raise NotKnown(message) from error


def _parameters(given: list[str]) -> dict[str, Parameter]:
    """Return parameters as written: numbers, true, false and null as JSON has them, else text."""
    found: dict[str, Parameter] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not equals:
            raise DeclarationError("param", one, "has no value", "write --param rounds=100")
        if name in found:
            raise DeclarationError("param", name, "is given twice", "give it once")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        plain = value is None or isinstance(value, bool | int | float | str)
        found[name] = value if plain else text
    return found
