"""A small pipeline in a project folder of its own, run as a person runs it: by the command line."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

LIMIT_S = 60.0
"""Longest wait for anything."""
ENDED_S = 5.0
"""What a killed supervisor leaves behind ends by itself within this."""
ROWS = 4_000
BATCH = 500
PIPELINE = """
import time
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
files = fd.jsonl("orders*.jsonl", follow={follow})
orders = pipeline.source("orders", files, batch_rows=500, rate={rate})


@pipeline.transform(reads=orders, timeout_s=2)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    {body}


pipeline.sink("store", fd.parquet("out"), reads=priced)
"""
GOOD = 'return orders.with_columns(total=pl.col("price") * pl.col("count"))'
NEWER = 'return orders.with_columns(total=pl.col("price") * pl.col("count"), tax=pl.lit(7))'
POST = """

@pipeline.sink(reads=priced)
def post(frame: pl.DataFrame, key: str) -> None:
    print("posted", key, frame.height)
"""
"""Another sink, to be added to the pipeline."""
MODES_HOLD = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if os.geteuid() == 0 and libc.prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
        raise OSError(ctypes.get_errno(), "root cannot be kept from what modes forbid")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Runs Python where the modes of files hold, for root as well."""

Process = subprocess.Popen[str]


class Shop:
    """A project folder with one pipeline, and the runs that were started in it."""

    def __init__(self, folder: Path, *, rows: int = ROWS) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.project = folder / ".firedoor"
        self.rows = 0
        self.started: list[Process] = []
        self._files: dict[Path, pl.DataFrame] = {}
        self.add(rows, "orders.jsonl")

    def write(
        self, body: str, *, rate: float | None = None, folder: Path | None = None,
        follow: bool = False, more: str = "",
    ) -> None:  # fmt: skip
        """Write the pipeline, with the step's body and further zones."""
        text = PIPELINE.format(body=body, rate=rate, follow=follow) + more
        ((folder or self.folder) / "shop.py").write_text(text)

    def add(self, rows: int, name: str = "") -> None:
        """Bring a file of new orders, numbered after those that are there, all at once."""
        numbers = range(self.rows, self.rows + rows)
        lines = (json.dumps({"id": n, "price": n % 7, "count": n % 3}) + "\n" for n in numbers)
        file = self.folder / (name or f"orders_{self.rows:06}.jsonl")
        file.with_suffix(".new").write_text("".join(lines))
        file.with_suffix(".new").rename(file)
        self.rows += rows

    # ---- running

    def start(
        self, *words: str, env: Mapping[str, str] | None = None, modes_hold: bool = False
    ) -> Process:
        """Start a command; ``modes_hold``: as a user whom modes of files keep out, also as root."""
        wrapped = ["-c", MODES_HOLD] if modes_hold else []
        run = subprocess.Popen(
            [sys.executable, *wrapped, "-m", "firedoor.cli", *words],
            cwd=self.folder, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(run)
        return run

    def call(
        self, *words: str, within_s: float = LIMIT_S, env: Mapping[str, str] | None = None,
        modes_hold: bool = False,
    ) -> tuple[int, str]:  # fmt: skip
        """Run a command to its end; return its exit code and what it printed."""
        run = self.start(*words, env=env, modes_hold=modes_hold)
        told, _ = run.communicate(timeout=within_s)
        return run.returncode, told

    def run(self) -> tuple[int, str]:
        """Run the pipeline to its end."""
        return self.call("run", "shop.py")

    def refused(self, *words: str, modes_hold: bool = False) -> str:
        """Run a command that cannot begin; return its one error, on one line."""
        return self.refusal(self.start(*words, modes_hold=modes_hold))

    @staticmethod
    def refusal(run: Process) -> str:
        """Return the one error of a command that could not begin, on one line."""
        told, _ = run.communicate(timeout=LIMIT_S)
        assert run.returncode == 2, told
        assert "Traceback" not in told
        assert told.count("firedoor: ") == 1, told
        return " ".join(told.partition("firedoor: ")[2].split())

    def close(self) -> None:
        """End what runs."""
        for run in self.started:
            if run.poll() is None:
                run.kill()
            run.wait(timeout=LIMIT_S)
            if run.stdout:
                run.stdout.close()

    # ---- watching

    def await_line(self, run: Process, text: str) -> str:
        """Read what a run prints until a line matches; return it all. The rest stays unread."""
        assert run.stdout is not None
        seen, ends_s = b"", time.monotonic() + LIMIT_S
        while not (seen.endswith(b"\n") and re.search(text, seen.splitlines()[-1].decode())):
            left_s = ends_s - time.monotonic()
            assert left_s > 0, f"{text!r} never came:\n{seen.decode()}"
            if select.select([run.stdout], [], [], left_s)[0]:
                byte = os.read(run.stdout.fileno(), 1)
                assert byte, f"ended before {text!r}:\n{seen.decode()}"
                seen += byte
        return seen.decode()

    def until(self, run: Process, what: Callable[[], object], why: str) -> None:
        """Wait until something is so."""
        ends_s = time.monotonic() + LIMIT_S
        while not what():
            if run.poll() is not None or time.monotonic() > ends_s:
                run.kill()
                message = f"not {why}:\n{run.communicate()[0]}\n{self.status(run)}"
                raise AssertionError(message)
            time.sleep(0.05)

    def status(self, run: Process) -> dict[str, Any]:
        """Return the last snapshot of a run, {} before there is one."""
        try:
            found: dict[str, Any] = json.loads((self.project / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if found.get("supervisor_pid") == run.pid else {}

    def zone(self, run: Process, name: str) -> dict[str, Any]:
        """Return what a zone said of itself last, {} if nothing."""
        beats = [zone for zone in self.status(run).get("zones", []) if zone["zone"] == name]
        return max(beats, key=lambda beat: float(beat["at_s"]), default={})

    def kill(self, run: Process) -> list[psutil.Process]:
        """Kill a supervisor; return what is left of all that it started, after a while."""
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=LIMIT_S)
        return psutil.wait_procs(family, timeout=ENDED_S)[1]

    # ---- what came of it

    def stored(self) -> pl.DataFrame:
        """Return all rows that the sink wrote, those twice that it wrote twice."""
        for file in sorted(self.folder.glob("out/*.parquet")):
            if file not in self._files:  # what is written once stays as it is
                self._files[file] = pl.read_parquet(file)
        frames = self._files.values()
        empty = pl.DataFrame(schema={"id": pl.Int64})
        return pl.concat([empty, *frames], how="diagonal").sort("id")

    def every_row_once(self) -> bool:
        """Return whether the sink wrote each order once."""
        return self.stored()["id"].to_list() == list(range(self.rows))

    def dead(self) -> int:
        """Return how many dead letters there are."""
        code, told = self.call("dlq", "list", "--json")
        assert code == 0, told
        return sum(group["rows"] for group in json.loads(told)["groups"])


@contextmanager
def opened(folder: Path, *, rows: int = ROWS) -> Iterator[Shop]:
    """Give a shop; end what was started in it."""
    made = Shop(folder, rows=rows)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop for one test."""
    with opened(tmp_path) as made:
        yield made
