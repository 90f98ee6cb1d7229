"""``firedoor map``: a pipeline drawn."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.unloadable import refusals_told
from firedoor.compose.files import write_atomically
from firedoor.compose.loading import load_plan
from firedoor.control.map import mermaid, svg


class Format(StrEnum):
    """What a drawing is written in."""

    SVG = "svg"
    MERMAID = "mermaid"


def draw(
    pipeline: Annotated[Path, typer.Argument(help="The file that declares the pipeline.")],
    *,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Default: by the ending of --out, else mermaid."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write it to this file, not to the terminal.")
    ] = None,
) -> None:
    """Draw a pipeline, as Mermaid or SVG.

    Zones, edges and what they do when full, lookups and models (dashed).
    """
    with refusals_told():
        plan = load_plan(pipeline)
    chosen = form or (Format.SVG if out and out.suffix.lower() == ".svg" else Format.MERMAID)
    drawn = svg(plan) if chosen is Format.SVG else mermaid(plan)
    if out is None:
        print(drawn, end="")
        return
    try:
        write_atomically(out.absolute(), drawn.encode())
        out.chmod(0o644)  # unlike files of the project folder, it is made to be shown
    except OSError as error:
        print(
            f"firedoor: {out} cannot be written ({error.strerror}); name another file",
            file=sys.stderr,
        )
        raise typer.Exit(1) from error
    print(f"wrote {out}: zones: {len(plan.zones)}, edges: {len(plan.edges)}")
