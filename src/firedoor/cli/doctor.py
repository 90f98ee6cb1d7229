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
from firedoor.errors import FiredoorError, NotKnown

_COLOURS = {"ok": "green", "weaker": "yellow", "missing": "red"}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    project: Annotated[
        Path | None, typer.Option(help="Look at the store of the project in this folder as well.")
    ] = None,
) -> None:
    """Say what is in force on this machine, and what to do.

    With a project folder, its store as well: versions, lock, gaps, checksums, room. Ends with 0 if
    walls work here and nothing is wrong with the store, with 1 otherwise.
    """
    machine = diagnose()
    store = None if project is None else Diagnosis(findings=_look_at(project))
    both = Diagnosis(findings=(*machine.findings, *(store.findings if store else ())))
    if as_json:
        print(json.dumps({"usable": both.usable, **asdict(both)}, indent=2))
    else:
        _show(both)
        print("\nwalls work here" if machine.usable else "\nwalls do not work here: see above")
        if store is not None:
            print(_sum_up(store))
    raise typer.Exit(0 if both.usable else 1)


def _look_at(project: Path) -> tuple[Finding, ...]:
    """Return what was found in the store of a project."""
    from firedoor.adapters.nats.checks import check_store  # noqa: PLC0415 - an optional dependency
    from firedoor.compose.project import Project  # noqa: PLC0415

    found = Project.at(project)
    if not found.folder.is_dir():
        remedy = "name the folder that .firedoor is in, or begin with `firedoor run PIPELINE.py`"
        return (_bad(f"{found.folder} is not there", remedy),)
    findings: tuple[Finding, ...] = ()
    plan = None
    try:
        plan = found.read_plan()
    except NotKnown as error:
        findings = (Finding(topic="project", verdict="ok", found=str(error)),)
    except (FiredoorError, OSError) as error:
        remedy = "run the pipeline anew, with the firedoor that wrote it or in another folder"
        findings = (_bad(str(error), remedy),)
    return (*findings, *asyncio.run(check_store(found.folder, plan)))


def _bad(found: str, remedy: str) -> Finding:
    """Return a finding that makes a project unable to run."""
    return Finding(topic="project", verdict="missing", found=found, remedy=remedy, fatal=True)


def _sum_up(store: Diagnosis) -> str:
    """Return in one line how the store of a project is."""
    if not store.usable:
        return "the project cannot run: see above"
    if any(finding.verdict != "ok" for finding in store.findings):
        return "the project can run, but see above"
    return "nothing is wrong with the project"


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


def _plain(text: str) -> str:
    """Return text that rich shows as it is."""
    return text.replace("[", r"\[")
