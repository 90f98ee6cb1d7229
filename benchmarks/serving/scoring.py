"""The model that every server answers by, as each of them loads and asks it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lightgbm
import numpy as np

FEATURES = tuple(f"f{number:02}" for number in range(20))

Row = dict[str, float]
Rows = list[list[float]]


class Scorer:
    """A booster on one thread."""

    def __init__(self, folder: Path, name: str = "stable") -> None:
        """Load it."""
        self._booster = lightgbm.Booster(model_file=folder / f"{name}.txt")

    def score(self, features: np.ndarray) -> list[float]:
        """Return a chance for each row; features: shape (rows, 20)."""
        told: list[float] = np.asarray(self._booster.predict(features, num_threads=1)).tolist()
        return told

    def score_rows(self, said: Sequence[Row] | Row) -> list[float]:
        """Return a chance for each row of a request, its values in the order of the features."""
        rows = [said] if isinstance(said, dict) else said
        return self.score(np.array([list(row.values()) for row in rows]))
