"""Models for tests, and functions that do to their worker what a row says."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from pathlib import Path

import polars as pl

LEAKED: list[bytearray] = []


def load(folder: Path) -> dict[str, float]:
    """Return weights."""
    weights: dict[str, float] = json.loads((folder / "weights.json").read_text())
    if weights.get("unloadable"):
        message = "these weights are of another model"
        raise ValueError(message)
    if weights.get("dies"):
        os.kill(os.getpid(), signal.SIGSEGV)
    return weights


def predict(model: dict[str, float], rows: pl.DataFrame) -> pl.Series:
    """Return ``a * x + b``, unless a row says something else."""
    for what in rows["what"].drop_nulls().unique(maintain_order=True).to_list():
        _do(what)
    out = rows["x"] * model["a"] + model["b"]
    if "nan" in rows["what"]:
        out = pl.select(pl.when(rows["what"].eq_missing("nan")).then(float("nan")).otherwise(out))[
            "literal"
        ]
    return out.head(out.len() - int(rows["what"].eq("short").sum()))


def _do(what: str) -> None:
    """Do something to this worker."""
    match what:
        case "raise":
            message = "a row that nobody expected"
            raise ValueError(message)
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(600)
        case "burn":
            _burn()
        case "leak":
            while True:
                LEAKED.append(bytearray(os.urandom(1) * 2**24))
                time.sleep(0.005)
        case "garbage":
            os.write(3, b"\1\0\0\0 this is no answer")
        case "print":
            print("the model says hello")
        case _:
            return


def _burn() -> None:
    """Keep two processors busy for as long as one is let."""
    if os.fork() == 0:
        while True:
            pass
    until = time.monotonic() + 20
    while time.monotonic() < until:
        pass


def by_length(model: dict[str, float], rows: pl.DataFrame) -> pl.Series:
    """Return what depends on how many rows there are."""
    return rows["x"] * model["a"] + rows.height


def constant(rows: pl.DataFrame) -> list[float]:
    """Return the same for all, without a model."""
    return [0.25] * rows.height
