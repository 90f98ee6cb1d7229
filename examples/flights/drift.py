"""How the scores of a season held up: figures a week and a month, beside what was learnt from."""

from datetime import date

import numpy as np
import polars as pl

from firedoor.evaluation.calibration import Calibration, calibration
from firedoor.evaluation.metrics import Unknown, measure
from steps import KEY

COLUMNS = ("day", "late")
BINS = 10
SEED = 2013


def joined(scored: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the flights that were scored and did arrive, each with what became of it."""
    known = stored.filter(pl.col("late").is_not_null()).select(*KEY, "late")
    found = scored.join(known, on=KEY, how="inner", validate="1:1").sort("day", *KEY)
    return found.select(*COLUMNS, "chance")


def auc(rows: pl.DataFrame) -> float:
    """Return the ROC AUC of scores; NaN where all flights are late, or none is."""
    found = measure("roc_auc", rows["late"].cast(pl.Float64), rows["chance"])
    return float("nan") if isinstance(found, Unknown) else found


def by_week(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the AUC of each whole week, with its first day."""
    weeks = rows.group_by(week=pl.col("day").dt.truncate("1w"), maintain_order=True)
    told = [
        {"week": week, "flights": part.height, "auc": auc(part)}
        for (week,), part in weeks
        if part["day"].n_unique() == 7  # noqa: PLR2004 - days
    ]
    return pl.DataFrame(told, schema={"week": pl.Date, "flights": pl.Int64, "auc": pl.Float64})


def by_month(rows: pl.DataFrame, learnt_from: pl.DataFrame) -> pl.DataFrame:
    """Return for each month what came and what was foretold, and how far scores have moved.

    Args:
        rows: with `day`, `late` and `chance`.
        learnt_from: the flights that the model was trained on, with the same.
    """
    months = rows.sort("day").group_by(month=pl.col("day").dt.truncate("1mo"), maintain_order=True)
    told = [
        {
            "month": month,
            "flights": part.height,
            "late": part["late"].mean(),
            "foretold": part["chance"].mean(),
            "auc": auc(part),
            "psi": psi(learnt_from["chance"], part["chance"]),
        }
        for (month,), part in months
    ]
    figures = dict.fromkeys(("late", "foretold", "auc", "psi"), pl.Float64)
    return pl.DataFrame(told, schema={"month": pl.Date, "flights": pl.Int64, **figures})


def psi(before: pl.Series, now: pl.Series) -> float:
    """Return the population stability index of two samples of scores, 0 for the same ones.

    Bins have equal mass in the first sample. By custom 0.1 is worth a look, and 0.25 a shift.
    """
    edges = np.unique(np.quantile(before.to_numpy(), np.arange(1, BINS) / BINS))
    shares = []
    for sample in (before, now):
        place = np.searchsorted(edges, sample.to_numpy(), side="right")
        # Half a row in each bin: an empty one would be infinitely far away.
        counts = np.bincount(place, minlength=edges.size + 1) + 0.5
        shares.append(counts / counts.sum())
    was, is_ = shares
    return float(((is_ - was) * np.log(is_ / was)).sum())


def calibration_of(rows: pl.DataFrame) -> Calibration | Unknown:
    """Return how far probabilities are off; flights of one day are late together."""
    late = rows["late"].cast(pl.Float64)
    return calibration(late, rows["chance"], seed=SEED, clusters=rows["day"].cast(pl.String))


def scored_once(scored: pl.DataFrame, stored: pl.DataFrame, first: date) -> tuple[int, int, int]:
    """Return how many flights there are from a day on, how many are scored, and how many twice."""
    due = stored.filter(pl.col("day") >= first).select(KEY)
    found = due.join(scored.select(KEY).unique(), on=KEY, how="semi").height
    return due.height, found, scored.height - scored.n_unique(KEY)
