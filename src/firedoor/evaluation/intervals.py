"""How far a figure may be from the truth: bootstrap intervals, drawn from a seed.

The interval is the bias-corrected and accelerated one (BCa). Percentiles are simpler, and miss on
one side: where 2.5 of 100 were meant to lie below, up to 8 did, and of BCa up to 5
(``docs/adr/0012-evaluation.md``).

Rows that belong together (flights of a day, visits of a patient) are drawn together where
``clusters`` names what they belong to: an interval over single rows would be too narrow. A figure
that hangs on too few rows or clusters has no interval, and says so. Where no resample differs, as
of a share of 100 %, the bootstrap would claim to be certain: the bound is then the exact one of a
share of nothing, 1 - alpha ** (1 / rows).

Source: Efron and Tibshirani, *An Introduction to the Bootstrap*, chapter 14.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from firedoor.bounds import seeds, share_between, within
from firedoor.errors import DeclarationError
from firedoor.evaluation.metrics import Metric, Unknown, Weighted, metric, usable

if TYPE_CHECKING:
    import numpy.typing as npt

    from firedoor.evaluation.metrics import Floats, Values

    Codes = npt.NDArray[np.int64]

ROWS_MAX = 2_000_000
"""1,000 resamples of 100,000 rows take 4 to 7 s, and of 1,000,000 rows some 80 s."""
_AT_ONCE = 1_000_000
"""Weights held at a time, some 50 MB with what is computed from them."""
_PARTS = 100
"""Parts that are left out in turn, to see how skewed a figure is."""
_TAIL_MIN = 5
_UNDEFINED_MAX = 0.05
"""Share of resamples that may have no figure."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPolicy:
    """How an interval is drawn, and from how much at least."""

    confidence: float = 0.95
    """Share of samples whose interval holds the truth. 0.5 to 0.999, both excluded."""
    resamples: int = 1_000
    """Samples drawn from the sample. 100 to 100,000, and 5 or more beyond each end."""
    counted_min: int = 10
    """Rows that the figure hangs on (of the rarer class, for ``roc_auc``) below which there is no
    interval. 2 to 1,000,000."""
    clusters_min: int = 20
    """Clusters below which there is no interval. 2 to 1,000,000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        share_between("confidence", self.confidence, 0.5, 0.999)
        within("resamples", self.resamples, 100, 100_000, "resamples", whole=True)
        within("counted_min", self.counted_min, 2, 10**6, "rows", whole=True)
        within("clusters_min", self.clusters_min, 2, 10**6, "clusters", whole=True)
        if self.resamples * self.tail < _TAIL_MIN:
            remedy = f"give {round(_TAIL_MIN / self.tail):,} or more, or less confidence"
            raise DeclarationError(
                "resamples", self.resamples, "are too few for the confidence", remedy
            )

    @property
    def tail(self) -> float:
        """Share of samples that may miss the truth on one side."""
        return (1 - self.confidence) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure, and the interval in which the truth is likely to be."""

    value: float
    low: float
    high: float
    rows: int
    confidence: float
    looked_at: int = 1
    """Estimates of which this is one, where the interval allows for that."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What a bootstrap found."""

    value: float
    resampled: Floats
    left_out: Floats
    """Figures with each part left out in turn."""


def estimate(
    name: str,
    labels: Values,
    predictions: Values,
    *,
    seed: int,
    policy: IntervalPolicy | None = None,
    clusters: pl.Series | None = None,
) -> Estimate | Unknown:
    """Return a figure and its interval, or why there is none.

    Args:
        name: of the metric.
        labels: shape (rows,).
        predictions: shape (rows,).
        seed: chance; the same seed gives the same interval.
        policy: how, and from how much at least.
        clusters: shape (rows,); rows of one value are drawn together.

    Raises:
        DeclarationError: if there is no such metric.

    >>> told = [0.1, 0.3, 0.2, 0.6, 0.4, 0.9, 0.7, 0.8] * 20
    >>> found = estimate("roc_auc", [0, 0, 0, 0, 1, 1, 1, 1] * 20, told, seed=1)
    >>> f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    '0.938 (0.893 to 0.963)'
    """
    how, policy = metric(name), policy or IntervalPolicy()
    rows = usable(how, labels, predictions)
    if isinstance(rows, Unknown):
        return rows
    codes = cluster_codes(clusters, rows[0].size, policy)
    if isinstance(codes, Unknown):
        return codes
    few = too_few(how, *rows, policy)
    if few is not None:
        return few
    drawn = bootstrap(how, how.prepare(*rows), rows[0].size, codes, seed=seed, policy=policy)
    if isinstance(drawn, Unknown):
        return drawn
    low, high = bca(drawn, policy)
    if low == high:
        counted = how.counted(*rows) if codes is None else int(codes.max()) + 1
        low, high = _certain(how, drawn.value, counted, policy)
    return Estimate(
        value=drawn.value, low=low, high=high, rows=rows[0].size, confidence=policy.confidence
    )


def too_few(how: Metric, labels: Floats, told: Floats, policy: IntervalPolicy) -> Unknown | None:
    """Return why rows are too few, or too many; None if they are neither."""
    if labels.size > ROWS_MAX:
        return Unknown(f"{labels.size:,} rows are more than {ROWS_MAX:,}: draw some of them")
    counted = how.counted(labels, told)
    if counted == 0:
        return Unknown(how.nothing)
    if counted < policy.counted_min:
        wanted = f"{policy.counted_min} are needed for an interval"
        return Unknown(f"{how.name} hangs on {counted} of {labels.size:,} rows, and {wanted}")
    return None


def cluster_codes(
    clusters: pl.Series | None, rows: int, policy: IntervalPolicy
) -> Codes | Unknown | None:
    """Return the number of the cluster of each row, from 0; None: each row is its own."""
    if clusters is None:
        return None
    if clusters.len() != rows:
        return Unknown(f"there are {rows:,} rows and {clusters.len():,} clusters of rows")
    if clusters.null_count():
        return Unknown(f"{clusters.null_count():,} of {rows:,} rows belong to no cluster")
    codes = (clusters.rank("dense").cast(pl.Int64) - 1).to_numpy()
    found = int(codes.max()) + 1
    if found < policy.clusters_min:
        return Unknown(f"there are {found} clusters, and {policy.clusters_min} are needed")
    return codes


def bootstrap(
    how: Metric,
    figures: Weighted,
    rows: int,
    codes: Codes | None,
    *,
    seed: int,
    policy: IntervalPolicy,
) -> Drawn | Unknown:
    """Return figures of resamples, or why they are none. Memory is that of a few resamples."""
    seeds(seed)
    value = float(figures(np.ones((1, rows)))[0])
    if not np.isfinite(value):
        return Unknown(how.nothing)
    rng = np.random.default_rng(seed)
    units = rows if codes is None else int(codes.max()) + 1
    most = max(1, _AT_ONCE // rows)
    resampled = []
    for begin in range(0, policy.resamples, most):
        drawn = min(most, policy.resamples - begin)
        places = rng.integers(units, size=(drawn, units)) + units * np.arange(drawn)[:, None]
        counts = np.bincount(places.ravel(), minlength=drawn * units).reshape(drawn, units)
        weights = counts if codes is None else counts[:, codes]
        resampled.append(figures(weights.astype(np.float64)))
    found = np.concatenate(resampled)
    found = found[np.isfinite(found)]
    if found.size < (1 - _UNDEFINED_MAX) * policy.resamples:
        return Unknown(f"{how.name} has no value in many resamples: {how.nothing}")
    return Drawn(value, found, _left_out(figures, units, codes, most))


def bca(drawn: Drawn, policy: IntervalPolicy) -> tuple[float, float]:
    """Return the ends of the interval."""
    found = drawn.resampled
    below = ((found < drawn.value).sum() + (found == drawn.value).sum() / 2) / found.size
    if np.ptp(found) == 0:
        return drawn.value, drawn.value
    bias = _NORMAL.inv_cdf(min(max(below, 1 / found.size), 1 - 1 / found.size))
    pulls = drawn.left_out[np.isfinite(drawn.left_out)]
    pulls = pulls.mean() - pulls
    spread = float((pulls**2).sum()) ** 1.5
    skew = float((pulls**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = []
    for tail in (policy.tail, 1 - policy.tail):
        reach = bias + _NORMAL.inv_cdf(tail)
        # Beyond this, a very skewed figure would turn the interval inside out.
        stretch = max(1 - skew * reach, 0.1)
        ends.append(_NORMAL.cdf(bias + reach / stretch))
    low, high = np.quantile(found, ends)
    return min(float(low), drawn.value), max(float(high), drawn.value)


def widened(found: Estimate, how: Metric, looked_at: int) -> Estimate:
    """Return an estimate whose interval allows for being the most striking of several.

    Each side is stretched by the ratio of the normal quantiles, as Bonferroni has it.
    """
    tail = (1 - found.confidence) / 2
    stretch = _NORMAL.inv_cdf(1 - tail / looked_at) / _NORMAL.inv_cdf(1 - tail)
    least, most = sorted((how.worst, how.best))
    return replace(
        found,
        low=max(least, found.value - stretch * (found.value - found.low)),
        high=min(most, found.value + stretch * (found.high - found.value)),
        looked_at=looked_at,
    )


def _left_out(figures: Weighted, units: int, codes: Codes | None, most: int) -> Floats:
    """Return figures with each of some parts of the units left out in turn."""
    parts = min(_PARTS, units)
    part = np.arange(units) % parts
    part = part if codes is None else part[codes]
    found = []
    for begin in range(0, parts, most):
        left = np.arange(begin, min(begin + most, parts))
        found.append(figures((part[None, :] != left[:, None]).astype(np.float64)))
    return np.concatenate(found)


def _certain(
    how: Metric, value: float, counted: int, policy: IntervalPolicy
) -> tuple[float, float]:
    """Return bounds of a share that is nothing or all in every resample."""
    least, most = sorted((how.worst, how.best))
    if not np.isfinite(most - least) or least < value < most:
        return value, value
    reach = 1 - policy.tail ** (1 / counted)
    return (value - reach, value) if value == most else (value, value + reach)
