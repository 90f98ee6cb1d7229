"""The third act: the year runs through its zones while a runner is killed, and is counted."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

import pipeline
import weather_service
from check import Verdict, judge_year
from year import YEAR, Place, read_year, without_planted

PIPELINE = Path(pipeline.__file__)
VICTIM = "weather"
"""The zone whose runner is killed."""
VICTIM_BATCHES = 8
"""Batches that it has done by then: it is in the middle."""
WATCH_S = 0.1
RUN_MAX_S = 300.0

Command = list[str]


@dataclass(slots=True, kw_only=True)
class Killed:
    """The runner that was killed, and when another one took its place."""

    zone: str
    pid: int = 0
    batches: int = 0
    """What it had done by then."""
    back_s: float | None = None
    """Seconds until its zone said that it was at work again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What came of the year."""

    code: int
    """Exit code of `firedoor run`."""
    seconds: float
    killed: Killed
    stored: pl.DataFrame
    dead: pl.DataFrame

    @property
    def as_it_should(self) -> bool:
        """Whether a runner was killed, another took its place, and the run held its own books."""
        return self.code == 0 and self.killed.back_s is not None


def firedoor(*arguments: str | Path) -> Command:
    """Return the command that a person types as `firedoor ...`."""
    return [str(Path(sys.executable).with_name("firedoor")), *map(str, arguments)]


def run_year(project: Path) -> Streamed:
    """Run the pipeline from nothing, kill a runner on the way, and collect what came out.

    The weather service runs beside it, at a port of its own.

    Args:
        project: the folder whose `.firedoor` is begun anew. The rows go to `pipeline.STORE`.
    """
    begin_anew(project)
    began_s = time.monotonic()
    with started_weather() as address:
        run = subprocess.Popen(  # noqa: S603 - our own program
            firedoor("run", PIPELINE, "--project", project),
            env={**os.environ, "FLIGHTS_WEATHER": address},
        )
        try:
            killed = kill_runner(run, project / ".firedoor" / "status.json")
            code = run.wait(timeout=RUN_MAX_S)
        except BaseException:
            run.terminate()
            run.wait(timeout=30)
            raise
    return Streamed(
        code=code,
        seconds=time.monotonic() - began_s,
        killed=killed,
        stored=read_rows(pipeline.STORE),
        dead=read_dead_letters(project),
    )


@contextmanager
def started_weather() -> Iterator[str]:
    """Run the weather service at a port that is free, and give its address.

    Raises:
        RuntimeError: if it does not start; it has said why.
    """
    command = [sys.executable, weather_service.__file__, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:  # noqa: S603 - our own program
        try:
            assert service.stdout is not None
            address = service.stdout.readline().strip()
            if not address:
                message = f"the weather service ended with {service.wait()}"
                raise RuntimeError(message)
            yield address
        finally:
            service.terminate()


def begin_anew(project: Path) -> None:
    """Remove what an earlier run left behind: its streams, its dead letters, its rows."""
    remove(project / ".firedoor")
    remove(pipeline.STORE)


def remove(folder: Path) -> None:
    """Remove a folder, also where snapshots in it are read-only."""
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def kill_runner(run: subprocess.Popen[bytes], status: Path) -> Killed:
    """Kill the runner of `VICTIM` in the middle of the run, and wait until it is back."""
    killed = Killed(zone=VICTIM)
    killed_s = 0.0
    while run.poll() is None:
        runners = runners_in(status)
        ready = [runner for runner in runners if runner["batches"] >= VICTIM_BATCHES]
        if not killed.pid and ready:
            killed.pid, killed.batches = ready[0]["pid"], ready[0]["batches"]
            os.kill(killed.pid, signal.SIGKILL)
            killed_s = time.monotonic()
        elif killed.pid and any(runner["pid"] != killed.pid for runner in runners):
            killed.back_s = time.monotonic() - killed_s
            break
        time.sleep(WATCH_S)
    return killed


def runners_in(status: Path) -> list[dict[str, int]]:
    """Return what each runner of the victim says, in the snapshot of a project.

    A runner that was killed is heard for a few more seconds, beside the one in its place.
    """
    try:
        zones = json.loads(status.read_text())["zones"]
    except (OSError, ValueError, KeyError):
        return []
    told = [zone for zone in zones if zone["zone"] == VICTIM]
    return [{"pid": zone["pid"], "batches": zone.get("batches", 0)} for zone in told]


def read_rows(folder: Path) -> pl.DataFrame:
    """Return all rows that a sink wrote."""
    files = sorted(folder.rglob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files])


def read_dead_letters(project: Path) -> pl.DataFrame:
    """Return all dead letters, each row with its reason."""
    file = project / ".firedoor" / "dead.parquet"
    export = firedoor("dlq", "export", file, "--project", project)
    subprocess.run(export, check=True, capture_output=True)  # noqa: S603 - our own program
    return pl.read_parquet(file)


def expected_rows(archive: Path, faults: list[Place]) -> pl.DataFrame:
    """Return what the bare functions make of the flights that were left as they are.

    This is the same code in one process, without zones, streams or walls, and with the weather read
    from the file instead of asked of the service. Without the planted rows it is safe to call.
    """
    flights, _ = read_year(archive)
    good = pipeline.Scheduled.validate(without_planted(flights, faults), cast=True)
    known = weather_service.read_observations(YEAR / "weather.parquet").cast(pipeline.OBSERVATION)
    rows: pl.DataFrame = pipeline.features(
        pipeline.with_weather(pipeline.clean(good), lambda *_: known)
    )
    return rows


def judge(streamed: Streamed, *, archive: Path, faults: list[Place]) -> Verdict:
    """Hold what came out against the truth."""
    expected = expected_rows(archive, faults)
    return judge_year(streamed.stored, streamed.dead, expected=expected, planted=faults)
