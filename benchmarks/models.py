"""G: bundles stored and loaded, changes of the registry, and the search for leaks."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.measure import Paper, spread
from firedoor import Models
from firedoor.evaluation.leakage import LeakPolicy, leakage

MIB = 2**20
SIZES_MIB = {"1 MiB": 1, "100 MiB": 100, "1 GiB": 1_024}
LEAK_ROWS = 1_000_000
FEATURES = 11


def measure(paper: Paper, *, quick: bool) -> None:
    """Print the tables of this part."""
    with tempfile.TemporaryDirectory(prefix="firedoor-bench-") as beside:
        _bundles(Path(beside), paper, quick=quick)
        _registry(Path(beside), paper, changes=30 if quick else 300)
    _leaks(paper, rounds=2 if quick else 5)


def _bundles(folder: Path, paper: Paper, *, quick: bool) -> None:
    """Store and load bundles, and copy the same files plainly, in turn."""
    rows: list[list[str]] = []
    kept: dict[str, dict[str, list[float]]] = {}
    for name, mib in SIZES_MIB.items():
        if quick and mib > 100:  # noqa: PLR2004 - the largest takes a minute
            continue
        rounds = 15 if mib == 1 else 5 if mib == 100 else 3  # noqa: PLR2004 - sizes
        times: dict[str, list[float]] = {}
        for number in range(rounds):
            for what, one in _round(folder / f"{mib}-{number}", mib).items():
                times.setdefault(what, []).append(one)
        for what, seconds in times.items():
            speeds = [mib / taken for taken in seconds]
            against = times["plain copy" if "load" in what else "plain copy, synced"]
            ratio = statistics.median(b / a for a, b in zip(against, seconds, strict=True))
            rows.append([name, what, spread(speeds, unit=" MiB/s"), f"{ratio:.2f}"])
        kept[name] = times
    head = ["size", "what", "median (least..most)", "time against the copy"]
    paper.table("G. Bundles, beside a plain copy in the same round", head, rows)
    paper.keep("bundles_s", kept)


def _round(folder: Path, mib: int) -> dict[str, float]:
    """Store a model of one file, load it, and copy it plainly; return seconds of each."""
    given = folder / "given"
    given.mkdir(parents=True)
    file = given / "model.bin"
    with file.open("wb") as out:
        for _ in range(mib):
            out.write(os.urandom(MIB))
        out.flush()
        os.fsync(out.fileno())
    models = Models(folder, by="bench")
    found = {
        "plain copy, synced": _seconds(lambda: _copy_synced(file, folder / "copy")),
        "store": _seconds(lambda: models.add("delays", given)),
        "plain copy": _seconds(lambda: shutil.copyfile(file, folder / "again")),
        "load": _seconds(lambda: models.get("delays@1", folder / "got")),
    }
    shutil.rmtree(folder)
    return found


def _copy_synced(file: Path, to: Path) -> None:
    """Copy a file and wait until the disk has it."""
    shutil.copyfile(file, to)
    with to.open("rb") as copied:
        os.fsync(copied.fileno())


def _registry(folder: Path, paper: Paper, *, changes: int) -> None:
    """Promote and roll back, and read."""
    models = Models(folder, by="bench")
    given = folder / "small"
    given.mkdir()
    times: dict[str, list[float]] = {"qualify": [], "promote": [], "rollback": [], "find": []}
    for number in range(2):
        (given / "model.json").write_text(str(number))
        models.add("delays", given)
    models.qualify("delays@1", "promote", because="bench")
    models.promote("delays@1")
    for _ in range(changes):
        steps: dict[str, Callable[[], object]] = {
            "qualify": lambda: models.qualify("delays@2", "promote", because="bench"),
            "promote": lambda: models.promote("delays@2"),
            "rollback": lambda: models.rollback("delays"),
            "find": lambda: models.find("delays@champion"),
        }
        for name, step in steps.items():
            times[name].append(_seconds(step))
    rows = [
        [name, f"{len(seconds) / sum(seconds):,.0f}", spread(seconds, scale=1000, unit=" ms")]
        for name, seconds in times.items()
    ]
    paper.table("G. The registry", ["what", "a second", "one: median (least..most)"], rows)
    paper.keep("registry_s", times)


def _leaks(paper: Paper, *, rounds: int) -> None:
    """Compare parts of 1,000,000 rows: keys, and near-duplicates in eleven features."""
    dice = np.random.default_rng(1)
    names = [f"x{number}" for number in range(FEATURES)]

    def part(first: int) -> pl.DataFrame:
        """Return rows with keys of their own."""
        values = {name: dice.normal(size=LEAK_ROWS) for name in names}
        return pl.DataFrame({"key": range(first, first + LEAK_ROWS), **values})

    parts = {"train": part(0), "test": part(LEAK_ROWS)}
    policies = {
        "keys": LeakPolicy(key=("key",)),
        f"keys, and near-duplicates in {FEATURES} features": LeakPolicy(
            key=("key",), features=tuple(names)
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in policies}
    for _ in range(rounds):
        for name, policy in policies.items():
            times[name].append(_seconds(partial(leakage, parts, policy)))
    rows = [[name, spread(seconds, unit=" s")] for name, seconds in times.items()]
    title = f"G. Leaks between two parts of {LEAK_ROWS:,} rows each"
    paper.table(title, ["compared", "median (least..most)"], rows)
    paper.keep("leaks_s", times)


def _seconds(step: Callable[[], object]) -> float:
    """Return how long a call took."""
    began_s = time.perf_counter()
    step()
    return time.perf_counter() - began_s
