"""A small pipeline in a folder of its own, run as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import psutil

LIMIT_S = 40.0
ENDED_S = 5.0
"""What a killed supervisor leaves behind ends by itself within this."""

PIPELINE = """
import os
import dataframely as dy
import polars as pl
import firedoor as fd

class Row(dy.Schema):
    n = dy.Int64(min=0)

class Doubled(Row):
    m = dy.Int64()

pipeline = fd.Pipeline("tiny", owner="me@example.com")
rows = pipeline.source("rows", fd.jsonl("in-*.jsonl"), batch_rows=20, rate={rate})

@pipeline.transform(reads=rows, schema=Row, out_schema=Doubled, memory="512MiB", timeout_s=5)
def double(frame: pl.DataFrame) -> pl.DataFrame:
    {step}

pipeline.sink("store", fd.parquet({out!r}), reads=double)
"""
STEP = 'return frame.with_columns(m=pl.col("n") * 2)'


class Tiny:
    """The pipeline, and the run that is at work on it, if any."""

    def __init__(self, folder: Path, *, rows: int, rate: float | None = None) -> None:
        self.folder = folder
        self.project = folder / ".firedoor"
        self.file = folder / "pipeline.py"
        self.rows = 0
        self.rate = rate
        self.run: subprocess.Popen[bytes] | None = None
        self.write(folder, STEP)
        self.add(rows)

    def write(self, folder: Path, step: str) -> None:
        """Write the pipeline's file with another step."""
        folder.mkdir(exist_ok=True)
        text = PIPELINE.format(rate=self.rate, step=step, out=str(self.folder / "out"))
        (folder / "pipeline.py").write_text(text)

    def add(self, rows: int) -> None:
        """Add a file of rows, each with the number after the last one's."""
        numbers = range(self.rows, self.rows + rows)
        lines = "".join(f'{{"n": {number}}}\n' for number in numbers)
        (self.folder / f"in-{self.rows:06}.jsonl").write_text(lines)
        self.rows += rows

    def stored(self) -> pl.DataFrame:
        """Return all rows that the sink wrote."""
        files = sorted((self.folder / "out").rglob("*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files]) if files else pl.DataFrame()

    def numbers(self) -> list[int]:
        """Return the numbers of all rows that the sink wrote, in order."""
        return sorted(self.stored()["n"].to_list())

    # ---- running

    def start(self, verb: str = "run", *more: str) -> subprocess.Popen[bytes]:
        """Start a run; its output goes to a file."""
        with (self.folder / "told").open("wb") as told:
            self.run = subprocess.Popen(
                self._command(verb, str(self.file), "--project", str(self.folder), *more),
                stdin=subprocess.DEVNULL, stdout=told, stderr=told, start_new_session=True,
            )  # fmt: skip
        return self.run

    def finish(self) -> int:
        """Return the exit code of the run once it has ended."""
        assert self.run is not None
        return self.run.wait(timeout=LIMIT_S)

    def through(self, *more: str) -> int:
        """Run to the end."""
        self.start("run", *more)
        return self.finish()

    def told(self) -> str:
        """Return what the run printed so far."""
        return (self.folder / "told").read_text()

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command of firedoor in this folder."""
        return subprocess.run(
            [*self._command(*words), "--project", str(self.folder)],
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip

    def close(self) -> None:
        """End what runs."""
        if self.run is not None and self.run.poll() is None:
            self.run.kill()
            self.run.wait(timeout=LIMIT_S)

    # ---- watching

    def status(self) -> dict[str, Any]:
        """Return the last snapshot, {} before there is one."""
        try:
            found: dict[str, Any] = json.loads((self.project / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        ours = self.run is not None and found.get("supervisor_pid") == self.run.pid
        return found if ours else {}

    def zone(self, name: str) -> dict[str, Any]:
        """Return what a zone said of itself last."""
        beats = [zone for zone in self.status().get("zones", []) if zone["zone"] == name]
        return max(beats, key=lambda beat: float(beat["at_s"]), default={})

    def state(self, name: str) -> str:
        """Return a zone's state."""
        return str(self.zone(name).get("state"))

    def family(self) -> list[psutil.Process]:
        """Return every process that the run started, and those that they started."""
        assert self.run is not None
        return psutil.Process(self.run.pid).children(recursive=True)

    def until(self, what: Callable[[], object], why: str) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + LIMIT_S
        while not what():
            ended = self.run is not None and self.run.poll() is not None
            assert not ended, f"ended before {why}:\n{self.told()}"
            assert time.monotonic() < deadline, f"never {why}:\n{self.told()}\n{self.status()}"
            time.sleep(0.05)

    def kill(self) -> list[psutil.Process]:
        """Kill the supervisor; return what is left of its family after a while."""
        assert self.run is not None
        family = self.family()
        self.run.send_signal(signal.SIGKILL)
        self.run.wait(timeout=LIMIT_S)
        return psutil.wait_procs(family, timeout=ENDED_S)[1]

    @staticmethod
    def _command(*words: str) -> list[str]:
        return [sys.executable, "-m", "firedoor.cli", *words]


def alive(pid: int) -> bool:
    """Return whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
