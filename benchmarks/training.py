"""G: what a wall costs a training, and how soon a run that was killed is at work again."""

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.measure import Paper, spread
from benchmarks.work import EXAMPLE, ROOT

TRAINING = EXAMPLE / "training.py"
FIREDOOR = Path(sys.executable).with_name("firedoor")
RUN_MAX_S = 900.0
LOOK_S = 0.005
BOOSTERS = 5
SHORT = ("--param", "rounds=100")

PREPARE = """
import sys
from pathlib import Path
import pipeline, stream, year
archive = Path(sys.argv[1])
rows = stream.expected_rows(archive, year.write_year(archive, year.YEAR))
pipeline.STORE.mkdir()
for number, part in enumerate(rows.iter_slices(10_000)):
    part.write_parquet(pipeline.STORE / f"flights-{number:06}.parquet")
"""

BARE = """
import sys
from contextlib import contextmanager
from pathlib import Path
import training

class Run:
    parameters = {**training.PARAMETERS, "boosters": int(sys.argv[4])}
    seed, scratch = int(sys.argv[2]), Path(sys.argv[3])
    def progress(self, *_, **__): pass
    def log_metric(self, *_): pass
    def save(self, *_, **__): pass
    def kept(self, name):
        return (self.scratch / name) if (self.scratch / name).exists() else None
    @contextmanager
    def checkpoint(self, name):
        (self.scratch / name).mkdir(exist_ok=True)
        yield self.scratch / name

training.train(Run(), Path(sys.argv[1]))
"""
"""The job's function in a process without firedoor, its boosters written to a plain folder."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took."""

    wall_s: float
    cpu_s: float
    """Of the process and all that it started."""


KINDS: dict[str, Callable[[Cost], float]] = {
    "wall time": lambda cost: cost.wall_s,
    "CPU time": lambda cost: cost.cpu_s,
}


class Place:
    """A folder with the store that the example trains on."""

    def __init__(self, folder: Path, data: Path) -> None:
        """Fill it, once, without zones and walls."""
        self.project = folder / "project"
        paths = os.pathsep.join([str(EXAMPLE), os.environ.get("PYTHONPATH", "")])
        year = str(folder / "year")
        self.environment = {**os.environ, "FLIGHTS_YEAR": year, "PYTHONPATH": paths}
        self.project.mkdir()
        self.python(PREPARE, data)

    def python(self, code: str, *arguments: object) -> Cost:
        """Run a script in a process of its own."""
        return self._timed([sys.executable, "-c", code, *map(str, arguments)])

    def job(self, seed: int, *more: str) -> Cost:
        """Run the job as a person does."""
        return self._timed(self.command(seed, *more))

    def command(self, seed: int, *more: str) -> list[str]:
        """Return the command that trains."""
        words = ["job", "run", "train", "--pipeline", str(TRAINING), "--seed", str(seed)]
        return [str(FIREDOOR), *words, "--project", str(self.project), *more]

    def runs(self) -> Path:
        """Return the folder of runs."""
        return self.project / ".firedoor" / "runs"

    def snapshot(self) -> Path:
        """Return what the job is handed."""
        (found,) = (self.project / ".firedoor" / "datasets").glob("*/open")
        return found

    def _timed(self, command: list[str]) -> Cost:
        """Run a command and return what it took."""
        before, began_s = _children_s(), time.perf_counter()
        ended = subprocess.run(
            command, env=self.environment, cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=RUN_MAX_S, check=False,
        )  # fmt: skip
        if ended.returncode:
            sys.exit(f"{command[:4]} ended with {ended.returncode}: {ended.stdout.decode()[-900:]}")
        return Cost(time.perf_counter() - began_s, _children_s() - before)


def measure(paper: Paper, data: Path, *, quick: bool) -> None:
    """Print the tables of this part."""
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as beside:
        place = Place(Path(beside), data)
        place.job(0, *SHORT)  # takes the snapshot, which is the same for all that follow
        try:
            _wall(place, paper, pairs=2 if quick else 5, longer=not quick)
            _kills(place, paper, rounds=2 if quick else 5)
        finally:
            for folder in (place.project / ".firedoor" / "datasets").rglob("*/"):
                folder.chmod(0o700)


def _wall(place: Place, paper: Paper, *, pairs: int, longer: bool) -> None:
    """Train bare and behind a wall, in turn, with the same seeds."""
    rows, kept = [], {}
    for boosters in (BOOSTERS, 4 * BOOSTERS) if longer else (BOOSTERS,):
        given = ("--param", f"boosters={boosters}")
        bare, walled = [], []
        for seed in range(1, pairs + 1):
            with tempfile.TemporaryDirectory() as scratch:
                bare.append(place.python(BARE, place.snapshot(), seed, scratch, boosters))
            walled.append(place.job(seed, *given))
        for name, of in KINDS.items():
            both = [(of(one), of(two)) for one, two in zip(bare, walled, strict=True)]
            ratios = [two / one for one, two in both]
            more = [two - one for one, two in both]
            alone, behind = ([pair[side] for pair in both] for side in (0, 1))
            figures = [spread(part, unit=" s") for part in (alone, behind, more)]
            rows.append([f"{boosters} boosters, {name}", *figures, spread(ratios)])
            kept[f"{boosters} {name}"] = {"ratios": ratios, "more_s": more}
    title = f"G. The training of `make train`, {pairs} pairs in turn: median (least..most)"
    head = ["", "bare function, a process", "firedoor job run", "difference", "ratio"]
    paper.table(title, head, rows)
    paper.keep("training", kept)


def _kills(place: Place, paper: Paper, *, rounds: int) -> None:
    """Kill supervisor or worker after a checkpoint, and see when the function runs again."""
    figures: dict[str, list[float]] = {"the command, and run again": [], "the worker": []}
    for number in range(rounds):
        figures["the command, and run again"].append(_command_killed(place, 100 + number))
        figures["the worker"].append(_worker_killed(place, 200 + number))
    rows = [[name, spread(times, unit=" s")] for name, times in figures.items()]
    title = "G. Killed after a checkpoint: until the function is at work again"
    paper.table(title, ["SIGKILL of", "median (least..most)"], rows)
    paper.keep("resumed_s", figures)


def _command_killed(place: Place, seed: int) -> float:
    """Kill the command, start it again, and return the seconds until the job is loaded."""
    first, run = _until_checkpoint(place, seed)
    first.kill()
    killed_s = time.time()
    first.communicate()
    place.job(seed, *SHORT)
    again = place.runs() / f"train-{int(run.name.rpartition('-')[2]) + 1}"
    return _at(again, "loaded", 1) - killed_s


def _worker_killed(place: Place, seed: int) -> float:
    """Kill the worker, of which there are two attempts, and return the seconds until the next."""
    command, run = _until_checkpoint(place, seed)
    worker = max(psutil.Process(command.pid).children(recursive=True), key=_used)
    os.kill(worker.pid, signal.SIGKILL)
    killed_s = time.time()
    command.communicate(timeout=RUN_MAX_S)
    return _at(run, "loaded", 2) - killed_s


def _until_checkpoint(place: Place, seed: int) -> tuple[subprocess.Popen[bytes], Path]:
    """Start a run, and return it with its folder when it has kept its first booster."""
    known = set(place.runs().glob("train-*"))
    started = subprocess.Popen(
        place.command(seed, *SHORT), env=place.environment, cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    end_s = time.monotonic() + RUN_MAX_S
    while time.monotonic() < end_s:
        new = set(place.runs().glob("train-*")) - known
        for run in new:
            if _events(run, "checkpoint"):
                return started, run
        time.sleep(LOOK_S)
    sys.exit("the training kept no booster")


def _events(run: Path, what: str) -> list[dict[str, float]]:
    """Return the events of a kind that a run has written."""
    try:
        lines = (run / "events.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return [event for event in map(json.loads, lines) if event["what"] == what]


def _at(run: Path, what: str, number: int) -> float:
    """Return when something happened to a run for the first, second ... time."""
    return _events(run, what)[number - 1]["at_s"]


def _used(process: psutil.Process) -> float:
    """Return the CPU time that a process has used: of a run's, the worker has most."""
    try:
        return float(process.cpu_times().user)
    except psutil.NoSuchProcess:
        return 0.0


def _children_s() -> float:
    """Return the CPU time of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
