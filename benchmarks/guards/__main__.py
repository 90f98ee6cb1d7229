"""``python -m benchmarks.guards``: what a guarded call costs, and what becomes of fleets."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.guards import cost, verdict
from benchmarks.guards.world import SCENARIOS
from benchmarks.measure import Paper, machine

FLEETS = {1: 2, 10: 3, 100: 1}
"""Clients, and seeds for so many: one core does all of it in less than ten minutes."""
Told = dict[str, dict[str, float]]
NEVER_S = 60.0


def one(scenario: str, fleet: int, seeds: int, only: str) -> Told:
    """Run one scenario in a process of its own."""
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.guards.behaviour",
            scenario,
            str(fleet),
            str(seeds),
            only,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    told: Told = json.loads(ended.stdout)
    return told


def behaviour(paper: Paper, *, fleets: dict[int, int], jobs: int, only: str) -> None:
    """Print what became of each fleet in each scenario, as it becomes known."""
    runs = [(scenario.name, fleet) for fleet in fleets for scenario in SCENARIOS]
    titled = {}
    with ThreadPoolExecutor(jobs) as pool:
        told = pool.map(lambda run: one(run[0], run[1], fleets[run[1]], only), runs)
        for (name, fleet), figures in zip(runs, told, strict=True):
            title = f"{name}, fleet of {fleet}, seeds: {fleets[fleet]}"
            titled[title] = figures
            show(paper, title, figures)
    head = ["", "better than another in", "another is better in"]
    paper.table("all of these: pairs of stacks", head, verdict.summary(titled))


def show(paper: Paper, title: str, figures: Told) -> None:
    """Print one scenario: each stack, then ours beside the best figure of each column."""
    rows = [
        [
            stack,
            f"{f['useful']:.1f}",
            f"{f['load']:.2f}",
            f"{f['per_useful']:.2f}",
            f"{f['flaps']:.1f}",
            "never" if f["recovery_s"] >= NEVER_S else f"{f['recovery_s']:.1f}",
        ]
        for stack, f in figures.items()
    ]
    head = ["", "useful %", "load", "requests / useful", "flaps a client", "recovered after s"]
    paper.table(title, head, rows)
    head = ["beside the best of each column", "useful x", "load x", "recovery s", "better peers",
            "better than"]  # fmt: skip
    beside = verdict.rows(figures)
    if beside:
        paper.table("", head, beside)
    paper.keep(title, figures)


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Fewer rounds, one fleet, one seed.")] = False,
    parts: Annotated[str, typer.Option(help="1: cost of a call. 2: behaviour.")] = "12",
    seeds: Annotated[int, typer.Option(help="Seeds of each run; 0: by fleet.", min=0)] = 0,
    only: Annotated[str, typer.Option(help="Stacks whose name contains this.")] = "",
    jobs: Annotated[int, typer.Option(help="Simulations at a time.", min=1)] = os.cpu_count() or 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """Measure guards beside other libraries."""
    paper = Paper()
    for name, value in machine().items():
        paper.say(f"{name:14} {value}")
    if "1" in parts:
        cost.measure(paper, quick=quick)
    if "2" in parts:
        fleets = {10: 1} if quick else {fleet: seeds or few for fleet, few in FLEETS.items()}
        behaviour(paper, fleets=fleets, jobs=jobs, only=only)
    if json_file is not None:
        json_file.write_text(json.dumps(paper.kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
