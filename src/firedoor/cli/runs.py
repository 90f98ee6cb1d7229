"""``firedoor runs``: what jobs did, when they run next, and which records may go."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import typer.core

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, ProjectOption, answer
from firedoor.cli.runs_shown import event_lines, next_lines, run_lines, runs_table
from firedoor.compose.project import Project
from firedoor.compose.run_retention import RUNS_KEPT
from firedoor.compose.runs import Runs
from firedoor.compose.triggering import Lookout, triggered, watching
from firedoor.compose.vetting import counted
from firedoor.errors import NotKnown, ProjectBusy, StoreRefused
from firedoor.spec.plan import Plan


class RunsGroup(typer.core.TyperGroup):
    """Commands of which one need not be named: ``firedoor runs train-3``."""

    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        """Name it where nobody did."""
        if not args or args[0] not in (*self.commands, "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)  # type: ignore[arg-type]


app = typer.Typer(
    cls=RunsGroup,
    help="What jobs did: list runs, show one (firedoor runs train-3), prune old ones.",
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("show")
def show(
    name: Annotated[str | None, typer.Argument(help="train-3; else all are listed.")] = None,
    *,
    job: Annotated[str, typer.Option("--job", help="List those of one job.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Runs at most.")] = 30,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """List the runs of jobs, the latest first, or show one: why it failed, where it came from.

    The list ends with the jobs that have triggers, and when each is due.
    """
    kept = Runs(project)
    if name is not None:
        record = answer(lambda: kept.read(name))
        events = answer(lambda: kept.events(name))
        if as_json:
            told = {**msgspec.to_builtins(record), "causes": record.causes, "held": record.held}
            print(json.dumps({"run": told, "events": msgspec.to_builtins(events)}))
            return
        for line in (*run_lines(record, details=True), *event_lines(events)):
            print(line)
        return
    records = kept.every(job)[:limit]
    if as_json:
        print(json.dumps(msgspec.to_builtins(records)))
    elif not records:
        print("no runs")
    else:
        from rich.console import Console  # noqa: PLC0415 - not needed where JSON is wanted

        table = runs_table(records, now_s=SystemClock().utc_s())
        Console(highlight=False, soft_wrap=True).print(table)
    if not as_json:
        _tell_next(project)


@app.command("prune")
def prune(
    *,
    keep: Annotated[int, typer.Option(help="Runs kept of each job, the latest.")] = RUNS_KEPT,
    job: Annotated[str, typer.Option("--job", help="Of one job.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """Take away the records of old runs, but what a version of a model or a trigger needs."""
    gone = answer(lambda: Runs(project).prune(keep, job=job, dry_run=dry_run))
    if as_json:
        print(json.dumps(gone))
        return
    for name in gone:
        print(name)
    print(f"{counted(len(gone), 'run')} {'would go' if dry_run else 'gone'}")


def _tell_next(project: Path) -> None:
    """Say when jobs with triggers run next, of the pipeline that ran last here."""
    plan = None
    with contextlib.suppress(NotKnown, StoreRefused):
        plan = Project.at(project).read_plan()
    if plan is None or not triggered(plan):
        return
    clock = SystemClock()
    for line in next_lines(Lookout(project, clock).look(plan), now_s=clock.utc_s()):
        print(line)
    if not _is_watched(project, plan):
        print("nobody runs what is due: start `firedoor up` or `firedoor job watch`")


def _is_watched(project: Path, plan: Plan) -> bool:
    """Return whether somebody runs what is due."""
    try:
        with watching(project, plan.pipeline, wait_s=0.0):
            return False
    except (ProjectBusy, StoreRefused):
        return True
