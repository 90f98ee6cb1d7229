"""``python -m benchmarks.guards``: what a guarded call costs, and what becomes of fleets."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.guards import cost
from benchmarks.guards.world import SCENARIOS
from benchmarks.measure import Paper, machine

FLEETS = (1, 10, 100)
Told = dict[str, dict[str, float]]


def one(scenario: str, fleet: int, seeds: int) -> Told:
    """Run one scenario in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.guards.behaviour", scenario, str(fleet), str(seeds)],
        capture_output=True,
        text=True,
        check=True,
    )
    told: Told = json.loads(ended.stdout)
    return told


def behaviour(paper: Paper, *, quick: bool, seeds: int) -> None:
    """Print what became of each fleet in each scenario."""
    fleets = (10,) if quick else FLEETS
    runs = [(scenario.name, fleet) for scenario in SCENARIOS for fleet in fleets]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        told = list(pool.map(lambda run: one(run[0], run[1], 1 if quick else seeds), runs))
    for (name, fleet), figures in zip(runs, told, strict=True):
        rows = [
            [
                stack,
                f"{f['useful']:.1f}",
                f"{f['load']:.2f}",
                f"{f['per_useful']:.2f}",
                f"{f['flaps']:.1f}",
                "never" if f["recovery_s"] >= 60 else f"{f['recovery_s']:.1f}",  # noqa: PLR2004
            ]
            for stack, f in figures.items()
        ]
        head = ["", "useful %", "load", "requests / useful", "flaps a client", "recovered after s"]
        paper.table(f"{name}, fleet of {fleet}", head, rows)
        paper.keep(f"{name}, fleet of {fleet}", figures)


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Fewer rounds, one fleet, one seed.")] = False,
    parts: Annotated[str, typer.Option(help="1: cost of a call. 2: behaviour.")] = "12",
    seeds: Annotated[int, typer.Option(help="Seeds of each simulated run.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Measure guards beside other libraries."""
    paper = Paper()
    for name, value in machine().items():
        paper.say(f"{name:14} {value}")
    if "1" in parts:
        cost.measure(paper, quick=quick)
    if "2" in parts:
        behaviour(paper, quick=quick, seeds=seeds)
    if json_file is not None:
        json_file.write_text(json.dumps(paper.kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
