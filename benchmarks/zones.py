"""E: what zones cost on clean batches, by item, and how soon they are back after a kill."""

import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import psutil

from benchmarks.measure import Paper, spread
from benchmarks.records import read_records
from benchmarks.runs import LINES, ROOT, Run, Sample, finish, start, watched
from benchmarks.work import ARCHIVE, KEY
from firedoor.wire.records import BatchRecord

import year  # isort: skip - the example's, found by benchmarks.work

ZONES = ("flights", "clean", "weather", "features", "store")
HOPS = len(ZONES) - 1
ROWS_OF_YEAR = 336_776
SOON = 0.05
"""Share of a run that counts as its beginning, and as its end, and is left out."""
MS = 1000.0
KILL_AFTER = 10
"""Batches that are stored when something is killed: of 37."""
KILLED = ("worker", "fork server", "runner", "broker", "supervisor")


def measure(paper: Paper, *, quick: bool) -> None:
    """Print the tables of this part."""
    write_lines()
    rounds, years = (2, 2) if quick else (5, 8)
    rows_a_s = _throughput(paper, rounds=rounds, years=years)
    _latency(paper, rate=rows_a_s / 10, seconds=10 if quick else 60)
    _recovery(paper, rate=rows_a_s / 8, rounds=1 if quick else 3)
    _memory(paper, years=3 if quick else 30)


def write_lines() -> None:
    """Write the flights of the year without faults, once."""
    if LINES.exists():
        return
    unfinished = LINES.with_name(f"{LINES.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    flights, weather = year.read_year(ARCHIVE)
    for month, part in year.months_of(flights).items():
        (unfinished / year.file_of(month)).write_bytes(part.write_ndjson().encode())
    weather.write_parquet(unfinished / "weather.parquet")
    unfinished.rename(LINES)


@contextmanager
def folder_of(years: int) -> Iterator[Path]:
    """Give a folder whose ``in/`` has the year so many times, without copying it."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=ROOT / ".cache") as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(years):
            for file in LINES.glob("*.jsonl"):
                (folder / "in" / f"{number:03}-{file.name}").symlink_to(file)
        yield folder


# --- throughput -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one run was, from its first batch at the end to its last."""

    rows_a_s: float
    cpu_ms: float
    """CPU time of a batch, all processes."""
    by_item: dict[str, float]


def _throughput(paper: Paper, *, rounds: int, years: int) -> float:
    """Run the loops and the zones in turn, and return the rows a second of the zones."""
    ways: dict[str, Callable[[], Pace]] = {
        "one loop": lambda: _loop(years, "--plain"),
        "one loop, codec at each hop": lambda: _loop(years, "--codec"),
        "zones": lambda: _zones(years),
    }
    paces: dict[str, list[Pace]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, once in ways.items():
            paces[way].append(once())
    floor = paces["one loop, codec at each hop"]
    rows = []
    for way, told in paces.items():
        ratios = [a.rows_a_s / b.rows_a_s for a, b in zip(told, floor, strict=True)]
        cpu = statistics.median(pace.cpu_ms for pace in told)
        rows.append(
            [
                way,
                spread([pace.rows_a_s for pace in told]),
                spread(ratios),
                f"{cpu:.1f}",
                f"{cpu / statistics.median(pace.cpu_ms for pace in floor):.2f}",
            ]
        )
    title = f"E. {years} years of flights, {rounds} rounds in turn: median (least..most)"
    paper.table(title, ["way", "rows/s", "of the codec loop", "CPU ms a batch", "of it"], rows)
    _items(paper, paces)
    paper.keep("zones", {way: [_figures(pace) for pace in told] for way, told in paces.items()})
    return statistics.median(pace.rows_a_s for pace in paces["zones"])


def _items(paper: Paper, paces: dict[str, list[Pace]]) -> None:
    """Print where the CPU time of a batch goes."""
    zones = paces["zones"]
    cpu = {way: statistics.median(pace.cpu_ms for pace in told) for way, told in paces.items()}
    codec = cpu["one loop, codec at each hop"] - cpu["one loop"]
    items = sorted({item for pace in zones for item in pace.by_item})
    of = {item: statistics.median(p.by_item.get(item, 0.0) for p in zones) for item in items}
    rows = [[item, f"{of[item]:.2f}", f"{of[item] / HOPS:.2f}"] for item in items]
    rows.append(["steps and files alone (one loop)", f"{cpu['one loop']:.2f}", ""])
    rows.append(["codec alone (difference of the loops)", f"{codec:.2f}", f"{codec / HOPS:.2f}"])
    paper.table("E. CPU time by item", ["item", "ms a batch", "ms a batch and hop"], rows)


def _figures(pace: Pace) -> dict[str, object]:
    """Return a pace as plain figures."""
    return {"rows_a_s": pace.rows_a_s, "cpu_ms": pace.cpu_ms, "by_item": pace.by_item}


def _loop(years: int, way: str) -> Pace:
    """Run one of the loops in a process of its own."""
    with folder_of(years) as folder:
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks.loops", folder, way],
            cwd=ROOT, env=_environment(folder), capture_output=True, text=True, check=True,
        )  # fmt: skip
    told = json.loads(ended.stdout)
    return Pace(
        rows_a_s=told["rows"] / told["seconds"],
        cpu_ms=MS * told["cpu_s"] / told["batches"],
        by_item={},
    )


def _zones(years: int) -> Pace:
    """Run the zones."""
    with folder_of(years) as folder:
        run = start(folder, rate=0)
        with watched(run, every_s=0.25):
            finish(run)
        records = read_records(folder, "store")["store"]
    assert sum(record.rows_in for record in records) == years * ROWS_OF_YEAR
    records.sort(key=lambda record: record.ended_s)
    seconds = records[-1].ended_s - records[0].ended_s
    by_item = cpu_ms_a_batch(run.samples, len(records))
    return Pace(
        rows_a_s=sum(record.rows_in for record in records[1:]) / seconds,
        cpu_ms=sum(by_item.values()),
        by_item=by_item,
    )


def cpu_ms_a_batch(samples: list[Sample], batches: int) -> dict[str, float]:
    """Return the CPU time of a batch by item, in the middle of a run."""
    middle = [s for s in samples if SOON * batches <= s.stored <= (1 - SOON) * batches]
    first, last = middle[0], middle[-1]
    done = last.stored - first.stored
    return {
        item: MS * (cpu_s - first.cpu_s.get(item, 0.0)) / done for item, cpu_s in last.cpu_s.items()
    }


def _environment(folder: Path) -> dict[str, str]:
    """Return what the loops and the zones read."""
    return {**os.environ, "BENCH_FOLDER": str(folder), "FLIGHTS_YEAR": str(LINES)}


# --- latency --------------------------------------------------------------------------------------


def _latency(paper: Paper, *, rate: float, seconds: float) -> None:
    """Measure how long a hop takes when nothing has to wait: from record to record."""
    years = max(1, round(rate * seconds / ROWS_OF_YEAR))
    with folder_of(years) as folder:
        run = start(folder, rate=rate)
        finish(run)
        told = read_records(folder, *ZONES)
        records = {zone: _by_batch(told[zone]) for zone in ZONES}
    rows = []
    kept = {}
    for before, zone in itertools.pairwise(ZONES):
        hop = [
            MS * (record.ended_s - records[before][batch].ended_s)
            for batch, record in records[zone].items()
        ]
        kept[f"{before} -> {zone}"] = hop
        rows.append([f"{before} -> {zone}", *_percentiles(hop)])
    whole = [MS * (record.ended_s - record.cut_s) for record in records["store"].values()]
    rows.append(["from the cut to the store", *_percentiles(whole)])
    paper.table(
        f"E. Latency at {rate:,.0f} rows/s, a tenth of capacity, {len(whole)} batches",
        ["hop", "p50 ms", "p99 ms"],
        rows,
    )
    paper.keep("latency", {**kept, "whole": whole})


def _by_batch(records: list[BatchRecord]) -> dict[str, BatchRecord]:
    """Return records by batch."""
    return {record.batch: record for record in records}


def _percentiles(values: list[float]) -> list[str]:
    """Return p50 and p99."""
    ordered = sorted(values)
    return [f"{ordered[min(len(ordered) - 1, int(len(ordered) * p))]:.1f}" for p in (0.5, 0.99)]


# --- recovery -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What a kill cost."""

    seconds: float
    """From the kill to the next batch that the zone finished."""
    lost: int
    doubled: int


def _recovery(paper: Paper, *, rate: float, rounds: int) -> None:
    """Kill each kind of process in the middle of a run, and look how soon batches come again."""
    usual = 10_000 / rate
    told: dict[str, list[Recovery]] = {}
    for _ in range(rounds):
        for kind in KILLED:
            told.setdefault(kind, []).append(_kill_one(kind, rate=rate))
    rows = [
        [
            kind,
            spread([each.seconds for each in recoveries], unit=" s"),
            str(sum(each.lost for each in recoveries)),
            str(sum(each.doubled for each in recoveries)),
        ]
        for kind, recoveries in told.items()
    ]
    paper.table(
        f"E. SIGKILL in the middle, {rounds} times each; a batch comes every {usual:.2f} s",
        ["killed", "to the next batch of its zone", "rows lost", "rows doubled"],
        rows,
    )
    paper.keep("recovery", {kind: [each.seconds for each in told[kind]] for kind in told})


def _kill_one(kind: str, *, rate: float) -> Recovery:
    """Run the year, kill one process after a third of it, and see what comes out."""
    with folder_of(1) as folder:
        run = start(folder, rate=rate)
        _wait_for(lambda: run.stored() >= KILL_AFTER, run)
        victim = _victim(run, kind)
        killed_s = time.time()
        os.kill(victim, signal.SIGKILL)
        if kind == "supervisor":
            run.process.wait()
            run = start(folder, rate=rate)
        finish(run)
        zone = "clean" if kind in {"broker", "supervisor"} else "weather"
        records = read_records(folder, zone)[zone]
        after = [r.ended_s for r in records if r.ended_s > killed_s]
        stored = pl.read_parquet(list((folder / "out").rglob("*.parquet")))
    keys = stored.n_unique(KEY)
    return Recovery(
        seconds=min(after) - killed_s, lost=ROWS_OF_YEAR - keys, doubled=stored.height - keys
    )


def _victim(run: Run, kind: str) -> int:
    """Return the process to kill; of those of a zone, of ``weather``."""
    if kind == "supervisor":
        return run.process.pid
    if kind == "broker":
        return next(p.pid for p in run.processes() if p.name().startswith("nats-server"))
    runner = run.zone("weather")
    assert runner is not None
    if kind == "runner":
        return runner.pid
    # The fork server is the runner's child, the workers are the server's; the oldest is at work.
    server = max(runner.children(), key=lambda child: len(child.children(recursive=True)))
    if kind == "fork server":
        return server.pid
    return min(server.children(recursive=True), key=psutil.Process.create_time).pid


def _wait_for(happened: Callable[[], bool], run: Run) -> None:
    """Wait until something has happened in a run that goes on."""
    while not happened():
        if run.process.poll() is not None:
            message = f"the run ended early: {(run.folder / 'run.log').read_text()[-2000:]}"
            raise RuntimeError(message)
        time.sleep(0.02)


# --- memory ---------------------------------------------------------------------------------------


def _memory(paper: Paper, *, years: int) -> None:
    """Compare the memory of each kind of process in a second and in a last tenth of a long run."""
    with folder_of(years) as folder:
        run = start(folder, rate=0)
        with watched(run, every_s=0.5, memory=True):
            finish(run)
        batches = run.stored()
    early = [s for s in run.samples if 0.1 * batches <= s.stored < 0.2 * batches]
    late = [s for s in run.samples if 0.9 * batches <= s.stored < batches]
    rows = []
    for item in sorted({item for sample in late for item in sample.pss_mib}):
        mib = [_mib(samples, item) for samples in (early, late)]
        rows.append([item, *(f"{each:.1f}" for each in mib), f"{mib[1] - mib[0]:+.1f}"])
    paper.table(
        f"E. Memory (PSS, all processes of a kind, MiB), {batches} batches",
        ["item", "batches 10 % to 20 %", "90 % to 100 %", "difference"],
        rows,
    )
    paper.keep("zones_memory", rows)


def _mib(samples: list[Sample], item: str) -> float:
    """Return the median over samples of what all processes of a kind hold together."""
    return statistics.median(sum(sample.pss_mib.get(item, [0.0])) for sample in samples)
