"""Injects faults into each zone of the running flights, and holds all others to what they promise.

    python examples/flights/drill.py [--full] [--data ARCHIVE] [--project FOLDER]

Runs `live.py`: flights come in at a steady pace, clients ask the service all the while, and
`firedoor drill run --gate` does what `drills.yaml` says (`drills-full.yaml` with `--full`). The
exit code is the drill's: 0 only if nobody was hurt by a fault in somebody else's zone; or 1 if, in
the end, a row is not accounted for.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import delays
import feed
import firedoor as fd
import live
import pipeline as year
import serve
import show_drill as show
import stream
import train
import weather_service
from data import DataMissing
from load import Load
from year import ARCHIVE, ROOT, YEAR, file_of, write_year

HERE = Path(__file__).parent
QUICK, FULL = HERE / "drills.yaml", HERE / "drills-full.yaml"
PROJECT = ROOT / ".cache" / "drill"
MODEL = "delays"
ROUNDS = 120
TUNED_FROM = 24
"""Day of January from which on flights say when to stop learning."""
REQUESTS = 60.0
"""A second: 200 and more while a fault is injected, so that they can be judged."""
START_MAX_S = 90.0
END_MAX_S = 60.0
LOOK_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """How the drill, and the run that it was done to, ended."""

    code: int
    """Of `firedoor drill run`."""
    run_code: int
    """Of `firedoor up`: 0 only if every row is accounted for."""
    took_s: float


def main() -> int:
    """Tell the story, and return the exit code."""
    arguments = parse_arguments()
    began_s = time.monotonic()
    try:
        write_year(arguments.data, YEAR)
    except DataMissing as error:
        show.error(str(error))
        return 2
    project: Path = arguments.project
    begin_anew(project)
    flights = january()
    have_model(project, flights)
    show.prepared(time.monotonic() - began_s)
    with ExitStack() as stack:
        weather = stack.enter_context(stream.started_weather())
        stack.enter_context(started([sys.executable, feed.__file__], project / "feed.log"))
        os.environ["FLIGHTS_WEATHER"] = weather
        if arguments.full:
            os.environ |= stack.enter_context(collected(project))
        run = stack.enter_context(upheld(project))
        served = serve.served(
            train.Project(project), weather, pipeline=live.__file__, log=project / "serve.log"
        )
        address = stack.enter_context(served)
        load = Load(
            address, project, rate=REQUESTS, versions=(1,), flights=flights,
            batch_rows=feed.FILE_ROWS,
        )  # fmt: skip
        load.start()
        exercise = drill(project, arguments.matrix or (FULL if arguments.full else QUICK), run)
        seen = load.stop()
    show.closing_lines(exercise, seen, time.monotonic() - began_s, project)
    return exercise.code or exercise.run_code


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ARCHIVE, help="what `make data` fetched")
    parser.add_argument("--full", action="store_true", help="inject every fault, not one a class")
    parser.add_argument("--matrix", type=Path, help="another matrix than those of the example")
    parser.add_argument(
        "--project", type=Path, default=PROJECT, help="where .firedoor is (default: .cache/drill)"
    )
    return parser.parse_args()


def begin_anew(project: Path) -> None:
    """Remove what an earlier drill left behind, but for the model."""
    project.mkdir(parents=True, exist_ok=True)
    for path in (project / ".firedoor").glob("*"):
        if path.name == "models":
            continue
        if path.is_dir():
            stream.remove(path)
        else:
            path.unlink()
    stream.remove(feed.FEED)
    stream.remove(live.STORE)


def january() -> pl.DataFrame:
    """Return what the steps make of the flights that the feed brings, in their order.

    With month, day and hour, by which clients have the weather looked up.
    """
    text = dict.fromkeys(year.AsRead.column_names(), pl.String())
    lines = pl.read_ndjson(YEAR / file_of(feed.MONTH), schema=text)
    known = weather_service.read_observations(YEAR / "weather.parquet").cast(year.OBSERVATION)
    flights = year.features(
        year.with_weather(year.clean(year.Scheduled.validate(lines, cast=True)), lambda *_: known)
    )
    left = pl.col("time_hour").dt.convert_time_zone("America/New_York").dt
    return flights.with_columns(month=left.month(), day=left.day(), hour=left.hour())


def have_model(project: Path, flights: pl.DataFrame) -> None:
    """Have a model that answers: a small one, learnt from January in seconds, if there is none."""
    models = fd.Models(project, by="the example")
    known = serve.known_versions(models)
    if known is not None and known.champion is not None:
        return
    labelled = flights.filter(pl.col(delays.LABEL).is_not_null())
    train = labelled.filter(pl.col("day") < TUNED_FROM)
    tune = labelled.filter(pl.col("day") >= TUNED_FROM)
    names = delays.names_in(train)
    booster = delays.fit(train, tune, names, seed=1, rounds=ROUNDS, after_round=lambda _: None)
    made = project / "made"
    stream.remove(made)
    made.mkdir()
    model = delays.calibrated([booster], names, tune)
    delays.save_model(model, made)
    example = train.select(*delays.INPUTS).head(20)
    example.with_columns(model.chance(example)).write_parquet(made / "example.parquet")
    version = models.add(
        MODEL, made, loader="delays:load", example="example.parquet", inputs=delays.INPUTS,
        outputs=delays.OUTPUTS,
    )  # fmt: skip
    stream.remove(made)
    name = f"{MODEL}@{version.number}"
    models.qualify(name, "promote", because="it is for a drill")
    models.promote(name, because="it is for a drill")


@contextmanager
def collected(project: Path) -> Iterator[dict[str, str]]:
    """Take telemetry until it is left, so that it can be missing; give who is to send it where."""
    words = ["-m", "firedoor.testing.otlp", "--port", "0", "--into", str(project / "telemetry")]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as collector:  # noqa: S603 - our own program
        assert collector.stdout is not None, "it is a pipe"
        address = collector.stdout.readline().strip().rpartition(" ")[2]
        try:
            yield {
                "OTEL_EXPORTER_OTLP_ENDPOINT": address,
                "OTEL_METRIC_EXPORT_INTERVAL": "1000",  # often enough to be missed in five seconds
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.05",
            }
        finally:
            collector.terminate()


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until it is left; what it prints goes to a log."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)  # noqa: S603 - our own program
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> int:
    """Ask a program to end, if it has not yet; return its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    return process.wait(timeout=END_MAX_S)


@contextmanager
def upheld(project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run `firedoor up` until it is left, and give it once rows have come through.

    Raises:
        SystemExit: if none do; its log says why.
    """
    words = ("up", live.__file__)
    show.typed(words)
    log = project / "up.log"
    command = stream.firedoor(*words, "--project", project)
    with started(command, log) as run:
        until_s = time.monotonic() + START_MAX_S
        while not any(live.STORE.glob("*.parquet")):
            if run.poll() is not None or time.monotonic() > until_s:
                sys.exit(f"no flight comes through:\n{log.read_text()}")
            time.sleep(LOOK_S)
        yield run


def drill(project: Path, matrix: Path, run: subprocess.Popen[bytes]) -> Exercise:
    """Do what a matrix says, show what the command prints, and end the run."""
    words = ("drill", "run", "--gate", "--matrix", str(matrix))
    show.typed(words)
    sys.stdout.flush()
    began_s = time.monotonic()
    command = stream.firedoor(*words, "--project", project)
    wide = {} if sys.stdout.isatty() else {"COLUMNS": show.COLUMNS}
    code = subprocess.run(  # noqa: S603 - our own program
        command, env={**os.environ, **wide}, check=False
    ).returncode
    took_s = time.monotonic() - began_s
    return Exercise(code=code, run_code=end(run), took_s=took_s)


if __name__ == "__main__":
    sys.exit(main())
