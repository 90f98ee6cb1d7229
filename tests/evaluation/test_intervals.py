"""Intervals hold the truth as often as they say, from a seed, and are honest about little."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.worlds import scored
from firedoor.errors import DeclarationError
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate, widened
from firedoor.evaluation.metrics import Unknown, measure, metric

QUICK = IntervalPolicy(resamples=300)


def known(*arguments: Any, **options: Any) -> Estimate:
    found = estimate(*arguments, **options)
    assert isinstance(found, Estimate), found
    return found


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "recall@0.3"])
def test_an_interval_holds_the_truth_as_often_as_it_says(name: str) -> None:
    rng = np.random.default_rng(7)
    truth = measure(name, *scored(400_000, rng, rate=0.3, parted=2.0))
    assert isinstance(truth, float)
    low = high = 0
    for seed in range(200):
        found = known(name, *scored(200, rng, rate=0.3, parted=2.0), seed=seed, policy=QUICK)
        low += truth < found.low
        high += truth > found.high
    assert low + high <= 23, "0.95 was meant, and less than 0.885 is not chance"
    assert max(low, high) <= 16, "it misses on one side"


def test_rows_that_belong_together_are_drawn_together() -> None:
    rng = np.random.default_rng(3)
    missed = {"rows": 0, "days": 0}
    for seed in range(120):
        days = np.repeat(np.arange(40), 20)
        late = np.repeat(rng.normal(size=40), 20)
        errors = late + rng.normal(size=800) * 0.5
        labels, clusters = pl.Series(errors), pl.Series(days)
        for what, drawn in (("rows", None), ("days", clusters)):
            found = known("mae", labels, np.zeros(800), seed=seed, policy=QUICK, clusters=drawn)
            truth = np.sqrt(1.25) * np.sqrt(2 / np.pi)
            missed[what] += not found.low <= truth <= found.high
    assert missed["days"] <= 16
    assert missed["rows"] >= 50


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    rows = scored(300, np.random.default_rng(0))
    one, again, other = (known("brier", *rows, seed=seed) for seed in (4, 4, 5))
    assert one == again
    assert one.low != other.low
    assert one.value == other.value == measure("brier", *rows)


def test_a_large_sample_is_drawn_a_few_resamples_at_a_time(monkeypatch: Any) -> None:
    rows = scored(2_000, np.random.default_rng(0))
    whole = known("roc_auc", *rows, seed=4, policy=QUICK)
    monkeypatch.setattr("firedoor.evaluation.intervals._AT_ONCE", 7_000)
    assert known("roc_auc", *rows, seed=4, policy=QUICK) == whole


def test_more_rows_make_a_narrower_interval() -> None:
    rng = np.random.default_rng(0)
    few, many = (known("roc_auc", *scored(n, rng), seed=1, policy=QUICK) for n in (200, 20_000))
    assert 5 < (few.high - few.low) / (many.high - many.low) < 20


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("roc_auc", 0.883, 1.0),  # 30 positive rows
        ("accuracy@0.5", 0.964, 1.0),  # 100 rows
        ("recall@0.95", 0.0, 0.117),
        ("precision@0.05", 0.215, 0.4),
    ],
)
def test_a_figure_that_no_resample_changes_is_not_certain(
    name: str, low: float, high: float
) -> None:
    labels, predictions = [1] * 30 + [0] * 70, [0.9] * 30 + [0.1] * 70
    found = known(name, labels, predictions, seed=1, policy=QUICK)
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


@pytest.mark.parametrize(
    ("rows", "clusters", "why"),
    [
        (([0] * 95 + [1] * 5, [0.5] * 100), None, "roc_auc hangs on 5 of 100 rows"),
        (([0] * 100, [0.5] * 100), None, "all rows have the same label"),
        (([], []), None, "there are no rows"),
        (([0, 1] * 50, [0.5] * 100), pl.Series([1, 2] * 50), "there are 2 clusters, and 20"),
        (([0, 1] * 50, [0.5] * 100), pl.Series([None] * 100), "100 of 100 rows belong to no"),
        (([0, 1] * 50, [0.5] * 100), pl.Series(["a"]), "there are 100 rows and 1 clusters"),
    ],
)
def test_too_little_has_no_interval_and_says_why(rows: Any, clusters: Any, why: str) -> None:
    found = estimate("roc_auc", *rows, seed=1, clusters=clusters)
    assert isinstance(found, Unknown)
    assert found.why.startswith(why)


def test_just_enough_is_enough() -> None:
    rows = ([0] * 90 + [1] * 10, [0.1, 0.2] * 50)
    days = pl.Series([row % 20 for row in range(100)])
    assert known("roc_auc", *rows, seed=1, clusters=days).rows == 100


def test_a_class_that_only_a_few_clusters_have_makes_no_interval() -> None:
    labels = [1] * 10 + [0] * 290
    days = pl.Series([row // 10 for row in range(300)])
    found = estimate("roc_auc", labels, [0.5] * 300, seed=1, clusters=days)
    why = "roc_auc has no value in many resamples: all rows have the same label"
    assert found == Unknown(why)


def test_text_names_clusters_as_numbers_do() -> None:
    rows = scored(300, np.random.default_rng(0))
    numbers = pl.Series([row % 30 for row in range(300)])
    texts = numbers.cast(pl.String).str.zfill(3)
    by_number = known("brier", *rows, seed=1, clusters=numbers)
    assert known("brier", *rows, seed=1, clusters=texts) == by_number


def test_an_interval_that_is_one_of_many_is_wider_and_stays_in_the_range_of_its_metric() -> None:
    one = Estimate(value=0.7, low=0.6, high=0.78, rows=500, confidence=0.95)
    ten = widened(one, metric("roc_auc"), 10)
    assert ten.low == pytest.approx(0.557, abs=1e-3)
    assert ten.high == pytest.approx(0.815, abs=1e-3)
    assert widened(one, metric("roc_auc"), 1) == one
    most = widened(
        Estimate(value=0.9, low=0.5, high=0.99, rows=9, confidence=0.95), metric("roc_auc"), 100
    )
    assert most.high == 1.0


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"confidence": 95}, "less than 0.999"),
        ({"confidence": True}, "less than 0.999"),
        ({"resamples": 10}, "100 to 100,000"),
        ({"resamples": 1_000, "confidence": 0.998}, "give 5,000 or more"),
        ({"counted_min": 0}, "2 to 1,000,000"),
        ({"clusters_min": 1}, "2 to 1,000,000"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any], remedy: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        IntervalPolicy(**wrong)
    assert remedy in refused.value.remedy
