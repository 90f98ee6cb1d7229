"""What promotes, holds and rejects is what the table says; no data is never a pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.worlds import scored
from firedoor.errors import DeclarationError
from firedoor.evaluation.calibration import calibration
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate
from firedoor.evaluation.metrics import Unknown
from firedoor.evaluation.paired import compare
from firedoor.evaluation.rules import (
    Rule,
    at_least,
    at_most,
    calibrated,
    deterministic,
    directional,
    invariant,
    latency_a_row_s,
    no_worse_than_champion,
    worst_slice,
)
from firedoor.evaluation.slices import SliceReport, slices
from firedoor.evaluation.verdict import (
    Evidence,
    Finding,
    NoChampion,
    Verdict,
    Word,
    judge,
    word,
)

QUICK = IntervalPolicy(resamples=300)
LABELS, TOLD = scored(4_000, np.random.default_rng(6), parted=1.5)
SHUFFLED = np.random.default_rng(1).permutation(TOLD)
ALIKE = np.clip(TOLD + 0.005 * np.random.default_rng(3).normal(size=4_000), 0, 1)
CARRIERS = np.repeat(["AA", "B6", "UA", "HA"], [1_600, 1_500, 800, 100])
USELESS = np.where(CARRIERS == "UA", SHUFFLED, TOLD)
FULL = Evidence(
    labels=LABELS,
    predictions=TOLD,
    again=TOLD.copy(),
    champion=SHUFFLED,
    columns=pl.DataFrame({"carrier": CARRIERS, "wind": TOLD}),
    changed={"rain": (TOLD, TOLD + 0.01), "spelling": (TOLD, TOLD)},
    row_s=np.full(600, 0.001),
)
NOTHING = Evidence(labels=[], predictions=[])
ALL: list[Rule] = [
    at_least("roc_auc", 0.7),
    at_most("log_loss", 0.6),
    no_worse_than_champion("log_loss", margin=0.005),
    worst_slice("carrier", "roc_auc", 0.7),
    calibrated(0.05),
    invariant("spelling"),
    directional("rain", may="rise"),
    latency_a_row_s(0.005),
    deterministic(),
]


def verdict(*rules: Rule, seed: int = 1, **changed: Any) -> Verdict:
    return judge(rules, replace(FULL, **changed), seed=seed, policy=QUICK)


def finding(rule: Rule, **changed: Any) -> Finding:
    return verdict(rule, **changed).findings[0]


def measured(slow: int) -> Any:
    return np.array([0.1] * slow + [0.001] * (600 - slow))


def moved(rows: int) -> dict[str, Any]:
    return {"check": (TOLD, TOLD + np.where(np.arange(4_000) < rows, 0.1, 0.0))}


@pytest.mark.parametrize(
    ("rule", "changed", "outcome"),
    [
        (at_least("roc_auc", 0.7), {}, "pass"),
        (at_least("roc_auc", 0.855), {}, "hold"),
        (at_least("roc_auc", 0.9), {}, "reject"),
        (at_most("log_loss", 0.6), {}, "pass"),
        (at_most("log_loss", 0.42), {}, "hold"),
        (at_most("log_loss", 0.3), {}, "reject"),
        (no_worse_than_champion("brier", margin=0.0), {}, "pass"),
        (no_worse_than_champion("brier", margin=0.0), {"champion": TOLD}, "pass"),
        (no_worse_than_champion("brier", margin=0.0), {"champion": LABELS}, "reject"),
        (no_worse_than_champion("brier", margin=0.0), {"champion": ALIKE}, "hold"),
        (no_worse_than_champion("brier", margin=0.0), {"champion": NoChampion()}, "hold"),
        (
            no_worse_than_champion("brier", margin=0.0, first="promote"),
            {"champion": NoChampion()},
            "pass",
        ),
        (worst_slice("carrier", "roc_auc", 0.7), {}, "pass"),
        (worst_slice("carrier", "roc_auc", 0.85), {}, "hold"),
        (worst_slice("carrier", "roc_auc", 0.7), {"predictions": USELESS}, "reject"),
        (worst_slice("carrier", "log_loss", 0.7), {"predictions": USELESS}, "reject"),
        (calibrated(0.05), {}, "pass"),
        (calibrated(0.001), {}, "hold"),
        (calibrated(0.05), {"predictions": TOLD / 2}, "reject"),
        (invariant("check"), {"changed": moved(0)}, "pass"),
        (invariant("check"), {"changed": moved(38)}, "hold"),
        (invariant("check"), {"changed": moved(400)}, "reject"),
        (invariant("check", tolerance=0.1), {"changed": moved(400)}, "pass"),
        (directional("check", may="rise"), {"changed": moved(4_000)}, "pass"),
        (directional("check", may="fall"), {"changed": moved(4_000)}, "reject"),
        (directional("check", may="fall"), {"changed": moved(38)}, "hold"),
        (latency_a_row_s(0.005), {"row_s": measured(0)}, "pass"),
        (latency_a_row_s(0.001), {"row_s": measured(0)}, "pass"),
        (latency_a_row_s(0.005), {"row_s": measured(6)}, "hold"),
        (latency_a_row_s(0.005), {"row_s": measured(60)}, "reject"),
        (latency_a_row_s(0.005), {"row_s": measured(0)[:300]}, "hold"),
        (deterministic(), {}, "pass"),
        (deterministic(), {"again": TOLD + 1e-16}, "reject"),
    ],
)
def test_each_row_of_the_table_of_rules_is_followed(
    rule: Rule, changed: dict[str, Any], outcome: str
) -> None:
    found = finding(rule, **changed)
    assert (found.rule, found.outcome) == (str(rule), outcome), found.sentence


@pytest.mark.parametrize(
    ("outcomes", "meant"),
    [
        (["pass"], "promote"),
        (["pass", "pass"], "promote"),
        (["pass", "hold"], "hold"),
        (["hold", "hold"], "hold"),
        (["pass", "reject"], "reject"),
        (["hold", "reject", "pass"], "reject"),
        ([], "hold"),
    ],
)
def test_each_row_of_the_table_of_verdicts_is_followed(outcomes: list[Any], meant: Word) -> None:
    assert word(outcomes) == meant


def test_a_good_model_is_promoted_and_each_rule_has_its_figure() -> None:
    found = verdict(*ALL)
    assert (found.word, found.why) == ("promote", ())
    assert [one.rule for one in found.findings] == [str(rule) for rule in ALL]
    assert all(isinstance(one.found, Estimate) for one in found.findings)


def test_a_model_trained_on_shuffled_labels_is_not_promoted() -> None:
    rng = np.random.default_rng(2)
    worse = 0.8 * TOLD + 0.2 * (1 - TOLD)
    noisy = np.clip(worse + 0.02 * rng.normal(size=4_000), 0, 1)
    found = verdict(*ALL, predictions=noisy, champion=TOLD)
    assert found.word == "reject"
    assert any(sentence.endswith(": worse than the champion") for sentence in found.why)


@pytest.mark.parametrize("rule", ALL, ids=str)
@pytest.mark.parametrize(
    "predictions",
    [[], [math.nan] * 4_000, [0.5] * 3, ["x"] * 4_000],
    ids=["none", "nan", "other length", "text"],
)
def test_no_data_is_never_a_pass(rule: Rule, predictions: Any) -> None:
    bare = Evidence(labels=LABELS, predictions=predictions)
    (found,) = judge([rule], bare, seed=1, policy=QUICK).findings
    assert found.outcome == "hold"
    assert isinstance(found.found, Unknown)
    assert found.sentence
    (empty,) = judge([rule], NOTHING, seed=1).findings
    assert empty.outcome == "hold"


@pytest.mark.parametrize("rule", ALL, ids=str)
def test_a_model_whose_predictions_are_no_numbers_passes_no_rule_about_them(rule: Rule) -> None:
    broken = np.full(4_000, math.nan)
    found = finding(
        rule,
        predictions=broken,
        again=broken,
        changed={"rain": (broken, broken), "spelling": (broken, broken)},
        row_s=[],
    )
    assert found.outcome == "hold"


@pytest.mark.parametrize(
    ("rule", "changed", "why"),
    [
        (ALL[0], {"labels": np.ones(4_000)}, "roc_auc is not known: all rows have the same label"),
        (ALL[2], {"champion": None}, "the champion's predictions of these rows are missing"),
        (ALL[2], {"champion": [0.5]}, "of the champion: there are 4,000 labels and 1 predictions"),
        (ALL[3], {"columns": None}, "column 'carrier' is not among the evidence"),
        (worst_slice("wind", "brier", 0.3), {}, "wind is Float64: cut it into"),
        (worst_slice("carrier", "brier", 0.3, rows_min=2_000), {}, "no value of 'carrier' has"),
        (ALL[5], {"changed": {}}, "check 'spelling' was not run"),
        (ALL[5], {"changed": {"spelling": ([], [])}}, "check 'spelling': there are no rows"),
        (ALL[7], {"row_s": []}, "no call was measured"),
        (ALL[7], {"row_s": [math.inf]}, "1 of 1 measured calls are missing"),
        (ALL[8], {"again": None}, "the rows were not predicted a second time"),
        (ALL[8], {"again": [0.1]}, "4,000 rows were predicted, and 1 again"),
    ],
)
def test_what_is_missing_is_named(rule: Rule, changed: dict[str, Any], why: str) -> None:
    found = finding(rule, **changed)
    assert found.outcome == "hold"
    assert found.sentence.startswith(why)


@pytest.mark.parametrize(
    ("rule", "changed", "said"),
    [
        (at_least("roc_auc", 0.9), {}, "), which is less than 0.9"),
        (worst_slice("carrier", "roc_auc", 0.7), {"predictions": USELESS}, "of carrier=UA is 0."),
        (worst_slice("carrier", "roc_auc", 0.7), {}, "of 3 slices (1 more are too small)"),
        (worst_slice("carrier", "roc_auc", 0.85), {}, "slices (1 more are too small) that did not"),
        (invariant("check"), {"changed": moved(400)}, "by 0.1 at most, for example row"),
        (latency_a_row_s(0.005), {}, "slower than 0.005 s a row is 0 (0 to 0.00"),
        (deterministic(), {"again": TOLD + 1e-9}, "4,000 of 4,000 rows gave other numbers again"),
    ],
)
def test_the_sentence_says_what_a_person_needs(
    rule: Rule, changed: dict[str, Any], said: str
) -> None:
    sentence = finding(rule, **changed).sentence
    assert said in sentence


def test_the_worst_slice_rejects_only_where_that_is_no_pick_of_the_unluckiest() -> None:
    report = slices("roc_auc", LABELS, TOLD, pl.Series("k", CARRIERS), seed=1, interval=QUICK)
    assert isinstance(report, SliceReport)
    assert report.worst is not None
    alone, shown = report.worst.found, report.shown(report.worst)
    assert isinstance(alone, Estimate)
    assert isinstance(shown, Estimate)
    between = (alone.high + shown.high) / 2
    assert finding(worst_slice("carrier", "roc_auc", between)).outcome == "hold"
    assert finding(worst_slice("carrier", "roc_auc", shown.high + 0.001)).outcome == "reject"


def test_a_slice_without_a_figure_holds_the_rule() -> None:
    labels = np.where(CARRIERS == "B6", 0.0, LABELS)
    found = finding(worst_slice("carrier", "roc_auc", 0.7), labels=labels)
    assert found.outcome == "hold"
    assert "carrier=B6 is not known: all rows have the same label" in found.sentence


def test_clusters_make_a_verdict_less_sure() -> None:
    few = pl.Series(np.arange(4_000) % 5)
    found = finding(at_least("roc_auc", 0.7), clusters=few)
    assert (found.outcome, "5 clusters" in found.sentence) == ("hold", True)


def test_a_verdict_does_not_hang_on_the_order_of_rules_and_is_the_same_again() -> None:
    one, other = verdict(*ALL), verdict(*reversed(ALL))
    assert one == verdict(*ALL)
    assert set(one.findings) == set(other.findings)
    assert one.findings[0].found != verdict(ALL[0], seed=2).findings[0].found


@pytest.mark.parametrize("rules", [[], [ALL[0]] * 2, [calibrated(n / 200) for n in range(1, 102)]])
def test_rules_that_are_none_twice_or_too_many_are_refused(rules: list[Rule]) -> None:
    with pytest.raises(DeclarationError):
        judge(rules, FULL, seed=1)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "x", True])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    for ask in (
        lambda: judge([ALL[0]], FULL, seed=seed),
        lambda: estimate("brier", LABELS, TOLD, seed=seed),
        lambda: compare("brier", LABELS, TOLD, TOLD, seed=seed),
        lambda: calibration(LABELS, TOLD, seed=seed),
    ):
        with pytest.raises(DeclarationError, match="seed"):
            ask()


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(DeclarationError, match="declare it with a function of rules"):
        judge(["at_least"], FULL, seed=1)  # type: ignore[list-item]
