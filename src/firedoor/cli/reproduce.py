"""``firedoor reproduce``: a run again, and what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, ProjectOption, somebody
from firedoor.cli.job import REFUSED
from firedoor.cli.job_screen import screen, signals
from firedoor.cli.runs_shown import difference_lines, run_lines
from firedoor.cli.unloadable import refusals_told
from firedoor.compose.loading import load_plan
from firedoor.compose.reproducing import Repeated
from firedoor.compose.reproducing import reproduce as run_again
from firedoor.compose.runs import Runs
from firedoor.compose.vetting import counted
from firedoor.wire.run import RunRecord

CANCELLED = 130


def reproduce(
    name: Annotated[str, typer.Argument(metavar="RUN", help="The run: train-3.")],
    *,
    pipeline: Annotated[
        Path | None, typer.Option("--pipeline", help="The pipeline's file; else that of the run.")
    ] = None,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Run a job again with the snapshot, parameters and seed of a run, and say what differs.

    Each file of the model is compared bit for bit, each figure to the last digit; code, libraries
    and machine are told where they are others. Nothing is registered. Ends with 0 if files and
    figures are identical, with 1 if one differs or the job fails, with 2 if it cannot be run
    again: its snapshot, its job or its model is gone, or the job has no such parameters any more.
    """
    with refusals_told(REFUSED):
        run = Runs(project).read(name)
        plan = load_plan(pipeline or Path(run.file))
        asked: list[int] = []
        with signals(asked), screen(run.job, quiet=as_json) as watcher:
            record, repeated = run_again(
                run, plan, project=project, clock=SystemClock(), by=somebody(), watcher=watcher,
                cancelled=lambda: bool(asked),
            )  # fmt: skip
    if as_json:
        same = {"files": repeated.files, "figures": repeated.figures(record)}
        told = {"identical": record.identical, "same": same, "run": msgspec.to_builtins(record)}
        print(json.dumps(told))
    else:
        for line in _lines(record, repeated):
            print(line)
    if record.outcome == "cancelled":
        raise typer.Exit(CANCELLED)
    raise typer.Exit(0 if record.identical else 1)


def _lines(record: RunRecord, repeated: Repeated) -> Iterator[str]:
    """Yield what came of it."""
    if record.outcome != "done":
        yield from run_lines(record, details=False)
        return
    yield f"run        {record.id}: done"
    files, figures = repeated.files, repeated.figures(record)
    same = f"{counted(files, 'file')} bit for bit, {counted(figures, 'figure')} to the last digit"
    yield f"same       {same}"
    yield from difference_lines(record)
