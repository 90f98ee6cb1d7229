"""Learns the models, 100 trees on 20 features of real flights, and writes rows to ask them."""

from __future__ import annotations

import json
from pathlib import Path

import lightgbm
import numpy as np
import polars as pl

from benchmarks.serving.scoring import FEATURES, Rows, Scorer
from benchmarks.work import load, prepare

ROWS = 4_000
"""Distinct ones, which clients send in turn."""
LEAVES = {"first": 7, "stable": 31, "canary": 15}
"""Of each model: they say different things of every row."""
LATE_MIN = 15


def learn(folder: Path, data: Path) -> None:
    """Write the models, and ``rows.json``: rows, and what each model says of them; once."""
    if (folder / "rows.json").exists():
        return
    prepare(data)
    features, late = numbers(load())
    told: dict[str, list[float] | Rows] = {}
    for seed, (name, leaves) in enumerate(LEAVES.items()):
        parameters = {
            "objective": "binary", "num_leaves": leaves, "seed": seed, "verbose": -1,
            "num_threads": 1, "deterministic": True, "force_row_wise": True,
        }  # fmt: skip
        booster = lightgbm.train(parameters, lightgbm.Dataset(features, late), 100)
        booster.save_model(folder / f"{name}.txt")
        told[name] = Scorer(folder, name).score(features[:ROWS])
    told["rows"] = features[:ROWS].tolist()
    (folder / "rows.json").write_text(json.dumps(told), encoding="utf-8")


def numbers(flights: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return features, shape (flights, 20), and whether each left late."""
    known = flights.drop_nulls(["dep_delay"])
    base = known.select(
        pl.col("hour", "minute", "distance", "flight").cast(pl.Float64),
        *[
            pl.col(name).hash(seed=3).mod(97).cast(pl.Float64)
            for name in ("carrier", "origin", "dest")
        ],
    )
    draws = np.random.default_rng(5).normal(size=(known.height, len(FEATURES) - base.width))
    return np.hstack([base.to_numpy(), draws]), (known["dep_delay"] > LATE_MIN).to_numpy()
