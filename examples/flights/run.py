"""Real flights with faults planted among them: in a plain loop, behind a wall, through zones.

    python examples/flights/run.py [--data ARCHIVE] [--json FILE] [--project FOLDER]

The exit code is 0 only if every good row came through once, behind the wall and at the end of the
pipeline, and every planted one is a dead letter that names it.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

import firedoor as fd
import show
import stream
from check import Verdict, count_delivered, judge
from data import DataMissing, in_batches, plant, read_archive, save_weather, without_planted
from steps import WEATHER, Flight, add_features
from year import ARCHIVE, ROOT, YEAR, write_year

PLAIN_LOOP = Path(__file__).with_name("plain_loop.py")
PLAIN_LOOP_MAX_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainLoop:
    """How the plain loop ended, and what it had delivered by then."""

    ended: str
    good: list[pl.DataFrame]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walled:
    """What came through the wall. The dead letters carry the number of their batch."""

    good: pl.DataFrame
    dead: pl.DataFrame
    report: fd.WallReport
    seconds: float


def main() -> int:
    """Run the three acts, and return the exit code."""
    arguments = parse_arguments()
    try:
        flights, weather = read_archive(arguments.data)
        faults_of_year = write_year(arguments.data, YEAR)
    except DataMissing as error:
        show.error(str(error))
        return 2
    save_weather(weather, WEATHER)
    clean = in_batches(flights)
    batches, planted = plant(clean)
    show.introduction(flights, weather, planted)

    plain = run_plain_loop(batches)
    walled = run_behind_wall(batches)

    # Without the rows that were overwritten, the bare function is safe to call right here.
    good = [Flight.validate(batch, cast=True) for batch in without_planted(clean, planted)]
    expected = pl.concat(add_features(batch) for batch in good)
    verdict = judge(walled.good, walled.dead, expected=expected, planted=planted)
    plain_delivered = sum(count_delivered(part, expected=expected) for part in plain.good)

    show.dead_letters(walled.dead, planted)
    show.report(str(walled.report))
    show.checks(verdict)

    show.act("3. The year in five zones, one runner killed on the way")
    streamed = stream.run_year(arguments.project)
    of_year = stream.judge(streamed, archive=arguments.data, faults=faults_of_year)
    show.year(streamed, of_year, faults_of_year)
    show.closing_lines(plain.ended, plain_delivered, verdict, of_year)
    if arguments.json:
        figures = figures_of(plain, plain_delivered, walled, verdict)
        write_figures(arguments.json, {**figures, "year": figures_of_year(streamed, of_year)})
    return 0 if verdict.holds and streamed.as_it_should and of_year.holds else 1


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ARCHIVE, help="what `make data` fetched")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    parser.add_argument(
        "--project",
        type=Path,
        default=ROOT,
        help="where the third act begins its .firedoor anew (default: the repository)",
    )
    arguments = parser.parse_args()
    if arguments.json and not arguments.json.absolute().parent.is_dir():
        parser.error(f"--json {arguments.json}: its folder does not exist; make it first")
    return arguments


def run_plain_loop(batches: list[pl.DataFrame]) -> PlainLoop:
    """Run the loop that people write, in a process that it may take down."""
    show.act("1. A plain loop, try/except around each batch")
    with tempfile.TemporaryDirectory(prefix="flights-") as folder:
        inlet, results = Path(folder, "batches"), Path(folder, "results")
        inlet.mkdir()
        results.mkdir()
        for number, batch in enumerate(batches):
            batch.write_parquet(inlet / f"batch-{number:03}.parquet")
        command = [sys.executable, str(PLAIN_LOOP), str(inlet), str(results)]
        try:
            end = subprocess.run(command, cwd=folder, timeout=PLAIN_LOOP_MAX_S, check=False)  # noqa: S603 - our own script
            code = end.returncode
        except subprocess.TimeoutExpired:
            code = None
        good = []
        finished = sorted(results.iterdir())
        for number, result in enumerate(finished):
            if result.suffix == ".lost":
                show.lost_batch(number, result.read_text())
            else:
                good.append(pl.read_parquet(result))
                show.good_batch(number, good[-1].height)
    ended = describe_end(code, batch=len(finished))
    show.end_of_plain_loop(ended, batches_left=len(batches) - len(finished))
    return PlainLoop(ended=ended, good=good)


def describe_end(code: int | None, *, batch: int) -> str:
    """Say how the plain loop's process ended, from its exit code (None: it never did)."""
    if code is None:
        return f"hung at batch {batch}"
    if code < 0:
        return f"died at batch {batch} ({signal.Signals(-code).name})"
    return f"ended with exit code {code}"


def run_behind_wall(batches: list[pl.DataFrame]) -> Walled:
    """Run the same function on the same batches, behind a wall."""
    show.act("2. The same function behind fd.Wall")
    good_parts, dead_parts = [], []
    started_s = time.perf_counter()
    wall = fd.Wall(add_features, schema=Flight, memory="512MiB", timeout_s=2, reads=[WEATHER])
    with wall, show.waiting("starting workers") as waiting:
        for number, (good, dead) in enumerate(wall.map(batches)):
            show.good_batch(number, good.height, dead=dead.reasons["code"])
            waiting.update(f"batch {number + 1}")
            good_parts.append(good)
            dead_parts.append(dead.frame.with_columns(batch=number))
        report = wall.report()
    return Walled(
        good=pl.concat(good_parts),
        dead=pl.concat(dead_parts),
        report=report,
        seconds=time.perf_counter() - started_s,
    )


def figures_of(
    plain: PlainLoop, plain_delivered: int, walled: Walled, verdict: Verdict
) -> dict[str, object]:
    """Return the figures of the first two acts."""
    letters = walled.dead.select("batch", row="dead_row", code="dead_code", message="dead_message")
    return {
        "plain_loop": {"ended": plain.ended, "delivered": plain_delivered},
        "firedoor": {
            **asdict(verdict),
            "holds": verdict.holds,
            "seconds": round(walled.seconds, 3),
            "start": walled.report.way,
            "seal": walled.report.seal_level,
            "workers_lost": walled.report.lost_by_cause,
        },
        "dead_letters": letters.to_dicts(),
    }


def figures_of_year(streamed: stream.Streamed, verdict: Verdict) -> dict[str, object]:
    """Return the figures of the third act."""
    letters = streamed.dead.select(
        zone="dead_zone", batch="dead_batch", row="dead_row", code="dead_code"
    )
    return {
        **asdict(verdict),
        "holds": verdict.holds,
        "exit_code": streamed.code,
        "seconds": round(streamed.seconds, 3),
        "killed": asdict(streamed.killed),
        "dead_letters": letters.to_dicts(),
    }


def write_figures(path: Path, figures: dict[str, object]) -> None:
    """Write the figures as JSON: the whole file, or none of it."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(figures, indent=2) + "\n")
    unfinished.replace(path)


if __name__ == "__main__":
    sys.exit(main())
