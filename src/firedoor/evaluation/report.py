"""All that is said of a model under evaluation: the verdict, and figures that no rule is about.

Two things are looked at before any rule: whether there are rows enough, and whether their labels
differ. Rules that need neither would pass on nothing at all, and no data is never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from firedoor.bounds import within
from firedoor.evaluation.calibration import Calibration, calibration
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate
from firedoor.evaluation.metrics import Unknown, measure, numbers
from firedoor.evaluation.rules import Rule, Threshold
from firedoor.evaluation.slices import SlicePolicy, SliceReport, slices
from firedoor.evaluation.verdict import Evidence, Finding, NoChampion, Verdict, judge, word

if TYPE_CHECKING:
    from firedoor.evaluation.metrics import Values

ROWS_MIN = 100
SLICE_RESAMPLES = 400
"""Of slices that are told and not judged, where nobody says otherwise: they are many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be reported besides the verdict."""

    metrics: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    """Columns."""
    rows_min: int = ROWS_MIN
    """Rows below which nothing is judged. 10 to 1,000,000,000."""
    slice_rows_min: int = 500
    """Rows below which a slice is counted, and not judged."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        within("rows_min", self.rows_min, 10, 10**9, "rows", whole=True)
        SlicePolicy(rows_min=self.slice_rows_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is known of a model."""

    verdict: Verdict
    metrics: dict[str, Estimate | Unknown]
    champion: dict[str, float]
    """Figures of the model that is live, on the same rows, where there are any."""
    slices: dict[tuple[str, str], SliceReport | Unknown]
    """By column and metric."""
    calibration: Calibration | Unknown


def report(
    rules: Sequence[Rule],
    evidence: Evidence,
    wanted: Wanted,
    *,
    seed: int,
    policy: IntervalPolicy | None = None,
) -> Report:
    """Return the verdict on a model, and its figures.

    Args:
        rules: 1 to 100, each declared once.
        evidence: what the model did.
        wanted: what is reported besides.
        seed: chance.
        policy: how intervals are drawn, and from how much at least.

    Raises:
        DeclarationError: as ``verdict.judge`` does.
    """
    verdict = judge(rules, evidence, seed=seed, policy=policy)
    short = lacking(evidence.labels, wanted.rows_min)
    if short is not None:
        first = Finding(rule="rows", outcome="hold", found=short, sentence=short.why)
        findings = (first, *(_held(one, short) for one in verdict.findings))
        verdict = Verdict(word=word([one.outcome for one in findings]), findings=findings)
    known = {
        rule.metric: finding.found
        for rule, finding in zip(rules, verdict.findings[-len(rules) :], strict=True)
        if isinstance(rule, Threshold)
    }
    of = (evidence.labels, evidence.predictions)
    names = tuple(dict.fromkeys((*wanted.metrics, *known)))
    metrics = {
        name: known[name]
        if name in known
        else estimate(name, *of, seed=seed, policy=policy, clusters=evidence.clusters)
        for name in names
    }
    return Report(
        verdict=verdict,
        metrics=metrics,
        champion=_figures(names, evidence.labels, evidence.champion),
        slices={
            (column, name): _sliced(name, column, evidence, wanted, seed, policy)
            for column in wanted.slices
            for name in names
        },
        calibration=calibration(*of, seed=seed, clusters=evidence.clusters),
    )


def lacking(labels: Values, rows_min: int) -> Unknown | None:
    """Return why labels are no ground for a verdict; None if they are.

    >>> lacking([1.0] * 200, 100)
    Unknown(why='all 200 rows have the same label, 1')
    >>> lacking([0.0, 1.0] * 30, 100)
    Unknown(why='there are 60 rows, and 100 are needed for a verdict')
    """
    truth = numbers("labels", labels)
    if isinstance(truth, Unknown):
        return truth
    if truth.size < rows_min:
        return Unknown(f"there are {truth.size:,} rows, and {rows_min:,} are needed for a verdict")
    if np.ptp(truth) == 0:
        return Unknown(f"all {truth.size:,} rows have the same label, {truth[0]:g}")
    return None


def _held(found: Finding, short: Unknown) -> Finding:
    """Return a finding that decides nothing: what bars a model for good needs rows as well."""
    if found.outcome == "hold":
        return found
    return replace(found, outcome="hold", sentence=f"{found.sentence}; but {short.why}")


def _figures(
    names: Sequence[str], labels: Values, predictions: Values | NoChampion | Unknown | None
) -> dict[str, float]:
    """Return the figures of a model that there are."""
    if predictions is None or isinstance(predictions, NoChampion | Unknown):
        return {}
    found = {name: measure(name, labels, predictions) for name in names}
    return {name: value for name, value in found.items() if not isinstance(value, Unknown)}


def _sliced(
    name: str,
    column: str,
    evidence: Evidence,
    wanted: Wanted,
    seed: int,
    policy: IntervalPolicy | None,
) -> SliceReport | Unknown:
    """Return the figure of each value of a column."""
    if evidence.columns is None or column not in evidence.columns.columns:
        return Unknown(f"column {column!r} is not among the evidence")
    return slices(
        name,
        evidence.labels,
        evidence.predictions,
        evidence.columns[column],
        seed=seed,
        policy=SlicePolicy(rows_min=wanted.slice_rows_min),
        interval=policy or IntervalPolicy(resamples=SLICE_RESAMPLES),
        clusters=evidence.clusters,
    )
