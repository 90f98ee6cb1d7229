"""``firedoor job run``: a job behind its wall, watched to its end."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, ProjectOption, somebody
from firedoor.cli.runs_shown import run_lines
from firedoor.cli.unloadable import refusals_told
from firedoor.compose.jobs import job_of, run_job, with_parameters
from firedoor.compose.loading import load_plan
from firedoor.compose.project import Project
from firedoor.compose.recording import Watcher
from firedoor.errors import DeclarationError, NotKnown
from firedoor.spec.job import Parameter
from firedoor.spec.plan import Plan, decode_plan

if TYPE_CHECKING:
    from rich.console import Console

    from firedoor.wire.run import RunRecord

REFUSED = 2
CODES = {"done": 0, "cancelled": 130}
VERDICTS = {"promote": 0, "hold": 3, "reject": 4}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

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
        plan = load_plan(file_of(pipeline, project))
        job = job_of(plan, name)
        parameters = with_parameters(job, _parameters(param or []))
        asked: list[int] = []
        with _signals(asked), _screen(name, quiet=as_json) as watcher:
            record = run_job(
                plan, job, project=project, clock=SystemClock(), by=somebody(),
                parameters=parameters, seed=seed, version=version, fresh=fresh, watcher=watcher,
                cancelled=lambda: bool(asked),
            )  # fmt: skip
    if as_json:
        print(json.dumps(msgspec.to_builtins(record)))
    else:
        for line in run_lines(record, details=False):
            print(line)
    code = CODES.get(record.outcome, 1)
    raise typer.Exit(code if record.verdict is None or code else VERDICTS[record.verdict.word])


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


@contextmanager
def _signals(asked: list[int]) -> Iterator[None]:
    """Note signals that ask to end, while the block is at work; not those that nohup ignores."""
    heard = [one for one in SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
    before = {one: signal.signal(one, lambda number, _: asked.append(number)) for one in heard}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@contextmanager
def _screen(job: str, *, quiet: bool) -> Iterator[Watcher]:
    """Show what the job prints, and on a terminal a bar that moves."""
    if quiet:
        yield lambda record: None  # noqa: ARG005 - nobody looks
        return
    from rich.console import Console  # noqa: PLC0415 - not needed where JSON is wanted
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
    text = TextColumn("{task.description}", markup=False)
    told = TextColumn("{task.fields[told]}", markup=False)
    bar = Progress(
        text, BarColumn(), told, TimeElapsedColumn(), console=console, transient=True,
        disable=not console.is_terminal,
    )  # fmt: skip
    with bar, _printed(job, console):
        task = bar.add_task(job, total=None, told="")

        def watch(record: RunRecord) -> None:
            step = f" {record.step}" if record.step else ""
            figures = [f"{name} {value:.4g}" for name, value in list(record.metrics.items())[-2:]]
            bar.update(
                task, description=f"{record.id}{step}", completed=record.done or 0,
                total=record.total, told=", ".join(figures),
            )  # fmt: skip

        yield watch


@contextmanager
def _printed(job: str, console: Console) -> Iterator[None]:
    """Print what the job prints, in characters that do nothing to a terminal."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage().expandtabs()
            plain = "".join(char if char.isprintable() else " " for char in text)
            # A reader that has gone, as with `| head`, is no reason for the job to end.
            with contextlib.suppress(OSError, ValueError):
                say(plain)

    say = console.print if console.is_terminal else print
    logger, handler = logging.getLogger(f"firedoor.wall.{job}"), Printer()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before
