"""Steps that use models, and loaders of models, well or not."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import lightgbm


def biased(trips: pl.DataFrame, model: Mapping[str, str]) -> pl.DataFrame:
    """Score by a bias that is text in the file ``bias``."""
    return trips.with_columns(score=pl.col("distance") + float(model["bias"]))


def both(
    trips: pl.DataFrame,
    model: Mapping[str, str],
    other: Mapping[str, str],
    again: Mapping[str, str],
) -> pl.DataFrame:
    """Score by three models."""
    biases = [float(one["bias"]) for one in (model, other, again)]
    return trips.with_columns(**{f"by_{n}": pl.lit(bias) for n, bias in enumerate(biases)})


def boosted(trips: pl.DataFrame, model: lightgbm.Booster) -> pl.DataFrame:
    scores = model.predict(trips.select("distance").to_numpy())
    return trips.with_columns(score=pl.Series(scores, dtype=pl.Float64))


def segfaults(folder: Path) -> None:
    """Crash."""
    del folder
    ctypes.string_at(0)


def killed(folder: Path) -> None:
    """End as if somebody outside had ended this process."""
    del folder
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(folder: Path) -> None:
    """Never return."""
    del folder
    signal.pause()


def leaves(folder: Path) -> None:
    """Leave."""
    raise SystemExit(f"nothing in {folder.name[:0]}it")
