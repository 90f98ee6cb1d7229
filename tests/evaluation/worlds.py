"""Models and rows whose truth is known, drawn from a seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def scored(
    rows: int, rng: np.random.Generator, *, rate: float = 0.3, parted: float = 1.0
) -> tuple[Floats, Floats]:
    """Return labels, and the true probabilities of them, which are a calibrated model's."""
    labels = (rng.random(rows) < rate).astype(np.float64)
    scores = rng.normal(size=rows) + parted * (labels - 0.5)
    return labels, 1 / (1 + np.exp(-(parted * scores + np.log(rate / (1 - rate)))))
