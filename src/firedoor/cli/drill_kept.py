"""``firedoor drill show|compare|history``: drills that were done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firedoor.cli.asking import ProjectOption, answer
from firedoor.cli.drill_shown import comparison_lines, score_line, show
from firedoor.compose.drill_files import drills_folder, forms_of, named, names
from firedoor.compose.project import Project
from firedoor.drill.comparing import compare
from firedoor.drill.report import Report

WORSE = 1
FormOption = Annotated[str, typer.Option("--format", help="table, json, junit, html or markdown.")]
_FORMS = {
    "json": "containment.json", "junit": "containment.xml", "html": "containment.html",
    "markdown": "retrospective.md",
}  # fmt: skip


def show_kept(
    drill: Annotated[str, typer.Argument(help="Its name, a containment.json, or last.")] = "last",
    *,
    form: FormOption = "table",
    project: ProjectOption = Path(),
) -> None:
    """Show a drill again, in any form."""
    report = _read(drill, project)
    if form == "table":
        show(report, Console())
        return
    if form not in _FORMS:
        raise typer.BadParameter(f"choose one of table, {', '.join(_FORMS)}")
    print(forms_of(report, None)[_FORMS[form]].decode(), end="")


def compare_kept(
    before: Annotated[str, typer.Argument(help="A drill: its name, or a containment.json.")],
    after: Annotated[str, typer.Argument(help="A later one.")] = "last",
    *,
    project: ProjectOption = Path(),
) -> None:
    """Show which cells are different in a later drill. Ends with 1 if one got worse."""
    compared = compare(_read(before, project), _read(after, project))
    for line in comparison_lines(compared):
        print(line)
    raise typer.Exit(WORSE if compared.worse else 0)


def history(*, project: ProjectOption = Path()) -> None:
    """Show the drills that are kept, the oldest first, a line each."""
    folder = drills_folder(Project.at(project).folder)
    for name in names(folder):
        print(score_line(answer(lambda name=name: named(folder, name))))  # type: ignore[misc]


def _read(name: str, project: Path) -> Report:
    """Return a drill."""
    return answer(lambda: named(drills_folder(Project.at(project).folder), name))
