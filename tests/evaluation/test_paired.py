"""A worse challenger is shown to be worse, an equal one seldom better or worse."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.worlds import Floats, scored
from firedoor.errors import DeclarationError
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate
from firedoor.evaluation.metrics import Unknown, measure
from firedoor.evaluation.paired import Comparison, PairPolicy, compare, word

QUICK = IntervalPolicy(resamples=300)
SEEDS = 150


def noisy(told: Floats, rng: np.random.Generator, much: float) -> Floats:
    """Return predictions as another model of the same quality, or of less, would make them."""
    logit = np.log(told / (1 - told)) + much * rng.normal(size=told.size)
    return np.asarray(1 / (1 + np.exp(-logit)))


def verdicts(
    name: str,
    rows: int,
    champion: float,
    challenger: float,
    *,
    margin: float = 0.0,
    seeds: int = SEEDS,
) -> Counter[str]:
    rng = np.random.default_rng(11)
    policy = PairPolicy(margin=margin, interval=QUICK)
    said: Counter[str] = Counter()
    for seed in range(seeds):
        labels, told = scored(rows, rng)
        old, new = noisy(told, rng, champion), noisy(told, rng, challenger)
        said[compare(name, labels, old, new, seed=seed, policy=policy).verdict] += 1
    return said


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "accuracy@0.3"])
def test_an_equal_challenger_is_seldom_called_better_or_worse(name: str) -> None:
    said = verdicts(name, 300, 0.5, 0.5)
    for wrong in ("better", "worse"):
        assert said[wrong] / SEEDS <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / SEEDS)


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_a_worse_challenger_is_found_and_so_is_a_better_one(name: str) -> None:
    assert verdicts(name, 1_000, 0.1, 1.2, seeds=40)["worse"] >= 36
    assert verdicts(name, 1_000, 1.2, 0.1, seeds=40)["better"] >= 36


def test_who_loses_just_the_margin_is_seldom_called_no_worse() -> None:
    rng = np.random.default_rng(1)
    labels, told = scored(400_000, rng)
    old, new = noisy(told, rng, 0.1), noisy(told, rng, 0.8)
    values = measure("log_loss", labels, old), measure("log_loss", labels, new)
    assert isinstance(values[0], float)
    assert isinstance(values[1], float)
    margin = values[1] - values[0]
    assert 0.01 < margin < 0.2
    said = verdicts("log_loss", 500, 0.1, 0.8, margin=margin)
    assert (said["no worse"] + said["better"]) / SEEDS <= 0.07
    assert said["worse"] / SEEDS <= 0.07
    assert verdicts("log_loss", 500, 0.1, 0.8, margin=3 * margin)["no worse"] / SEEDS >= 0.9


def test_a_pair_knows_more_than_two_intervals() -> None:
    rng = np.random.default_rng(4)
    labels, told = scored(1_000, rng)
    other = noisy(told, rng, 0.2)
    gain = compare("log_loss", labels, told, other, seed=1).gain
    alone = estimate("log_loss", labels, told, seed=1)
    assert isinstance(gain, Estimate)
    assert isinstance(alone, Estimate)
    assert gain.high - gain.low < (alone.high - alone.low) / 3


def test_the_direction_of_each_metric_is_known() -> None:
    labels, told = scored(400, np.random.default_rng(4), parted=2.0)
    for name in ("roc_auc", "average_precision", "log_loss", "brier", "mae", "r2"):
        assert compare(name, labels, 1 - told, told, seed=1).verdict == "better"
        assert compare(name, labels, told, 1 - told, seed=1).verdict == "worse"


def test_the_same_predictions_are_no_worse() -> None:
    labels, told = scored(400, np.random.default_rng(4))
    found = compare("roc_auc", labels, told, told, seed=1)
    assert found.verdict == "no worse"
    assert found.champion == found.challenger == measure("roc_auc", labels, told)
    assert isinstance(found.gain, Estimate)
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("low", "high", "margin", "verdict"),
    [
        (0.01, 0.02, 0.0, "better"),
        (0.01, 0.02, 0.5, "better"),
        (0.0, 0.02, 0.0, "no worse"),
        (-0.1, 0.1, 0.1, "no worse"),
        (-0.05, -0.01, 0.1, "no worse"),
        (-0.2, -0.11, 0.1, "worse"),
        (-0.2, -0.1, 0.1, "not known"),
        (-0.2, 0.1, 0.1, "not known"),
        (-0.2, -0.1, 0.0, "worse"),
    ],
)
def test_the_table_of_verdicts_is_followed(
    low: float, high: float, margin: float, verdict: str
) -> None:
    gain = Estimate(value=(low + high) / 2, low=low, high=high, rows=9, confidence=0.95)
    assert word(gain, margin) == verdict


@pytest.mark.parametrize(
    ("champion", "challenger", "clusters", "why"),
    [
        ([0.5] * 99, [0.5] * 100, None, "of the champion: there are 100 labels and 99"),
        ([0.5] * 100, [math.nan] * 100, None, "of the challenger: 100 of 100 predictions"),
        ([0.5] * 100, [0.5] * 100, pl.Series([1] * 100), "there are 1 clusters"),
    ],
)
def test_what_cannot_be_compared_is_not_known_and_says_why(
    champion: Any, challenger: Any, clusters: Any, why: str
) -> None:
    found = compare("brier", [0, 1] * 50, champion, challenger, seed=1, clusters=clusters)
    assert found.verdict == "not known"
    assert isinstance(found.gain, Unknown)
    assert found.gain.why.startswith(why)


def test_few_rows_show_nothing() -> None:
    found = compare("roc_auc", [0, 1] * 9, [0.9, 0.1] * 9, [0.1, 0.9] * 9, seed=1)
    why = "roc_auc hangs on 9 of 18 rows, and 10 are needed for an interval"
    nothing = Unknown(why)
    assert found == Comparison(
        verdict="not known", gain=nothing, champion=nothing, challenger=nothing
    )


@pytest.mark.parametrize("margin", [-0.1, math.nan, math.inf, True, "1"])
def test_a_margin_that_is_none_is_refused(margin: Any) -> None:
    with pytest.raises(DeclarationError):
        PairPolicy(margin=margin)
