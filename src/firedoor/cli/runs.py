"""``firedoor runs``: what jobs did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from firedoor.adapters.clock import SystemClock
from firedoor.cli.asking import JsonOption, ProjectOption, answer
from firedoor.cli.runs_shown import event_lines, run_lines, runs_table
from firedoor.compose.runs import Runs


def runs(
    name: Annotated[str | None, typer.Argument(help="train-3; else all are listed.")] = None,
    *,
    job: Annotated[str, typer.Option("--job", help="List those of one job.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Runs at most.")] = 30,
    as_json: JsonOption = False,
    project: ProjectOption = Path(),
) -> None:
    """List the runs of jobs, the latest first, or show one: why it failed, where it came from."""
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
