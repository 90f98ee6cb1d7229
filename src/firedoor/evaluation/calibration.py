"""Whether probabilities mean what they say: of the rows with 0.3, is the label 1 in 3 of 10?

The figure is the root mean squared calibration error (RMSCE): rows are cut into bins of equal mass
by their prediction, and the gap of a bin is the mean of label minus prediction in it. Chance alone
makes gaps (an ECE of 0.032 for a perfect model at 1,000 rows), so the variance of each gap is taken
off its square. What is left may be nothing; whether it is more than chance makes is judged against
a simulated null (``chance``). The interval holds every error with which a sample like this one is
not too rare, simulated likewise: intervals from resamples miss a truth near nothing.

A gap's variance is that of its rows or, with ``clusters``, of sums over clusters: flights of one
day are late together. It is never less than that of labels drawn from the predictions: a bin that
happens to hold no positive row is not certain.

Rows of one prediction are in one bin, so the order of rows changes nothing. Pooled figures hide
errors that cancel (a year's 0.006 was 0.012 to 0.124 by the week): look at parts as well.

Sources: Kumar et al., *Verified Uncertainty Calibration*, 2019; Roelofs et al., *Mitigating Bias in
Calibration Error Estimation*, 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from firedoor.bounds import seeds, share_between, within
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, cluster_codes
from firedoor.evaluation.metrics import Unknown, metric, usable

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from firedoor.evaluation.intervals import Codes
    from firedoor.evaluation.metrics import Floats, Values

_CELLS_MAX = 20_000_000
"""Clusters times bins: 160 MB."""
_HALVINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPolicy:
    """How rows are cut, and from how many at least."""

    bins: int = 15
    """Bins of equal mass. 2 to 100."""
    rows_min: int = 1_000
    """Rows below which nothing is said. 100 to 1,000,000,000."""
    confidence: float = 0.95
    """Share of samples whose interval holds the truth. 0.5 to 0.999, both excluded."""
    simulations: int = 2_000
    """Samples drawn for the interval and the null. 200 to 100,000."""
    clusters_min: int = 20
    """Clusters below which nothing is said. 2 to 1,000,000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("bins", self.bins, 2, 100, "bins", whole=True)
        within("rows_min", self.rows_min, 100, 10**9, "rows", whole=True)
        share_between("confidence", self.confidence, 0.5, 0.999)
        within("simulations", self.simulations, 200, 100_000, "samples", whole=True)
        within("clusters_min", self.clusters_min, 2, 10**6, "clusters", whole=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """Rows whose predictions are alike."""

    rows: int
    predicted: float
    """Mean prediction."""
    observed: float
    """Share of rows with the label 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How far probabilities are off."""

    rmsce: Estimate
    """Debiased; 0 where the gaps are no more than chance makes."""
    chance: float
    """Share of perfect models that look as bad as this one, by chance."""
    bins: tuple[Bin, ...]
    """From the lowest predictions to the highest."""


def calibration(
    labels: Values,
    predictions: Values,
    *,
    seed: int,
    policy: CalibrationPolicy | None = None,
    clusters: pl.Series | None = None,
) -> Calibration | Unknown:
    """Return how far probabilities are off, or why nothing can be said.

    Args:
        labels: shape (rows,); 0 and 1.
        predictions: shape (rows,); probabilities of 1.
        seed: chance.
        policy: how rows are cut, and from how many at least.
        clusters: shape (rows,); rows of one value belong together.

    >>> told = [0.2, 0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.8, 0.8] * 100
    >>> well = calibration([0, 0, 0, 0, 1, 0, 1, 1, 1, 1] * 100, told, seed=1)
    >>> well.rmsce.value, well.chance > 0.05
    (0.0, True)
    >>> badly = calibration([0, 0, 0, 1, 1, 0, 0, 1, 1, 1] * 100, told, seed=1)
    >>> f"{badly.rmsce.value:.3f} ({badly.rmsce.low:.3f} to {badly.rmsce.high:.3f})"
    '0.199 (0.169 to 0.231)'
    """
    seeds(seed)
    policy = policy or CalibrationPolicy()
    rows = usable(metric("brier"), labels, predictions)
    if isinstance(rows, Unknown):
        return rows
    truth, told = rows
    if truth.size < policy.rows_min:
        return Unknown(f"{truth.size:,} rows are fewer than {policy.rows_min:,}")
    needs = IntervalPolicy(clusters_min=policy.clusters_min)
    codes = cluster_codes(clusters, truth.size, needs)
    if isinstance(codes, Unknown):
        return codes
    place = _place(told, policy.bins)
    count = int(place.max()) + 1
    if codes is not None and (int(codes.max()) + 1) * count > _CELLS_MAX:
        return Unknown(f"{int(codes.max()) + 1:,} clusters are too many for {count} bins")
    size = np.bincount(place, minlength=count).astype(np.float64)
    predicted = np.bincount(place, told, count) / size
    observed = np.bincount(place, truth, count) / size
    spread = _spread(truth - told, told, place, size, codes)
    ends, chance = _judge(observed - predicted, spread, size / size.sum(), policy, seed)
    value, low, high = ends
    return Calibration(
        rmsce=Estimate(
            value=value, low=low, high=high, rows=truth.size, confidence=policy.confidence
        ),
        chance=chance,
        bins=tuple(
            Bin(rows=int(rows), predicted=float(mean), observed=float(share))
            for rows, mean, share in zip(size, predicted, observed, strict=True)
        ),
    )


def _place(told: Floats, bins: int) -> npt.NDArray[np.int64]:
    """Return the bin of each row, from 0, with none empty and no prediction in two."""
    edges = np.unique(np.quantile(told, np.arange(1, bins) / bins))
    place = np.searchsorted(edges, told, side="right")
    return np.unique(place, return_inverse=True)[1].astype(np.int64)


def _spread(
    residuals: Floats,
    told: Floats,
    place: npt.NDArray[np.int64],
    size: Floats,
    codes: Codes | None,
) -> Floats:
    """Return the covariance of the gaps of bins: (bins, bins)."""
    count = size.size
    gaps = np.bincount(place, residuals, count) / size
    off = residuals - gaps[place]
    if codes is None:
        spread = np.diag(np.bincount(place, off**2, count) / size**2)
    else:
        units = int(codes.max()) + 1
        sums = np.bincount(codes * count + place, off, units * count).reshape(units, count)
        spread = sums.T @ sums / np.outer(size, size) * units / (units - 1)
    least = np.bincount(place, told * (1 - told), count) / size**2
    own = np.diag(spread)
    return np.asarray(spread + np.diag(np.maximum(least - own, 0)))


def _judge(
    gaps: Floats, spread: Floats, mass: Floats, policy: CalibrationPolicy, seed: int
) -> tuple[tuple[float, float, float], float]:
    """Return the error with its ends, and how often chance alone makes one as large."""
    bias = float(mass @ np.diag(spread))
    square = float(mass @ gaps**2) - bias
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(spread + np.eye(mass.size) * (1e-12 * np.trace(spread) + 1e-300))
    noise = rng.normal(size=(policy.simulations, mass.size)) @ root.T
    null = noise**2 @ mass - bias
    chance = (1 + int((null >= square).sum())) / (1 + policy.simulations)
    total = float(mass @ gaps**2)
    # Along the gaps that were seen, an error of 1 in every bin where none was.
    along = gaps / math.sqrt(total) if total > 0 else np.ones_like(gaps)
    tail = (1 - policy.confidence) / 2

    def error_at(share: float) -> float:
        """Return the error with which so many samples look no worse than this one."""
        low, high = 0.0, math.sqrt(total) + 10 * math.sqrt(bias)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            seen = (noise + middle * along) ** 2 @ mass - bias
            below = float((seen <= square).mean())
            low, high = (middle, high) if below > share else (low, middle)
        return low

    value = math.sqrt(max(square, 0.0))
    return (value, min(error_at(1 - tail), value), max(error_at(tail), value)), chance
