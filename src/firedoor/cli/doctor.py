"""``firedoor doctor``: what is in force on this machine, and what to do about what is not."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from firedoor.compute.doctor import Diagnosis, diagnose

_COLOURS = {"ok": "green", "weaker": "yellow", "missing": "red"}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what of the wall is in force on this machine, and what to do about what is not.

    Ends with 0 if walls work here, with 1 if they do not.
    """
    diagnosis = diagnose()
    if as_json:
        print(json.dumps({"usable": diagnosis.usable, **asdict(diagnosis)}, indent=2))
    else:
        _show(diagnosis)
    raise typer.Exit(0 if diagnosis.usable else 1)


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
