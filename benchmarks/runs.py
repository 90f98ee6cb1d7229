"""A pipeline run as a person runs it, watched from outside: CPU time and memory by item."""

import os
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
LINES = ROOT / ".cache" / "bench-year"
"""The flights of the year without faults, and the weather."""
PIPELINE = Path(__file__).with_name("year_pipeline.py")
FIREDOOR = Path(sys.executable).with_name("firedoor")
RUN_MAX_S = 900.0
GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at all processes of a run."""

    at_s: float
    stored: int
    """Batches that the sink has stored."""
    cpu_s: dict[str, float]
    """CPU time since the start, by item: of the dead ones, what they had when last seen."""
    pss_mib: dict[str, list[float]]
    """Memory of each process, by item; empty where it was not asked for."""


@dataclass(slots=True)
class Run:
    """One `firedoor run` of the benchmark's pipeline, while it goes on and afterwards."""

    folder: Path
    process: subprocess.Popen[bytes]
    samples: list[Sample] = field(default_factory=list)

    def stored(self) -> int:
        """Return how many batches the sink has stored."""
        out = self.folder / "out"
        return sum(1 for _ in out.rglob("*.parquet")) if out.exists() else 0

    def zone(self, name: str) -> psutil.Process | None:
        """Return the process of a zone, if it is there."""
        for process in self.processes():
            words = _words(process)
            if item_of(words) == "runner" and name in words:
                return process
        return None

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the run, the supervisor first."""
        try:
            supervisor = psutil.Process(self.process.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except GONE:
            return []


def start(folder: Path, *, rate: float = 0.0, environ: Mapping[str, str] | None = None) -> "Run":
    """Start a run in a folder that has the files in ``in/``."""
    environment = {
        **os.environ,
        "BENCH_FOLDER": str(folder),
        "BENCH_RATE": str(rate),
        "FLIGHTS_YEAR": str(LINES),
        **(environ or {}),
    }
    with (folder / "run.log").open("ab") as log:
        process = subprocess.Popen(
            [FIREDOOR, "run", PIPELINE, "--project", folder],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    return Run(folder, process)


def finish(run: Run) -> None:
    """Wait until a run has ended well.

    Raises:
        RuntimeError: if it ended otherwise.
    """
    code = run.process.wait(timeout=RUN_MAX_S)
    if code:
        told = (run.folder / "run.log").read_text(errors="replace")[-2000:]
        message = f"firedoor run ended with {code}:\n{told}"
        raise RuntimeError(message)


@contextmanager
def watched(run: Run, *, every_s: float, memory: bool = False) -> Iterator[None]:
    """Look at the processes of a run now and then while the block is at work."""
    over = threading.Event()
    dead: dict[str, float] = defaultdict(float)
    seen: dict[tuple[int, float], tuple[str, float]] = {}

    def look_again() -> None:
        while not over.wait(every_s):
            run.samples.append(_look(run, seen, dead, memory=memory))

    thread = threading.Thread(target=look_again)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _look(
    run: Run,
    seen: dict[tuple[int, float], tuple[str, float]],
    dead: dict[str, float],
    *,
    memory: bool,
) -> Sample:
    """Look once."""
    alive: dict[tuple[int, float], tuple[str, float]] = {}
    pss: dict[str, list[float]] = defaultdict(list)
    items: dict[int, str] = {}
    stored = run.stored()
    for process in run.processes():
        try:
            item = item_of(_words(process))
            if items.get(process.ppid()) in {"runner", "workers"}:
                item = "workers"
            items[process.pid] = item
            times = process.cpu_times()
            key = process.pid, process.create_time()
            alive[key] = item, times.user + times.system
            if memory:
                pss[item].append(process.memory_full_info().pss / 2**20)
        except GONE:
            continue
    for key in set(seen) - set(alive):
        item, cpu_s = seen.pop(key)
        dead[item] += cpu_s
    seen.update(alive)
    cpu: dict[str, float] = defaultdict(float, dead)
    for item, cpu_s in seen.values():
        cpu[item] += cpu_s
    return Sample(at_s=time.time(), stored=stored, cpu_s=dict(cpu), pss_mib=dict(pss))


def item_of(words: list[str]) -> str:
    """Return what a process is, from its command line."""
    if any(Path(word).name.startswith("nats-server") for word in words[:1]):
        return "broker"
    if "zone" in words and "run" in words:
        return "runner"
    if "run" in words and any(Path(word).name == "firedoor" for word in words[:2]):
        return "supervisor"
    return "guards"


def _words(process: psutil.Process) -> list[str]:
    """Return the command line of a process, nothing if it has gone."""
    try:
        return process.cmdline()
    except GONE:
        return []
