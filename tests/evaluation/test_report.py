"""All that is said of a model, and that nothing is promoted or barred without rows to judge by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from evaluation import worlds
from firedoor.errors import DeclarationError
from firedoor.evaluation.intervals import Estimate, IntervalPolicy
from firedoor.evaluation.metrics import Unknown
from firedoor.evaluation.report import Wanted, lacking, report
from firedoor.evaluation.rules import at_least, at_most, deterministic, latency_a_row_s
from firedoor.evaluation.slices import SliceReport
from firedoor.evaluation.verdict import Evidence, NoChampion

QUICK = IntervalPolicy(resamples=300)


def evidence(rows: int = 2_000) -> Evidence:
    labels, told = worlds.scored(rows, np.random.default_rng(5), parted=1.5)
    origin = pl.Series("origin", [("EWR", "JFK")[row % 2] for row in range(rows)])
    return Evidence(
        labels=labels, predictions=told, again=told, champion=1 - told,
        columns=pl.DataFrame({"origin": origin}),
    )  # fmt: skip


def test_figures_are_told_of_rules_and_besides_and_by_slice() -> None:
    wanted = Wanted(metrics=("brier",), slices=("origin",))
    found = report([at_least("roc_auc", 0.7)], evidence(), wanted, seed=1, policy=QUICK)
    assert found.verdict.word == "promote"
    assert list(found.metrics) == ["brier", "roc_auc"]
    assert found.metrics["roc_auc"] == found.verdict.findings[0].found
    assert set(found.slices) == {("origin", "brier"), ("origin", "roc_auc")}
    one = found.slices["origin", "brier"]
    assert isinstance(one, SliceReport)
    assert [part.rows for part in one.slices] == [1_000, 1_000]
    assert found.champion["roc_auc"] == pytest.approx(1 - _value(found.metrics["roc_auc"]))
    assert not isinstance(found.calibration, Unknown)


def _value(found: Estimate | Unknown) -> float:
    assert isinstance(found, Estimate)
    return found.value


def test_a_column_that_is_not_there_and_no_champion_are_no_figures() -> None:
    alone = replace(evidence(), champion=NoChampion(), columns=None)
    rules = [at_least("roc_auc", 0.7)]
    found = report(rules, alone, Wanted(slices=("origin",)), seed=1, policy=QUICK)
    assert found.champion == {}
    assert found.slices["origin", "roc_auc"] == Unknown("column 'origin' is not among the evidence")


def test_rules_that_would_pass_on_nothing_hold_where_rows_are_few_or_all_alike() -> None:
    rules = [at_most("log_loss", 0.9), deterministic(), latency_a_row_s(1.0)]
    good = replace(evidence(), row_s=[0.001] * 1_000)
    assert report(rules, good, Wanted(), seed=1, policy=QUICK).verdict.word == "promote"
    alike = replace(good, labels=[0.0] * 2_000)
    found = report(rules, alike, Wanted(), seed=1, policy=QUICK)
    assert found.verdict.word == "hold"
    assert "all 2,000 rows have the same label, 0" in found.verdict.why[0]
    few = report(rules, good, Wanted(rows_min=3_000), seed=1, policy=QUICK)
    assert few.verdict.why[0] == "there are 2,000 rows, and 3,000 are needed for a verdict"


def test_a_model_is_not_barred_for_good_on_too_few_rows() -> None:
    few = evidence(rows=60)
    found = report([at_least("roc_auc", 0.999)], few, Wanted(), seed=1, policy=QUICK)
    assert found.verdict.word == "hold"
    assert {one.outcome for one in found.verdict.findings} == {"hold"}


def test_rows_that_shrank_to_nothing_or_have_no_label_are_no_ground() -> None:
    assert lacking([], 100) == Unknown("there are no rows")
    missing = lacking([0.0, 1.0, float("nan")] * 100, 100)
    assert missing == Unknown("100 of 300 labels are missing or not finite")
    assert lacking([0.0, 1.0] * 50, 100) is None


def test_a_limit_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(DeclarationError, match="rows_min=5"):
        Wanted(rows_min=5)
