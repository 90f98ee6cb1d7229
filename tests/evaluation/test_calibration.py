"""A perfect model is seldom accused, one that is off is found, by as much as it is off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.worlds import Floats, scored
from firedoor.errors import DeclarationError
from firedoor.evaluation.calibration import Calibration, CalibrationPolicy, calibration
from firedoor.evaluation.metrics import Unknown

QUICK = CalibrationPolicy(simulations=400)


def known(labels: Floats, told: Floats, **options: Any) -> Calibration:
    found = calibration(labels, told, **{"seed": 1, "policy": QUICK, **options})
    assert isinstance(found, Calibration), found
    return found


@pytest.mark.parametrize("rows", [1_000, 6_500])
def test_a_perfect_model_is_accused_as_seldom_as_meant(rows: int) -> None:
    rng = np.random.default_rng(3)
    found = [known(*scored(rows, rng), seed=seed) for seed in range(150)]
    assert sum(one.chance < 0.05 for one in found) <= 0.05 * 150 + 3 * math.sqrt(0.05 * 0.95 * 150)
    squares = [one.rmsce.value**2 for one in found]
    assert sum(square == 0 for square in squares) >= 60, "about half are better than chance"
    assert math.sqrt(np.mean(squares)) < 0.7 / math.sqrt(rows)


@pytest.mark.parametrize("rate", [0.3, 0.03])
def test_an_error_is_found_and_its_interval_holds_it(rate: float) -> None:
    rng = np.random.default_rng(8)
    off = rate / 3  # every prediction is too high by so much
    missed, found = 0, 0
    for seed in range(150):
        labels, told = scored(6_500, rng, rate=rate, parted=0.5)
        one = known(labels, told + off, seed=seed)
        missed += not one.rmsce.low <= off <= one.rmsce.high
        found += one.chance < 0.05
    assert missed <= 16
    assert found >= 75


def test_errors_that_cancel_in_the_mean_are_found() -> None:
    labels, told = scored(20_000, np.random.default_rng(1), parted=2.0)
    bold = 1 / (1 + np.exp(-2 * np.log(told / (1 - told))))
    assert abs(bold.mean() - labels.mean()) < 0.03
    found = known(labels, bold)
    assert found.rmsce.low > 0.04
    assert 0 < found.chance < 0.01


def test_rows_of_one_day_are_late_together_and_no_accusation() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(60), 50)
    accused = {"rows": 0, "days": 0}
    for seed in range(100):
        late = np.repeat(rng.choice([0.1, 0.5], 60), 50)
        labels = (rng.random(3_000) < late).astype(float)
        told = 0.3 + 0.001 * rng.random(3_000)
        for what, clusters in (("rows", None), ("days", pl.Series(days))):
            accused[what] += known(labels, told, seed=seed, clusters=clusters).chance < 0.05
    assert accused["days"] <= 12
    assert accused["rows"] >= 30


def test_no_positive_row_among_a_thousand_is_what_one_in_a_thousand_looks_like() -> None:
    assert known(np.zeros(1_000), np.full(1_000, 0.001)).chance > 0.2
    assert known(np.zeros(1_000), np.full(1_000, 0.01)).chance < 0.01


def test_bins_that_happen_to_hold_no_positive_row_are_no_accusation() -> None:
    rng = np.random.default_rng(4)
    found = [known(*scored(1_000, rng, rate=0.01), seed=seed) for seed in range(100)]
    assert sum(one.chance < 0.05 for one in found) <= 10


def test_bins_are_of_equal_mass_and_hold_each_row_once() -> None:
    labels, told = scored(3_000, np.random.default_rng(1))
    bins = known(labels, told).bins
    assert [one.rows for one in bins] == [200] * 15
    assert [one.predicted for one in bins] == sorted(one.predicted for one in bins)
    assert sum(one.observed * one.rows for one in bins) == pytest.approx(labels.sum())


def test_rows_of_one_prediction_are_in_one_bin_whatever_their_order() -> None:
    rng = np.random.default_rng(1)
    labels, told = scored(2_000, rng)
    told = np.round(told, 1)
    order = rng.permutation(2_000)
    one, other = known(labels, told), known(labels[order], told[order])
    assert one.rmsce.value == pytest.approx(other.rmsce.value)
    assert len({one.predicted for one in one.bins}) == len(one.bins) <= 11
    assert len(known(labels, np.full(2_000, 0.3)).bins) == 1


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_model_that_is_certain_and_right_is_calibrated_and_one_that_is_wrong_is_not(
    value: float,
) -> None:
    told = np.full(1_000, value)
    right, wrong = known(told, told), known(1 - told, told)
    assert (right.rmsce.value, right.rmsce.high) == (0, 0)
    assert wrong.rmsce.value == 1.0


@pytest.mark.parametrize(
    ("rows", "clusters", "why"),
    [
        (999, None, "999 rows are fewer than 1,000"),
        (0, None, "there are no rows"),
        (1_000, pl.Series([1] * 1_000), "there are 1 clusters, and 20 are needed"),
        (1_000, pl.Series([1] * 10), "there are 1,000 rows and 10 clusters of rows"),
    ],
)
def test_too_little_says_why(rows: int, clusters: Any, why: str) -> None:
    labels, told = scored(rows, np.random.default_rng(1))
    assert calibration(labels, told, seed=1, clusters=clusters) == Unknown(why)


def test_scores_that_are_no_probabilities_are_not_judged() -> None:
    found = calibration([0, 1] * 500, [-1.0, 2.0] * 500, seed=1)
    assert found == Unknown("predictions from -1 to 2 are no probabilities")


@pytest.mark.parametrize(
    "wrong",
    [{"bins": 1}, {"rows_min": 10}, {"confidence": 2}, {"simulations": 3}, {"clusters_min": 0}],
)
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        CalibrationPolicy(**wrong)
