"""Figures of parts of the rows: a good mean hides a carrier for which the model is useless.

The worst of many parts looks bad by chance alone, so the report says how many were looked at, and
the interval of the worst allows for them (``shown``). That every part is good needs no such
allowance: each has to show it for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from firedoor.bounds import within
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate, widened
from firedoor.evaluation.metrics import Metric, Unknown, metric, usable

if TYPE_CHECKING:
    from firedoor.evaluation.metrics import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePolicy:
    """Which parts are looked at."""

    rows_min: int = 500
    """Rows below which a part is counted, and not judged. 10 to 1,000,000,000."""
    slices_max: int = 100
    """Parts beyond which the column is refused: it names rows and not kinds of them. 1 to 1,000."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("rows_min", self.rows_min, 10, 10**9, "rows", whole=True)
        within("slices_max", self.slices_max, 1, 1_000, "parts", whole=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The rows of one value of a column."""

    column: str
    value: str
    rows: int
    found: Estimate | Unknown

    @property
    def name(self) -> str:
        """The part as a person reads it."""
        return f"{self.column}={self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceReport:
    """What was looked at, and what was too small."""

    metric: Metric
    slices: tuple[Slice, ...]
    """Those with enough rows, the worst first; those without a figure before them."""
    small: int
    """Parts with too few rows."""
    small_rows: int
    rows: int

    @property
    def worst(self) -> Slice | None:
        """The worst part that has a figure; None: there is none."""
        return next((part for part in self.slices if isinstance(part.found, Estimate)), None)

    def shown(self, part: Slice) -> Estimate | Unknown:
        """Return what is known of a part that was picked out of all that were looked at."""
        if isinstance(part.found, Unknown):
            return part.found
        return widened(part.found, self.metric, len(self.slices))


def slices(
    name: str,
    labels: Values,
    predictions: Values,
    by: pl.Series,
    *,
    seed: int,
    policy: SlicePolicy | None = None,
    interval: IntervalPolicy | None = None,
    clusters: pl.Series | None = None,
) -> SliceReport | Unknown:
    """Return the figure of each part of the rows. Rows without a value are a part too.

    Args:
        name: of the metric.
        labels: shape (rows,).
        predictions: shape (rows,).
        by: shape (rows,); the column whose values make the parts.
        seed: chance.
        policy: which parts are looked at.
        interval: how intervals are drawn.
        clusters: shape (rows,); rows of one value are drawn together.

    Raises:
        DeclarationError: if there is no such metric.
    """
    how, policy = metric(name), policy or SlicePolicy()
    if by.dtype.is_float() or by.dtype.is_nested():
        return Unknown(f"{by.name} is {by.dtype}: cut it into a few named bins (Series.cut)")
    rows = usable(how, labels, predictions)
    if isinstance(rows, Unknown):
        return rows
    truth, told = rows
    if by.len() != truth.size:
        return Unknown(f"there are {truth.size:,} rows and {by.len():,} values of {by.name}")
    if clusters is not None and clusters.len() != truth.size:
        return Unknown(f"there are {truth.size:,} rows and {clusters.len():,} clusters of rows")
    places = _places(by)
    enough = places.filter(pl.col("rows") >= policy.rows_min)
    if enough.height > policy.slices_max:
        return Unknown(
            f"{by.name} has {enough.height:,} values of {policy.rows_min:,} rows or more, "
            f"and more than {policy.slices_max:,} are not looked at"
        )
    found = []
    for value, place in zip(enough["value"], enough["place"], strict=True):
        at = place.to_numpy()
        own = None if clusters is None else clusters.gather(at)
        known = estimate(name, truth[at], told[at], seed=seed, policy=interval, clusters=own)
        found.append(Slice(column=by.name, value=value, rows=at.size, found=known))
    small = places.filter(pl.col("rows") < policy.rows_min)
    return SliceReport(
        metric=how,
        slices=tuple(sorted(found, key=lambda part: _rank(part, how))),
        small=small.height,
        small_rows=int(small["rows"].sum()),
        rows=truth.size,
    )


def _places(by: pl.Series) -> pl.DataFrame:
    """Return each value as text, its rows and their places, in the order of values."""
    table = pl.DataFrame({"value": by, "place": np.arange(by.len())})
    grouped = table.group_by("value").agg("place", rows=pl.len()).sort("value")
    return grouped.with_columns(value=pl.col("value").cast(pl.String).fill_null("(none)"))


def _rank(part: Slice, how: Metric) -> tuple[int, float, str]:
    """Return by what parts are sorted: without a figure first, then the worst."""
    if isinstance(part.found, Unknown):
        return 0, 0.0, part.value
    return 1, part.found.value if how.higher_is_better else -part.found.value, part.value
