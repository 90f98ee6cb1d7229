"""Where delivered rows are written down, so that they count even if the peer never comes back."""

import json
import os
import time
from pathlib import Path

import polars as pl

from benchmarks.work import KEY

_FOLDER = "BENCH_SINK"


def deliver(output: pl.DataFrame) -> None:
    """Append the keys of rows that came out of the step. One write, from any process."""
    keys = output.select(pl.col("origin").cast(pl.String), *(key for key in KEY if key != "origin"))
    _append("delivered", keys.select(KEY).write_csv(include_header=False))


def dead(rows: int) -> None:
    """Note that an element of so many rows was given up, with a reason."""
    _append("dead", f"{rows}\n")


def mark(name: str, **fields: float | str) -> None:
    """Note that something has happened now."""
    _append("marks", json.dumps({"mark": name, "at_s": time.monotonic(), **fields}) + "\n")


def _append(name: str, text: str) -> None:
    """Append to one file of the sink."""
    path = Path(os.environ[_FOLDER]) / name
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
