"""A small pipeline in a project folder of its own, run by the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

ROWS = 4_000
PIPELINE = """
import time
import polars as pl
import firedoor as fd

pipeline = fd.Pipeline("shop", owner="shop@example.com")
orders = pipeline.source("orders", fd.jsonl("orders.jsonl"), batch_rows=500, rate={rate})


@pipeline.transform(reads=orders, timeout_s=1)
def priced(orders: pl.DataFrame) -> pl.DataFrame:
    {body}


pipeline.sink("store", fd.parquet("out"), reads=priced)
"""
GOOD = 'return orders.with_columns(total=pl.col("price") * pl.col("count"))'
NEWER = 'return orders.with_columns(total=pl.col("price") * pl.col("count"), tax=pl.lit(7))'
RENAMED = 'return orders.with_columns(total=pl.col("prise") * pl.col("count"))'
HANGS = "time.sleep(60); return orders"


class Shop:
    """A project folder with one pipeline."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [{"id": row, "price": row % 7, "count": row % 3} for row in range(ROWS)]
        folder.joinpath("orders.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        self.started: list[subprocess.Popen[str]] = []

    def write(self, body: str, *, rate: float | None = None, folder: Path | None = None) -> None:
        target = (folder or self.folder) / "shop.py"
        target.write_text(PIPELINE.format(body=body, rate=rate))

    def start(self, *words: str) -> subprocess.Popen[str]:
        run = subprocess.Popen(
            [sys.executable, "-m", "firedoor.cli", *words],
            cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(run)
        return run

    def call(self, *words: str, within_s: float = 60) -> tuple[int, str]:
        run = self.start(*words)
        told, _ = run.communicate(timeout=within_s)
        return run.returncode, told

    def run(self) -> tuple[int, str]:
        return self.call("run", "shop.py")

    def await_line(self, run: subprocess.Popen[str], text: str) -> str:
        """Read what a run prints until a text comes up."""
        assert run.stdout is not None
        seen = ""
        for line in run.stdout:
            seen += line
            if re.search(text, line):
                return seen
        message = f"{text!r} never came:\n{seen}"
        raise AssertionError(message)

    def stored(self) -> pl.DataFrame:
        files = sorted(self.folder.glob("out/*.parquet"))
        return pl.concat([pl.read_parquet(file) for file in files], how="diagonal").sort("id")

    def dead(self) -> int:
        code, told = self.call("dlq", "list", "--json")
        assert code == 0, told
        return sum(group["rows"] for group in json.loads(told)["groups"])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    for run in made.started:
        if run.poll() is None:
            run.kill()
        run.wait(timeout=30)
        if run.stdout:
            run.stdout.close()
