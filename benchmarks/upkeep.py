"""D: what it costs to keep a wall: a worker replaced, memory, the first answer, the import."""

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import polars as pl
import psutil

from benchmarks.bare import segfault_on_poison
from benchmarks.measure import Paper, spread
from benchmarks.work import EXAMPLE, ROOT, WEATHER, add_features, poison
from firedoor import Wall

MS = 1000.0
ROWS = 10_000

FIRST_ANSWER = """
import time
began = time.perf_counter()
import firedoor
from benchmarks.work import WEATHER, add_features, load
frame = load().head(10_000)
ready = time.perf_counter()
if __name__ == "__main__":
    with firedoor.Wall(add_features, reads=[WEATHER]) as wall:
        wall(frame)
        print(time.perf_counter() - ready)
"""
IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def measure(flights: pl.DataFrame, paper: Paper, *, quick: bool) -> None:
    """Print the table of this part."""
    rounds = 5 if quick else 20
    figures: dict[str, list[float]] = {}
    with Wall(add_features, reads=[WEATHER]) as wall:
        for number in range(8):
            wall(flights.slice(number * ROWS, ROWS))
        memory = _memory_mib(wall)
        figures |= dict(_replacements(wall, flights, rounds))
    with Wall(segfault_on_poison) as wall:
        wall(flights.head(100))
        figures["the same, of a step that has nothing to load"] = _deaths(wall, flights, rounds)
    figures["first answer of a new wall, 10,000 rows"] = list(_apart(FIRST_ANSWER, rounds // 2))
    for module in ("firedoor", "polars"):
        figures[f"import {module}"] = list(_apart(IMPORT.format(module), rounds))
    rows = [[name, spread(values, scale=MS, unit=" ms")] for name, values in figures.items()]
    rows += [[f"memory of the {name}", f"{mib:.1f} MiB"] for name, mib in memory.items()]
    paper.table("D. What a wall needs: median (least..most)", ["what", "figure"], rows)
    paper.keep("upkeep", {**figures, "memory_mib": memory})


def _replacements(
    wall: Wall, flights: pl.DataFrame, rounds: int
) -> Iterator[tuple[str, list[float]]]:
    """Kill workers between batches and inside them, and yield how long until the next is ready."""
    one = flights.head(1)
    usual = statistics.median(_seconds(wall, one) for _ in range(50))
    for name, spare_too in (("a warm spare steps in", False), ("the spare is dead as well", True)):
        times = []
        for _ in range(rounds):
            _wait_until_idle(wall)
            workers = wall.processes()["workers"]
            for pid in workers if spare_too else _at_work(workers):
                os.kill(pid, signal.SIGKILL)
                _wait_for_end(pid)
            times.append(_seconds(wall, one) - usual)
        yield f"worker killed while idle: {name}", times
    yield "worker died of a row: death to the next one ready", _deaths(wall, flights, rounds)


def _deaths(wall: Wall, flights: pl.DataFrame, rounds: int) -> list[float]:
    """Let workers die of a row, again and again, and return how long each replacement took."""
    bad = poison(flights.head(100), "segfault", 50)
    for _ in range(rounds):
        outcome = wall(bad)
        assert len(outcome.dead) == 1
    return list(wall._passage.crew.replacements)  # noqa: SLF001 - each one; the report has the median


def _at_work(workers: list[int]) -> list[int]:
    """Return the older worker: the younger one is the spare."""
    return [min(workers, key=lambda pid: psutil.Process(pid).create_time())]


def _seconds(wall: Wall, frame: pl.DataFrame) -> float:
    """Return how long one call takes."""
    began = time.perf_counter()
    wall(frame)
    return time.perf_counter() - began


def _wait_until_idle(wall: Wall) -> None:
    """Wait until the processes of a wall, a spare getting warm among them, use no CPU time."""
    used = -1.0
    while used != (used := _used_s(wall)):
        time.sleep(0.1)


def _used_s(wall: Wall) -> float:
    """Return the CPU time that the processes of a wall have used."""
    times = [process.cpu_times() for process in _processes(wall).values()]
    return sum(each.user + each.system for each in times)


def _wait_for_end(pid: int) -> None:
    """Wait until a killed process is gone, or a zombie."""
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.001)


def _processes(wall: Wall) -> dict[str, psutil.Process]:
    """Return the processes of a wall with one worker, by what they are."""
    pids = wall.processes()
    named = {"fork server": psutil.Process(pids["server"][0])}
    by_age = sorted(map(psutil.Process, pids["workers"]), key=psutil.Process.create_time)
    return named | dict(zip(("worker", "spare"), by_age, strict=False))


def _memory_mib(wall: Wall) -> dict[str, float]:
    """Return the proportional share of memory of each process, and their sum."""
    _wait_until_idle(wall)
    shares = {
        name: process.memory_full_info().pss / 2**20 for name, process in _processes(wall).items()
    }
    return {**shares, "wall, altogether": sum(shares.values())}


def _apart(code: str, rounds: int) -> Iterator[float]:
    """Run code in interpreters of its own, and yield the seconds that it prints."""
    paths = [str(ROOT), str(ROOT / "src"), str(EXAMPLE)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
        )
        yield float(done.stdout)
