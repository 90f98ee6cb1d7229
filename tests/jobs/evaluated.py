"""A pipeline whose models are evaluated in every way there is. Tests copy it elsewhere."""

from __future__ import annotations

import ctypes
import json
import os
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

import firedoor as fd

pipeline = fd.Pipeline("late", owner="ann@example.com")
rows = pipeline.source("rows", fd.jsonl("data/*.jsonl"))
store = pipeline.sink("store", fd.parquet("out/"), reads=rows)
delays = pipeline.dataset(
    "delays",
    reads=store,
    split=fd.ByTime(column="at", until={"train": datetime(2013, 6, 1, tzinfo=UTC), "test": None}),
    sealed=["test"],
    label="late",
    leakage=fd.LeakPolicy(key=("flight",)),
)
FOREVER = threading.Event()


@pipeline.job(reads=delays, parameters={"weight": 1.5})
def train(run: fd.Run, folder: Path) -> None:
    """Learn nothing, and save what was said."""
    run.log_metric("rows", pl.read_parquet(folder / "train" / "*.parquet").height)
    model = run.scratch / "model"
    model.mkdir()
    (model / "model.json").write_text(json.dumps({"weight": run.parameters["weight"]}))
    run.save("late", model, loader="evaluated_model:load", inputs={"x": "Float64"})


def more_x(frame: pl.DataFrame) -> pl.DataFrame:
    """Raise what makes flights late."""
    return frame.with_columns(pl.col("x") + 0.5)


def renamed(frame: pl.DataFrame) -> pl.DataFrame:
    """Change nothing that matters."""
    return frame.with_columns(pl.col("x") + 0.0)


def torn(frame: pl.DataFrame) -> pl.DataFrame:
    """Lose a row."""
    return frame.head(frame.height - 1)


def outgrow() -> None:
    """Take more and more memory."""
    held = []
    while True:
        held.append(bytearray(os.urandom(1024)) * 4096)


def leak(told: list[float]) -> list[float]:
    """Read the labels, by every path there may be."""
    for place in (Path(".firedoor"), Path("out"), Path("data")):
        found = [path for path in place.rglob("*") if path.is_file()]
        print(f"read {sum(len(path.read_bytes()) for path in found)} bytes")
    return told


ODD: dict[str, Callable[[list[float]], object]] = {
    "raises": lambda told: told[len(told)],
    "crashes": lambda _: ctypes.string_at(0),
    "exits": lambda _: os._exit(0),
    "hangs": lambda _: FOREVER.wait(),
    "grows": lambda _: outgrow(),
    "nan": lambda told: [float("nan"), *told[1:]],
    "short": lambda told: told[:-1],
    "text": lambda told: ["late" for _ in told],
    "frame": lambda told: pl.DataFrame({"p": told, "q": told}),
    "constant": lambda told: [0.3 for _ in told],
    "random": lambda told: [random.random() for _ in told],
    "leaks": leak,
}


def predicted(model: dict[str, object], frame: pl.DataFrame) -> object:
    """Return the chance of each row, or what the model is to do instead."""
    weight = model["weight"]
    assert isinstance(weight, float)
    told = frame.select(p=1 / (1 + (-weight * pl.col("x")).exp()))["p"]
    how = str(model.get("how", ""))
    return ODD[how](told.to_list()) if how else told


@pipeline.evaluation(
    reads=delays,
    part="test",
    model="late",
    rules=[
        fd.rules.at_least("roc_auc", 0.65),
        fd.rules.no_worse_than_champion("log_loss", margin=0.01, first="promote"),
        fd.rules.worst_slice("origin", "roc_auc", 0.6, rows_min=200),
        fd.rules.invariant("renamed"),
        fd.rules.directional("more x", may="rise"),
        fd.rules.deterministic(),
    ],
    metrics=["brier"],
    slices=["origin"],
    checks={"renamed": renamed, "more x": more_x},
    slice_rows_min=200,
)
def evaluate(model: dict[str, object], frame: pl.DataFrame) -> object:
    """Judge by everything."""
    return predicted(model, frame)


@pipeline.evaluation(
    reads=delays, part="test", model="late", rules=[fd.rules.at_least("roc_auc", 0.65)],
    memory="512MiB", timeout_s=30, hang_s=2, allow=("pickle",),
)  # fmt: skip
def quick(model: dict[str, object], frame: pl.DataFrame) -> object:
    """Judge by one rule, within tight limits."""
    return predicted(model, frame)


@pipeline.evaluation(
    reads=delays, part="test", model="late", rules=[fd.rules.latency_a_row_s(0.5)], seed=7
)
def timed(model: dict[str, object], frame: pl.DataFrame) -> object:
    """Judge by how long a call takes."""
    return predicted(model, frame)


@pipeline.evaluation(
    reads=delays, part="test", model="late", rows_min=10_000,
    rules=[fd.rules.deterministic()],
)  # fmt: skip
def many(model: dict[str, object], frame: pl.DataFrame) -> object:
    """Ask for more rows than there are."""
    return predicted(model, frame)


@pipeline.evaluation(
    reads=delays, part="test", model="late", clusters="day", checks={"torn": torn},
    rules=[fd.rules.at_least("roc_auc", 0.65), fd.rules.invariant("torn")],
)  # fmt: skip
def by_day(model: dict[str, object], frame: pl.DataFrame) -> object:
    """Judge by days, and by a check that loses a row."""
    return predicted(model, frame)
