"""Figures of a model, computed from labels and predictions.

| Metric | Of | Better | Of no value where |
|---|---|---|---|
| ``roc_auc`` | scores | higher | there is one class only |
| ``average_precision`` | scores | higher | no row has the label 1 |
| ``log_loss`` | probabilities | lower | |
| ``brier`` | probabilities | lower | |
| ``accuracy@0.5`` | scores | higher | |
| ``precision@0.5`` | scores | higher | nothing is predicted positive |
| ``recall@0.5`` | scores | higher | no row has the label 1 |
| ``mae`` | numbers | lower | |
| ``rmse`` | numbers | lower | |
| ``r2`` | numbers | higher | all labels are the same |

After ``@`` stands the threshold: a score of that or more counts as positive. Ties are exact: rows
of one score are one step of a curve. A metric that cannot be computed is an ``Unknown`` that says
why, never a number.

Each is written once, for rows that have weights: a figure is that of weights 1, a bootstrap that of
how often each row was drawn. ``Metric.prepare`` does what weights do not change, such as sorting.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from firedoor.bounds import within
from firedoor.errors import DeclarationError

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float64]
    Values = pl.Series | npt.ArrayLike

Weighted = Callable[["Floats"], "Floats"]
"""From weights, shape (resamples, rows), to figures, shape (resamples,); NaN: there is none."""
Prepare = Callable[["Floats", "Floats"], Weighted]
Of = Literal["scores", "probabilities", "numbers"]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A figure that cannot be computed, and why. It is never a pass."""

    why: str

    def __bool__(self) -> bool:
        """Be nothing where somebody asks whether there is a figure."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """How a figure is computed, and what is good."""

    name: str
    of: Of
    """What predictions are: scores and probabilities have labels 0 and 1."""
    higher_is_better: bool
    worst: float
    best: float
    """The range of the figure."""
    prepare: Prepare
    nothing: str
    """Why there is no figure, where there is none."""
    counted: Callable[[Floats, Floats], int]
    """How many rows the figure hangs on: those of the rarer class, the positive ones, or all."""


def metric(name: str) -> Metric:
    """Return the metric of a name.

    Raises:
        DeclarationError: naming the one that was meant.

    >>> metric("recall@0.2").higher_is_better
    True
    """
    plain, at, threshold = name.partition("@") if isinstance(name, str) else ("", "", "")
    if plain in _AT and at:
        return _at(name, plain, threshold)
    if name in _METRICS:
        return _METRICS[name]
    known = [*_METRICS, *(f"{plain}@0.5" for plain in _AT)]
    alike = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    remedy = f"write {alike[0]!r}" if alike else f"choose one of {', '.join(known)}"
    raise DeclarationError("metric", name, "is not known", remedy)


def measure(name: str, labels: Values, predictions: Values) -> float | Unknown:
    """Return the figure of predictions.

    Args:
        name: of the metric.
        labels: shape (rows,); 0 and 1, or numbers.
        predictions: shape (rows,).

    Raises:
        DeclarationError: if there is no such metric.

    >>> measure("roc_auc", [0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    >>> measure("roc_auc", [1, 1], [0.1, 0.4])
    Unknown(why='all rows have the same label')
    """
    how = metric(name)
    rows = usable(how, labels, predictions)
    if isinstance(rows, Unknown):
        return rows
    return figure(how, *rows)


def figure(how: Metric, labels: Floats, predictions: Floats) -> float | Unknown:
    """Return the figure of rows that are usable."""
    with np.errstate(over="ignore", invalid="ignore"):
        value = float(how.prepare(labels, predictions)(np.ones((1, labels.size)))[0])
    return value if np.isfinite(value) else Unknown(how.nothing)


def usable(how: Metric, labels: Values, predictions: Values) -> tuple[Floats, Floats] | Unknown:
    """Return labels and predictions as arrays, or why no figure can be computed from them."""
    truth, told = numbers("labels", labels), numbers("predictions", predictions)
    if isinstance(truth, Unknown) or isinstance(told, Unknown):
        return truth if isinstance(truth, Unknown) else told  # type: ignore[return-value]
    if truth.size != told.size:
        return Unknown(f"there are {truth.size:,} labels and {told.size:,} predictions")
    if how.of != "numbers" and not np.isin(truth, (0.0, 1.0)).all():
        return Unknown("labels are not all 0 or 1")
    if how.of == "probabilities" and (told.min() < 0 or told.max() > 1):
        return Unknown(f"predictions from {told.min():g} to {told.max():g} are no probabilities")
    return truth, told


def numbers(what: str, values: Values) -> Floats | Unknown:
    """Return values as an array of finite numbers, at least one; or why they are none."""
    try:
        given = np.asarray(values)
        # numpy would read numbers out of text and out of times, which nobody meant.
        texts = given.dtype == object and any(isinstance(value, str) for value in given.flat)
        if given.dtype.kind not in "buifO" or texts:
            return Unknown(f"{what} are not numbers")
        array = given.astype(np.float64)
    except (TypeError, ValueError):
        return Unknown(f"{what} are not numbers")
    if array.ndim != 1:
        return Unknown(f"{what} have {array.ndim} dimensions and not one")
    if array.size == 0:
        return Unknown("there are no rows")
    missing = array.size - int(np.isfinite(array).sum())
    if missing:
        return Unknown(f"{missing:,} of {array.size:,} {what} are missing or not finite")
    return array


# ---- means of a loss of each row


def _mean(loss: Callable[[Floats, Floats], Floats], labels: Floats, told: Floats) -> Weighted:
    """Return the mean of a loss."""
    losses = loss(labels, told)
    return lambda weights: weights @ losses / weights.sum(axis=1)


def _log_loss(labels: Floats, told: Floats) -> Floats:
    """Return nats a row; a probability of 0 or 1 that is wrong costs 36, as in scikit-learn."""
    least = np.finfo(np.float64).eps
    told = np.clip(told, least, 1 - least)
    return -np.where(labels == 1, np.log(told), np.log1p(-told))


def _square(labels: Floats, told: Floats) -> Floats:
    """Return squared errors."""
    return (labels - told) ** 2


def _absolute(labels: Floats, told: Floats) -> Floats:
    """Return absolute errors."""
    return np.abs(labels - told)


def _rmse(labels: Floats, told: Floats) -> Weighted:
    """Return the root of the mean squared error."""
    mean = _mean(_square, labels, told)
    return lambda weights: np.sqrt(mean(weights))


def _r2(labels: Floats, told: Floats) -> Weighted:
    """Return the share of the variance that is explained."""
    centred, errors = labels - labels.mean(), _square(labels, told)

    def of(weights: Floats) -> Floats:
        mean = weights @ centred / weights.sum(axis=1)
        total = weights @ centred**2 - weights.sum(axis=1) * mean**2
        # What rounding leaves of a variance of nothing is not a variance.
        total[total <= weights.sum(axis=1) * 1e-28 * np.abs(labels).max() ** 2] = np.nan
        result: Floats = 1 - weights @ errors / total
        return result

    return of


# ---- shares at a threshold


def _share(
    counted: Callable[[Floats, Floats], Floats],
    among: Callable[[Floats, Floats], Floats],
    threshold: float,
    labels: Floats,
    told: Floats,
) -> Weighted:
    """Return the share of the rows ``among`` which are ``counted``."""
    positive = (told >= threshold).astype(np.float64)
    hits, rows = counted(labels, positive), among(labels, positive)

    def of(weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            result: Floats = weights @ (hits * rows) / (weights @ rows)
        return result

    return of


# ---- curves


def _steps(told: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the order of rows by score, highest first, and where a new score begins in it."""
    order = np.argsort(-told, kind="stable")
    ranked = told[order]
    return order, np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))


def _hits_and_misses(labels: Floats, told: Floats) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Return positive and negative weight of each score, highest first: (resamples, scores)."""
    order, begins = _steps(told)
    ranked = labels[order]

    def of(weights: Floats) -> tuple[Floats, Floats]:
        drawn = weights[:, order]
        hits = drawn * ranked
        misses = drawn - hits
        if begins.size == labels.size:
            return hits, misses
        return np.add.reduceat(hits, begins, axis=1), np.add.reduceat(misses, begins, axis=1)

    return of


def _roc_auc(labels: Floats, told: Floats) -> Weighted:
    """Return the chance that a positive row has the higher score; a tie counts half."""
    part = _hits_and_misses(labels, told)

    def of(weights: Floats) -> Floats:
        hits, misses = part(weights)
        above = np.cumsum(hits, axis=1)
        pairs = above[:, -1] * misses.sum(axis=1)
        won = np.einsum("ij,ij->i", above - hits / 2, misses)
        with np.errstate(invalid="ignore"):
            result: Floats = won / pairs
        return result

    return of


def _average_precision(labels: Floats, told: Floats) -> Weighted:
    """Return precision averaged over the steps of recall, without interpolation."""
    part = _hits_and_misses(labels, told)

    def of(weights: Floats) -> Floats:
        hits, misses = part(weights)
        above = np.cumsum(hits, axis=1)
        shown = above + np.cumsum(misses, axis=1)
        precision = np.divide(above, shown, out=np.zeros_like(above), where=shown > 0)
        with np.errstate(invalid="ignore"):
            result: Floats = np.einsum("ij,ij->i", precision, hits) / above[:, -1]
        return result

    return of


def _all(labels: Floats, _: Floats) -> int:
    """Count rows."""
    return labels.size


def _positives(labels: Floats, _: Floats) -> int:
    """Count rows with the label 1."""
    return int(labels.sum())


def _rarer(labels: Floats, _: Floats) -> int:
    """Count rows of the rarer class."""
    return int(min(labels.sum(), labels.size - labels.sum()))


def _entry(
    name: str,
    of: Of,
    prepare: Prepare,
    *,
    worst: float,
    best: float,
    nothing: str = "the figure is too large for a number",
    counted: Callable[[Floats, Floats], int] = _all,
) -> Metric:
    """Return a line of the table above."""
    return Metric(
        name=name,
        of=of,
        higher_is_better=best > worst,
        worst=worst,
        best=best,
        prepare=prepare,
        nothing=nothing,
        counted=counted,
    )


_INF = float("inf")
_ONE_CLASS = "all rows have the same label"
_NO_POSITIVE = "no row has the label 1"
_METRICS = {
    entry.name: entry
    for entry in (
        _entry("roc_auc", "scores", _roc_auc, worst=0, best=1, nothing=_ONE_CLASS, counted=_rarer),
        _entry(
            "average_precision",
            "scores",
            _average_precision,
            worst=0,
            best=1,
            nothing=_NO_POSITIVE,
            counted=_positives,
        ),
        _entry("log_loss", "probabilities", partial(_mean, _log_loss), worst=_INF, best=0),
        _entry("brier", "probabilities", partial(_mean, _square), worst=1, best=0),
        _entry("mae", "numbers", partial(_mean, _absolute), worst=_INF, best=0),
        _entry("rmse", "numbers", _rmse, worst=_INF, best=0),
        _entry("r2", "numbers", _r2, worst=-_INF, best=1, nothing="all labels are the same"),
    )
}
_AT: dict[str, tuple[Callable[[Floats, Floats], Floats], Callable[[Floats, Floats], Floats]]] = {
    "accuracy": (
        lambda labels, positive: (labels == positive).astype(np.float64),
        lambda labels, _: np.ones_like(labels),
    ),
    "precision": (lambda labels, _: labels, lambda _, positive: positive),
    "recall": (lambda _, positive: positive, lambda labels, _: labels),
}


def _at(name: str, plain: str, threshold: str) -> Metric:
    """Return a metric at a threshold."""
    try:
        value = float(threshold)
    except ValueError:
        value = float("nan")
    within("metric", value, -1e9, 1e9, f"after the @, for example '{plain}@0.5'")
    nothing = _NO_POSITIVE if plain == "recall" else f"no prediction is {value:g} or more"
    among = _AT[plain][1]

    def counted(labels: Floats, told: Floats) -> int:
        return int(among(labels, (told >= value).astype(np.float64)).sum())

    prepare = partial(_share, *_AT[plain], value)
    return _entry(name, "scores", prepare, worst=0, best=1, nothing=nothing, counted=counted)
