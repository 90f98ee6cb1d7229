"""The verdict on a model: promote, hold or reject, with each rule, its figure and a sentence.

| Rule | Passes | Rejects |
|---|---|---|
| ``at_least`` | all of the interval at or above the bound | all of it below |
| ``at_most`` | all of the interval at or below the bound | all of it above |
| ``no_worse_than_champion`` | the gain is ``better`` or ``no worse`` | it is ``worse`` |
| ``worst_slice`` | each slice, as ``at_least`` | one slice, allowing for how many there are |
| ``calibrated`` | all of the interval of the RMSCE at or below the bound | all of it above |
| ``invariant``, ``directional`` | all bounds of the share at or below ``share_max`` | all above |
| ``latency_a_row_s`` | all bounds of the share of slow calls at or below the rest | all above |
| ``deterministic`` | the same numbers | other numbers |

A rule that neither passes nor rejects *holds*: more rows would tell, or there is nothing to judge.
No data is never a pass.

| Of the rules | Verdict |
|---|---|
| all pass | ``promote`` |
| one or more reject | ``reject`` |
| otherwise | ``hold`` |

To be promoted a model has to keep all rules, so they need no allowance for their number: each one
more makes it harder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np

from firedoor.bounds import seeds
from firedoor.errors import DeclarationError
from firedoor.evaluation.behaviour import behaviour, share_of
from firedoor.evaluation.calibration import CalibrationPolicy, calibration
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate
from firedoor.evaluation.metrics import Unknown, metric, numbers
from firedoor.evaluation.paired import PairPolicy, compare
from firedoor.evaluation.rules import (
    Behaves,
    Calibrated,
    Champion,
    Deterministic,
    Latency,
    Rule,
    Threshold,
    WorstSlice,
)
from firedoor.evaluation.slices import Slice, SlicePolicy, slices

if TYPE_CHECKING:
    import polars as pl

    from firedoor.evaluation.metrics import Values

Outcome = Literal["pass", "hold", "reject"]
Word = Literal["promote", "hold", "reject"]
RULES_MAX = 100


@dataclass(frozen=True, slots=True)
class NoChampion:
    """No model is live yet: known, and not merely missing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What a model did, and what there is to compare it with. All but ``changed`` by row."""

    labels: Values
    predictions: Values
    again: Values | None = None
    """Predictions of the same rows, made a second time."""
    champion: Values | NoChampion | Unknown | None = None
    """Predictions of the same rows by the model that is live, or why there are none."""
    columns: pl.DataFrame | None = None
    """What slices are cut by."""
    clusters: pl.Series | None = None
    """What rows belong together, such as the day; None: they are independent."""
    changed: Mapping[str, tuple[Values, Values] | Unknown] = field(default_factory=dict)
    """By the name of a check: predictions before and after its change of inputs, or why not."""
    row_s: Values | None = None
    """Seconds a row of each call that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What became of a rule."""

    rule: str
    """As it is declared."""
    outcome: Outcome
    found: Estimate | Unknown
    """The figure that decided, and its interval."""
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to become of a model, and why."""

    word: Word
    findings: tuple[Finding, ...]
    """One a rule, in their order."""

    @property
    def why(self) -> tuple[str, ...]:
        """The sentences that stand in the way; of a model that is promoted, none."""
        return tuple(one.sentence for one in self.findings if one.outcome != "pass")


def judge(
    rules: Sequence[Rule],
    evidence: Evidence,
    *,
    seed: int,
    policy: IntervalPolicy | None = None,
) -> Verdict:
    """Return the verdict on a model.

    Args:
        rules: 1 to 100, each declared once.
        evidence: what the model did.
        seed: chance; with the same one the verdict is the same, in any order of the rules.
        policy: how intervals are drawn, and from how much at least.

    Raises:
        DeclarationError: if there are no rules, too many, one twice, or what is none.

    >>> from firedoor.evaluation.rules import at_least, deterministic
    >>> did = Evidence(labels=[0, 1] * 200, predictions=[0.2, 0.4, 0.3, 0.25] * 100)
    >>> verdict = judge([at_least("roc_auc", 0.6), deterministic()], did, seed=1)
    >>> verdict.word, verdict.why
    ('hold', ('the rows were not predicted a second time',))
    >>> verdict.findings[0].sentence
    'roc_auc is 0.75 (0.6953 to 0.7988), which is at least 0.6'
    """
    if not 1 <= len(rules) <= RULES_MAX:
        remedy = f"declare 1 to {RULES_MAX} rules"
        raise DeclarationError("rules", len(rules), "are none, or too many", remedy)
    seeds(seed)
    strange = next((rule for rule in rules if not isinstance(rule, Rule)), None)
    if strange is not None:
        remedy = 'declare it with a function of rules, for example at_least("roc_auc", 0.68)'
        raise DeclarationError("rules", strange, "is no rule", remedy)
    said = [str(rule) for rule in rules]
    twice = next((name for name in said if said.count(name) > 1), None)
    if twice is not None:
        raise DeclarationError("rules", twice, "is declared twice", "declare it once")
    policy = policy or IntervalPolicy()
    findings = []
    for rule, name in zip(rules, said, strict=True):
        outcome, found, sentence = _find(rule, evidence, seed, policy)
        findings.append(Finding(rule=name, outcome=outcome, found=found, sentence=sentence))
    return Verdict(word=word([one.outcome for one in findings]), findings=tuple(findings))


def word(outcomes: Sequence[Outcome]) -> Word:
    """Return the verdict that outcomes of rules make."""
    if "reject" in outcomes:
        return "reject"
    return "promote" if set(outcomes) == {"pass"} else "hold"


_Found = tuple[Outcome, Estimate | Unknown, str]


def _find(  # noqa: PLR0911 - a line a rule
    rule: Rule, evidence: Evidence, seed: int, policy: IntervalPolicy
) -> _Found:
    """Return what becomes of a rule."""
    match rule:
        case Threshold():
            return _threshold(rule, evidence, seed, policy)
        case Champion():
            return _champion(rule, evidence, seed, policy)
        case WorstSlice():
            return _worst_slice(rule, evidence, seed, policy)
        case Calibrated():
            return _calibrated(rule, evidence, seed, policy)
        case Behaves():
            return _behaves(rule, evidence, policy)
        case Latency():
            return _latency(rule, evidence, policy)
        case Deterministic():
            return _deterministic(evidence)
        case _:
            assert_never(rule)


def _threshold(rule: Threshold, evidence: Evidence, seed: int, policy: IntervalPolicy) -> _Found:
    """Judge a figure of all rows."""
    found = estimate(
        rule.metric,
        evidence.labels,
        evidence.predictions,
        seed=seed,
        policy=policy,
        clusters=evidence.clusters,
    )
    return _bounded(rule.metric, found, rule.bound, higher=metric(rule.metric).higher_is_better)


def _champion(rule: Champion, evidence: Evidence, seed: int, policy: IntervalPolicy) -> _Found:
    """Judge a challenger beside the champion."""
    if evidence.champion is None:
        return _nothing("the champion's predictions of these rows are missing")
    if isinstance(evidence.champion, Unknown):
        return _nothing(evidence.champion.why)
    if isinstance(evidence.champion, NoChampion):
        why = "there is no champion yet to be worse than"
        return ("pass" if rule.first == "promote" else "hold"), Unknown(why), why
    found = compare(
        rule.metric,
        evidence.labels,
        evidence.champion,
        evidence.predictions,
        seed=seed,
        policy=PairPolicy(margin=rule.margin, interval=policy),
        clusters=evidence.clusters,
    )
    if isinstance(found.gain, Unknown):
        return _nothing(found.gain.why)
    outcome: Outcome = "reject" if found.verdict == "worse" else "hold"
    if found.verdict in {"better", "no worse"}:
        outcome = "pass"
    said = {"no worse": "no worse than the champion", "not known": "not known to be no worse"}
    said |= {"better": "better than the champion", "worse": "worse than the champion"}
    figures = f"{rule.metric} is {found.challenger:.4g} and was {found.champion:.4g}"
    gain = f"a gain of {_interval(found.gain)} where {rule.margin:g} may be lost"
    return outcome, found.gain, f"{figures}, {gain}: {said[found.verdict]}"


def _worst_slice(rule: WorstSlice, evidence: Evidence, seed: int, policy: IntervalPolicy) -> _Found:
    """Judge the values of a column: all have to pass, and one is enough to reject."""
    if evidence.columns is None or rule.column not in evidence.columns.columns:
        return _nothing(f"column {rule.column!r} is not among the evidence")
    report = slices(
        rule.metric,
        evidence.labels,
        evidence.predictions,
        evidence.columns[rule.column],
        seed=seed,
        policy=SlicePolicy(rows_min=rule.rows_min),
        interval=policy,
        clusters=evidence.clusters,
    )
    if isinstance(report, Unknown):
        return _nothing(report.why)
    if not report.slices:
        return _nothing(f"no value of {rule.column!r} has {rule.rows_min:,} rows")
    higher = report.metric.higher_is_better
    count = f"of {len(report.slices)} slices ({report.small} more are too small)"
    alone = [_side(part.found, rule.bound, higher=higher) for part in report.slices]
    for part in report.slices:
        shown = report.shown(part)
        if _side(shown, rule.bound, higher=higher) == "reject":
            return _of_slice(part, shown, rule, "reject", f"the worst {count}", higher=higher)
    open_ = [part for part, side in zip(report.slices, alone, strict=True) if side != "pass"]
    if open_:
        how_many = f"one of {len(open_)} {count} that did not show it"
        return _of_slice(open_[0], open_[0].found, rule, "hold", how_many, higher=higher)
    worst = report.slices[0]
    return _of_slice(worst, worst.found, rule, "pass", f"the worst {count}", higher=higher)


def _of_slice(
    part: Slice,
    found: Estimate | Unknown,
    rule: WorstSlice,
    outcome: Outcome,
    which: str,
    *,
    higher: bool,
) -> _Found:
    """Tell of the slice that decided."""
    _, _, sentence = _bounded(f"{rule.metric} of {part.name}", found, rule.bound, higher=higher)
    return outcome, found, f"{sentence}; it is {which}"


def _calibrated(rule: Calibrated, evidence: Evidence, seed: int, policy: IntervalPolicy) -> _Found:
    """Judge whether probabilities mean what they say."""
    found = calibration(
        evidence.labels,
        evidence.predictions,
        seed=seed,
        policy=CalibrationPolicy(confidence=policy.confidence, clusters_min=policy.clusters_min),
        clusters=evidence.clusters,
    )
    rmsce = found if isinstance(found, Unknown) else found.rmsce
    return _bounded("the calibration error", rmsce, rule.rmsce_max, higher=False)


def _behaves(rule: Behaves, evidence: Evidence, policy: IntervalPolicy) -> _Found:
    """Judge how predictions moved when inputs were changed."""
    if rule.check not in evidence.changed:
        return _nothing(f"check {rule.check!r} was not run")
    limits, pair = replace(rule.policy, confidence=policy.confidence), evidence.changed[rule.check]
    found = pair if isinstance(pair, Unknown) else behaviour(*pair, limits)
    if isinstance(found, Unknown):
        return _nothing(f"check {rule.check!r}: {found.why}")
    what = f"the share of rows that break {rule.check!r}"
    outcome, _, sentence = _bounded(what, found.share, rule.share_max, higher=False)
    if found.violations:
        rows = ", ".join(str(row) for row in found.examples)
        sentence += f"; by {found.max_size:.4g} at most, for example row {rows}"
    return outcome, found.share, sentence


def _latency(rule: Latency, evidence: Evidence, policy: IntervalPolicy) -> _Found:
    """Judge how many calls were slow."""
    if evidence.row_s is None:
        return _nothing("no call was measured")
    row_s = numbers("measured calls", evidence.row_s)
    if isinstance(row_s, Unknown):
        return _nothing("no call was measured" if not np.size(evidence.row_s) else row_s.why)
    slow = share_of(int((row_s > rule.max_s).sum()), row_s.size, policy.confidence)
    what = f"the share of calls slower than {rule.max_s:g} s a row"
    return _bounded(what, slow, round(1 - rule.share, 12), higher=False)


def _deterministic(evidence: Evidence) -> _Found:
    """Judge whether the same rows gave the same numbers."""
    if evidence.again is None:
        return _nothing("the rows were not predicted a second time")
    once, again = numbers("predictions", evidence.predictions), numbers("others", evidence.again)
    for found in (once, again):
        if isinstance(found, Unknown):
            return _nothing(found.why)
    assert not isinstance(once, Unknown)
    assert not isinstance(again, Unknown)
    if once.size != again.size:
        return _nothing(f"{once.size:,} rows were predicted, and {again.size:,} again")
    other = int((once != again).sum())
    share = Estimate(
        value=other / once.size,
        low=other / once.size,
        high=other / once.size,
        rows=once.size,
        confidence=1.0,
    )
    if not other:
        return "pass", share, f"{once.size:,} rows gave the same numbers twice"
    size = float(np.abs(once - again).max())
    sentence = f"{other:,} of {once.size:,} rows gave other numbers again, by {size:.3g} at most"
    return "reject", share, sentence


def _bounded(what: str, found: Estimate | Unknown, bound: float, *, higher: bool) -> _Found:
    """Judge an interval by a bound."""
    if isinstance(found, Unknown):
        return "hold", found, f"{what} is not known: {found.why}"
    outcome = _side(found, bound, higher=higher)
    good, bad = ("at least", "less than") if higher else ("at most", "more than")
    said = {"pass": good, "hold": f"not known to be {good}", "reject": bad}[outcome]
    return outcome, found, f"{what} is {_interval(found)}, which is {said} {bound:g}"


def _side(found: Estimate | Unknown, bound: float, *, higher: bool) -> Outcome:
    """Return on which side of a bound an interval is."""
    if isinstance(found, Unknown):
        return "hold"
    if found.low >= bound if higher else found.high <= bound:
        return "pass"
    return "reject" if (found.high < bound if higher else found.low > bound) else "hold"


def _interval(found: Estimate) -> str:
    """Return a figure and its interval as a person reads them."""
    return f"{found.value:.4g} ({found.low:.4g} to {found.high:.4g})"


def _nothing(why: str) -> _Found:
    """Hold where there is nothing to judge."""
    return "hold", Unknown(why), why
