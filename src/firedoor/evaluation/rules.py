"""Rules that a model has to keep before it is promoted, as they are declared.

``verdict.judge`` says which of them it keeps. A rule that nothing could break, or keep, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firedoor.bounds import one_of, share_between, text, within
from firedoor.errors import DeclarationError
from firedoor.evaluation.behaviour import BehaviourPolicy
from firedoor.evaluation.metrics import metric
from firedoor.evaluation.slices import SlicePolicy

First = Literal["hold", "promote"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """A figure of all rows is good enough."""

    metric: str
    bound: float

    def __post_init__(self) -> None:
        """Refuse a bound that every model keeps, or none."""
        _check_bound(self.metric, self.bound)

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        return f'{_side(self.metric)}("{self.metric}", {self.bound:.10g})'


@dataclass(frozen=True, slots=True)
class Champion:
    """The challenger loses no more than a margin against the champion, on the same rows."""

    metric: str
    margin: float
    first: First

    def __post_init__(self) -> None:
        """Refuse a margin that is none."""
        metric(self.metric)
        within("margin", self.margin, 0, 10**9, "in the unit of the metric")
        one_of("first", self.first, ("hold", "promote"))

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        first = "" if self.first == "hold" else f', first="{self.first}"'
        return f'no_worse_than_champion("{self.metric}", margin={self.margin:.10g}{first})'


@dataclass(frozen=True, slots=True)
class WorstSlice:
    """A figure is good enough for each value of a column."""

    column: str
    metric: str
    bound: float
    rows_min: int

    def __post_init__(self) -> None:
        """Refuse what cannot be judged."""
        text("column", self.column)
        _check_bound(self.metric, self.bound)
        SlicePolicy(rows_min=self.rows_min)

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        what = f'"{self.column}", "{self.metric}", {self.bound:.10g}'
        return f"worst_slice({what}, rows_min={self.rows_min})"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Probabilities are off by no more than this (RMSCE)."""

    rmsce_max: float

    def __post_init__(self) -> None:
        """Refuse an error that every model keeps, or none."""
        share_between("rmsce_max", self.rmsce_max, 0, 1)

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        return f"calibrated({self.rmsce_max:.10g})"


@dataclass(frozen=True, slots=True)
class Behaves:
    """Predictions move as they may when inputs are changed, in nearly all rows."""

    check: str
    policy: BehaviourPolicy
    share_max: float

    def __post_init__(self) -> None:
        """Refuse a share that every model keeps, or none."""
        text("check", self.check)
        share_between("share_max", self.share_max, 0, 1)

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        may = "" if self.policy.may == "stay" else f', may="{self.policy.may}"'
        name = "invariant" if self.policy.may == "stay" else "directional"
        limits = f"tolerance={self.policy.tolerance:.10g}, share_max={self.share_max:.10g}"
        return f'{name}("{self.check}"{may}, {limits})'


@dataclass(frozen=True, slots=True)
class Latency:
    """A prediction is quick enough, in nearly all calls."""

    max_s: float
    share: float

    def __post_init__(self) -> None:
        """Refuse a time that is none."""
        within("max_s", self.max_s, 1e-9, 86_400, "seconds a row")
        share_between("share", self.share, 0, 1)

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        return f"latency_a_row_s({self.max_s:.10g}, share={self.share:.10g})"


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Twice the same rows, twice the same numbers."""

    def __str__(self) -> str:
        """Return the rule as it is declared."""
        return "deterministic()"


Rule = Threshold | Champion | WorstSlice | Calibrated | Behaves | Latency | Deterministic


def at_least(name: str, bound: float) -> Rule:
    """Return the rule that a figure is so high, or higher.

    >>> print(at_least("roc_auc", 0.68))
    at_least("roc_auc", 0.68)
    """
    return _threshold("at_least", name, bound)


def at_most(name: str, bound: float) -> Rule:
    """Return the rule that a figure is so low, or lower."""
    return _threshold("at_most", name, bound)


def no_worse_than_champion(name: str, *, margin: float, first: First = "hold") -> Rule:
    """Return the rule that the challenger loses at most ``margin``, in the unit of the metric.

    ``first``: what to do where there is no champion yet.
    """
    return Champion(name, margin, first)


def worst_slice(column: str, name: str, bound: float, *, rows_min: int = 500) -> Rule:
    """Return the rule that a figure is good enough for each value of a column.

    Values with fewer rows are counted, and not judged.
    """
    return WorstSlice(column, name, bound, rows_min)


def calibrated(rmsce_max: float) -> Rule:
    """Return the rule that probabilities are off by at most so much; at 1,000 rows or more."""
    return Calibrated(rmsce_max)


def invariant(check: str, *, tolerance: float = 0.0, share_max: float = 0.01) -> Rule:
    """Return the rule that a change of inputs, named ``check``, moves predictions in few rows."""
    return Behaves(check, BehaviourPolicy(tolerance=tolerance), share_max)


def directional(
    check: str,
    *,
    may: Literal["rise", "fall"],
    tolerance: float = 0.0,
    share_max: float = 0.01,
) -> Rule:
    """Return the rule that a change of inputs moves predictions one way, but for a few rows."""
    one_of("may", may, ("rise", "fall"))
    return Behaves(check, BehaviourPolicy(may=may, tolerance=tolerance), share_max)


def latency_a_row_s(max_s: float, *, share: float = 0.99) -> Rule:
    """Return the rule that so large a share of calls takes at most ``max_s`` seconds a row.

    To show 99 % takes 369 calls that are all quick enough.
    """
    return Latency(max_s, share)


def deterministic() -> Rule:
    """Return the rule that the same rows give the same numbers again, bit for bit."""
    return Deterministic()


def _threshold(said: str, name: str, bound: float) -> Rule:
    """Return a rule about a figure, if that is its good side."""
    meant = _side(name)
    if meant != said:
        better = "higher" if metric(name).higher_is_better else "lower"
        remedy = f'write {meant}("{name}", {bound})'
        raise DeclarationError("metric", name, f"is better when it is {better}", remedy)
    return Threshold(name, bound)


def _side(name: str) -> str:
    """Return on which side of a bound a metric is good."""
    return "at_least" if metric(name).higher_is_better else "at_most"


def _check_bound(name: str, bound: object) -> None:
    """Refuse a bound outside the range of its metric, or at an end of it."""
    how = metric(name)
    share_between("bound", bound, *sorted((how.worst, how.best)))
