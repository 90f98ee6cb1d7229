"""``firedoor doctor``: what is in force on this machine, and what to do about what is not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firedoor.compute.doctor import Diagnosis, Finding, diagnose
from firedoor.spec.plan import decode_plan

_COLOURS = {"ok": "green", "weaker": "yellow", "missing": "red"}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    project: Annotated[
        Path | None, typer.Option(help="Look at the store of the project in this folder as well.")
    ] = None,
) -> None:
    """Say what of the wall is in force on this machine, and what to do about what is not.

    With a project folder, its store as well: versions, lock, gaps, checksums, room. Ends with 0 if
    walls work here and nothing is wrong with the store, with 1 otherwise.
    """
    diagnosis = diagnose()
    if project is not None:
        diagnosis = Diagnosis(findings=(*diagnosis.findings, *_look_at(project)))
    if as_json:
        print(json.dumps({"usable": diagnosis.usable, **asdict(diagnosis)}, indent=2))
    else:
        _show(diagnosis)
    raise typer.Exit(0 if diagnosis.usable else 1)


def _look_at(project: Path) -> tuple[Finding, ...]:
    """Return what was found in the store of a project."""
    from firedoor.adapters.nats.checks import check_store  # noqa: PLC0415 - an optional dependency
    from firedoor.compose.project import Project  # noqa: PLC0415

    found = Project.at(project)
    plan = decode_plan(found.plan_file.read_bytes()) if found.plan_file.exists() else None
    return asyncio.run(check_store(found.folder, plan))


def _show(diagnosis: Diagnosis) -> None:
    """Print a table for people."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in diagnosis.findings:
        colour = _COLOURS[finding.verdict]
        remedy = f"\n[dim]-> {_plain(finding.remedy)}[/dim]" if finding.remedy else ""
        verdict = f"[{colour}]{finding.verdict}[/{colour}]"
        table.add_row(verdict, finding.topic, _plain(finding.found) + remedy)
    console = Console()
    console.print(table)
    walls = "walls work here" if diagnosis.usable else "walls do not work here: see above"
    console.print(f"\n{walls}")


def _plain(text: str) -> str:
    """Return text that rich shows as it is."""
    return text.replace("[", r"\[")
