"""``firedoor check``: what is wrong with a pipeline, before any row flows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.unloadable import refusals_told
from firedoor.compose.inputs import missing_inputs
from firedoor.compose.loading import load_plan
from firedoor.compose.trying import Found, try_pipeline


def check(
    pipeline: Annotated[Path, typer.Argument(help="The file that declares the pipeline.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Load a pipeline, and run each transform on no rows, to find what types cannot.

    Ends with 0 if nothing is wrong, with 1 if anything is.
    """
    with refusals_told():
        plan = load_plan(pipeline)
        found = try_pipeline(pipeline)
    missing = missing_inputs(plan)
    broken = [one for one in found if one.verdict == "problem"]
    if as_json:
        told = [{"zone": one.zone, "verdict": one.verdict, "said": one.said} for one in found]
        print(json.dumps({"zones": told, "missing": list(missing)}, indent=2))
    else:
        _show(found, missing)
    raise typer.Exit(1 if broken or missing else 0)


def _show(found: tuple[Found, ...], missing: tuple[str, ...]) -> None:
    """Print a line a zone, and what is missing."""
    width = max(len(one.zone) for one in found)
    for one in found:
        said = one.said.replace("\n", "\n" + " " * (width + 12))
        print(f"{one.verdict:<8}  {one.zone:<{width}}  {said}".rstrip())
    for line in missing:
        print(f"missing   {line}")
    problems = len(missing) + sum(one.verdict == "problem" for one in found)
    untried = sum(one.verdict == "untried" for one in found)
    aside = f"; {untried} of {len(found)} zones could not be tried" if untried else ""
    if problems:
        print(f"\n{problems} {'problem' if problems == 1 else 'problems'}{aside}")
    else:
        print(f"\nno problems{aside}")
