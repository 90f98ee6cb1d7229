"""Run every peer on every kind of poison, one at a time, and count what it delivered."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from benchmarks.measure import Paper
from benchmarks.work import EXAMPLE, KEY, POISON, ROOT, load, poisoned

SILENCE_S = 60.0
"""A peer from which nothing came for so long, neither a row nor a dead letter, has stopped."""
HARD_LIMIT_S = 300.0
"""A peer that still works is ended after so long; rows a second are counted until then."""
POLL_S = 0.05
BATCH_ROWS = 10_000

BATCHES = ("plain loop", "firedoor", "apache-beam", "ray", "pebble", "loky")
ROWS = ("plain loop", "apache-beam", "pebble", "loky")
"""Who can be handed single rows. A Ray block that fails is dropped whole, whatever its rows."""

KINDS = ("none", *POISON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one peer did with one kind of poison."""

    way: str
    element: str
    kind: str
    rows: int
    good_rows: int
    delivered: int
    """Good rows that came out, each counted once."""
    doubled: int
    dead: int
    seconds: float
    """From the moment everything was started until the end, or until it was ended."""
    peak_bytes: int
    """Largest resident memory of one process."""
    ended: str

    @property
    def good_share(self) -> float:
        """Share of the good rows that came out."""
        return self.delivered / self.good_rows

    @property
    def rows_a_second(self) -> float:
        """Good rows a second, without start-up."""
        return self.delivered / self.seconds if self.seconds else 0.0


def installed(way: str) -> str | None:
    """Return the version of a peer, or None if it is not installed."""
    if way in {"plain loop", "firedoor"}:
        return ""
    try:
        return version(way)
    except PackageNotFoundError:
        return None


def measure(paper: Paper, *, quick: bool, peers: bool) -> None:
    """Print the table of this part, a line as soon as it is known."""
    done: list[Run] = []
    paper.say("C. The same work, each in a process of its own:")
    for run in runs(quick=quick, peers=peers):
        if isinstance(run, str):
            paper.say(f"  {run}")
            continue
        done.append(run)
        paper.say("  " + "  ".join(_cells(run)))
    for way in dict.fromkeys(run.way for run in done):
        paper.say(f"  {way} {installed(way)}")
    paper.table("C. Others", HEAD, [_cells(run) for run in done])
    paper.keep("peers", [asdict(run) for run in done])


HEAD = ["way", "element", "poison", "rows", "good", "doubled", "dead", "rows/s", "s", "MiB", "end"]


def _cells(run: Run) -> list[str]:
    """Return one line of the table."""
    return [
        run.way,
        run.element,
        run.kind,
        f"{run.rows:,}",
        f"{run.good_share:.3%}",
        str(run.doubled),
        str(run.dead),
        f"{run.rows_a_second:,.0f}",
        f"{run.seconds:.1f}",
        f"{run.peak_bytes / 2**20:,.0f}",
        run.ended,
    ]


def runs(*, quick: bool, peers: bool) -> Iterator[Run | str]:
    """Run them all. Yields a ``Run`` each, or a sentence on a peer that is not there."""
    flights = load()
    batches = 3 if quick else 10
    plan = [(way, BATCH_ROWS, batches) for way in BATCHES]
    plan += [] if quick else [(way, 1, 1) for way in ROWS]
    for way, element_rows, count in plan:
        if not peers and way not in {"plain loop", "firedoor"}:
            continue
        if installed(way) is None:
            yield f"{way}: not installed (python -m pip install {way})"
            continue
        for kind in KINDS:
            # Without poison there is time for more: the start of a run weighs less.
            longer = 3 if kind == "none" and element_rows > 1 else 1
            yield _run(flights, way, kind, element_rows, count * longer)


def _run(flights: pl.DataFrame, way: str, kind: str, element_rows: int, batches: int) -> Run:
    """Run one peer in a process of its own, and end it and all it started after the hard limit."""
    rows = batches * BATCH_ROWS
    with tempfile.TemporaryDirectory(prefix="bench-") as sink:
        paths = [str(ROOT), str(ROOT / "src"), str(EXAMPLE)]
        environment = {**os.environ, "BENCH_SINK": sink, "PYTHONPATH": os.pathsep.join(paths)}
        command = ["-m", "benchmarks.peers.run", way, kind, str(rows), str(element_rows)]
        child = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        peak, why = _watch(child, Path(sink))
        stopped_s = time.monotonic()
        _end(child, sink)
        marks = _marks(Path(sink))
        ready_s = marks.get("ready", {}).get("at_s", stopped_s)
        good = _good_keys(flights, kind, batches)
        delivered = _delivered(Path(sink), good)
        unique = delivered.unique()
        return Run(
            way=way,
            element="batch" if element_rows > 1 else "row",
            kind=kind,
            rows=rows,
            good_rows=good.height,
            delivered=unique.join(good, on=KEY, how="semi").height,
            doubled=delivered.height - unique.height,
            dead=_dead(Path(sink)),
            seconds=marks.get("end", {}).get("at_s", stopped_s) - ready_s,
            peak_bytes=peak,
            ended=why or _how_it_ended(child.returncode, marks),
        )


def _watch(child: subprocess.Popen[bytes], sink: Path) -> tuple[int, str]:
    """Wait for the end or a limit.

    Returns:
        The largest resident memory seen in one process, and why the peer has to be ended, if so.
    """
    peak, sizes = 0, [0]
    began = heard = time.monotonic()
    while child.poll() is None:
        with contextlib.suppress(psutil.Error):
            for process in [root := psutil.Process(child.pid), *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    peak = max(peak, process.memory_info().rss)
        time.sleep(POLL_S)
        now = time.monotonic()
        sizes_now = [path.stat().st_size for path in sorted(sink.iterdir())]
        if sizes_now != sizes:
            sizes, heard = sizes_now, now
        if now - heard > SILENCE_S:
            return peak, f"stopped, nothing for {SILENCE_S:.0f} s"
        if now - began > HARD_LIMIT_S:
            return peak, f"not done after {HARD_LIMIT_S:.0f} s"
    return peak, ""


def _end(child: subprocess.Popen[bytes], sink: str) -> None:
    """End the child and whatever it started, which all carry the name of the sink."""
    if child.poll() is None:
        child.send_signal(signal.SIGKILL)
    child.wait()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("BENCH_SINK") == sink:
                process.kill()


def _how_it_ended(status: int, marks: dict[str, dict[str, Any]]) -> str:
    """Say in words how the process of a peer ended by itself."""
    if status < 0:
        return f"died of {signal.Signals(-status).name}"
    if status > 0:
        return f"gave up: {marks.get('gave up', {}).get('why', 'no reason')}"
    return "ended"


def _dead(sink: Path) -> int:
    """Return how many rows were given up, with a reason."""
    path = sink / "dead"
    return sum(map(int, path.read_text().split())) if path.exists() else 0


def _good_keys(flights: pl.DataFrame, kind: str, batches: int) -> pl.DataFrame:
    """Return the keys of the rows that are not poisoned."""
    made, _ = poisoned(flights, kind, batches=batches)
    bad = [] if kind == "none" else [POISON[kind]]
    keys = pl.concat(made).filter(~pl.col("tailnum").is_in(bad).fill_null(value=False))
    return keys.select(pl.col(KEY).cast(pl.String))


def _delivered(sink: Path, good: pl.DataFrame) -> pl.DataFrame:
    """Read the keys that were written down; the last line may be torn."""
    path = sink / "delivered"
    if not path.exists():
        return good.clear()
    keys = pl.read_csv(
        path, has_header=False, new_columns=KEY, infer_schema=False, truncate_ragged_lines=True
    )
    return keys.with_columns(
        pl.col("time_hour").str.to_datetime(time_unit="us", time_zone="UTC").cast(pl.String)
    )


def _marks(sink: Path) -> dict[str, dict[str, Any]]:
    """Read what happened when."""
    path = sink / "marks"
    lines = path.read_text().splitlines() if path.exists() else []
    return {mark["mark"]: mark for mark in map(json.loads, lines)}
