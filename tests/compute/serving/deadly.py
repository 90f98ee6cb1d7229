"""Models for tests, and functions that do to their worker what a row says."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LEAKED: list[bytearray] = []
SEEN: set[float] = set()


def load(folder: Path) -> dict[str, float]:
    """Return weights."""
    weights: dict[str, float] = json.loads((folder / "weights.json").read_text())
    if weights.get("unloadable"):
        message = "these weights are of another model"
        raise ValueError(message)
    if weights.get("dies"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if weights.get("hangs_forked") and "firedoor.compute.forkserver" in sys.modules:
        time.sleep(600)
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
        case "burn" | "work":
            _burn(alone=what == "work")
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


def _burn(*, alone: bool) -> None:
    """Keep one processor busy, or two, for as long as one is let."""
    if not alone and os.fork() == 0:
        while True:
            pass
    until = time.monotonic() + 20
    while time.monotonic() < until:
        pass


def by_length(model: dict[str, float], rows: pl.DataFrame) -> pl.Series:
    """Return what depends on how many rows there are."""
    return rows["x"] * model["a"] + rows.height


def table(model: dict[str, float], rows: pl.DataFrame) -> pl.DataFrame:
    """Return two outputs."""
    return rows.select(chance=pl.col("x") * model["a"], label=pl.col("what"))


def of_pandas(model: dict[str, float], rows: pd.DataFrame) -> pd.Series[float]:
    """Return ``a * x + b`` of a frame of pandas."""
    assert type(rows).__module__.startswith("pandas")
    return rows["x"] * model["a"] + model["b"]


def of_numpy(model: dict[str, float], rows: np.ndarray[Any, np.dtype[np.object_]]) -> object:
    """Return ``a * x + b`` of an array, as a column."""
    return rows[:, :1].astype(float) * model["a"] + model["b"]


def always_dies(model: dict[str, float], rows: pl.DataFrame) -> pl.Series:
    """Die of everything but the example rows."""
    if rows.height == 1 and rows["x"][0] > 100:
        os._exit(3)
    return rows["x"] * model["a"] + model["b"]


def slow(model: dict[str, float], rows: pl.DataFrame) -> pl.Series:
    """Take a while for large numbers; return 1,000 once 300 was seen, and 0 before."""
    SEEN.update(rows["x"].to_list())
    time.sleep(0.05 * float(rows["x"].gt(100).any()))
    return rows["x"] * 0 * model["a"] + 1_000 * (300.0 in SEEN)


def secretive(model: dict[str, float], rows: pl.DataFrame) -> pl.Series:
    """Raise with a secret in the message."""
    if rows["x"].gt(100).any():
        raise ValueError(os.environ["DEADLY_TOKEN"])
    return rows["x"] * model["a"] + model["b"]


def constant(rows: pl.DataFrame) -> list[float]:
    """Return the same for all, without a model."""
    return [0.25] * rows.height
