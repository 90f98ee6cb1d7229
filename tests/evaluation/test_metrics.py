"""Figures are scikit-learn's, ties and all; what cannot be computed says why."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.errors import DeclarationError
from firedoor.evaluation.metrics import Unknown, measure, metric


def peer(name: str, *arrays: Any, **more: Any) -> float:
    """Return scikit-learn's figure; it is imported here, where nobody else waits for it."""
    return float(getattr(importlib.import_module("sklearn.metrics"), name)(*arrays, **more))


BINARY: dict[str, Callable[[Any, Any], float]] = {
    "roc_auc": lambda y, p: peer("roc_auc_score", y, p),
    "average_precision": lambda y, p: peer("average_precision_score", y, p),
    "log_loss": lambda y, p: peer("log_loss", y, p, labels=[0, 1]),
    "brier": lambda y, p: peer("brier_score_loss", y, p),
    "accuracy@0.5": lambda y, p: peer("accuracy_score", y, p >= 0.5),
    "precision@0.3": lambda y, p: peer("precision_score", y, p >= 0.3, zero_division=math.nan),
    "recall@0.7": lambda y, p: peer("recall_score", y, p >= 0.7, zero_division=math.nan),
}
REGRESSION: dict[str, Callable[[Any, Any], float]] = {
    "mae": lambda y, p: peer("mean_absolute_error", y, p),
    "rmse": lambda y, p: peer("root_mean_squared_error", y, p),
    "r2": lambda y, p: peer("r2_score", y, p),
}
NAMES = [*BINARY, *REGRESSION]


@pytest.mark.parametrize("name", BINARY)
@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=60),
    steps=st.sampled_from([12.0, 1e4]),
)
def test_a_binary_figure_is_that_of_scikit_learn_with_ties(
    name: str, rows: list[tuple[bool, int]], steps: float
) -> None:
    labels = np.array([label for label, _ in rows], dtype=float)
    predictions = np.array([score for _, score in rows]) / steps
    ours = measure(name, labels, predictions)
    if isinstance(ours, Unknown):
        needs = {"roc_auc": (0, 1), "average_precision": (1,), "recall@0.7": (1,)}
        lacks = any(label not in labels for label in needs.get(name, ()))
        assert lacks or (name == "precision@0.3" and predictions.max() < 0.3)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one class, where that does no harm
        assert ours == pytest.approx(BINARY[name](labels, predictions), abs=1e-12)


@pytest.mark.parametrize("name", REGRESSION)
@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(st.integers(-1000, 1000), st.floats(-1e3, 1e3)), min_size=2, max_size=50
    ),
    shift=st.sampled_from([0.0, 1e5]),
)
def test_a_figure_of_numbers_is_that_of_scikit_learn(
    name: str, rows: list[tuple[int, float]], shift: float
) -> None:
    labels = np.array([label for label, _ in rows]) / 8 + shift
    predictions = np.array([value for _, value in rows]) + shift
    ours = measure(name, labels, predictions)
    if isinstance(ours, Unknown):
        assert name == "r2"
        assert np.ptp(labels) == 0
        return
    assert ours == pytest.approx(REGRESSION[name](labels, predictions), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_rows_that_are_there_several_times(name: str) -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 80).astype(float)
    predictions = rng.integers(0, 60, 80) / 60
    weights = rng.multinomial(80, [1 / 80] * 80, size=3).astype(float)
    figures = metric(name).prepare(labels, predictions)(weights)
    for figure, counts in zip(figures, weights.astype(int), strict=True):
        drawn = np.repeat(np.arange(80), counts)
        assert figure == pytest.approx(measure(name, labels[drawn], predictions[drawn]))


@pytest.mark.parametrize(
    ("name", "labels", "predictions", "why"),
    [
        ("roc_auc", [], [], "there are no rows"),
        ("roc_auc", [1, 1], [0.1, 0.2], "all rows have the same label"),
        ("average_precision", [0, 0], [0.1, 0.2], "no row has the label 1"),
        ("recall@0.5", [0, 0], [0.1, 0.9], "no row has the label 1"),
        ("precision@0.5", [0, 1], [0.1, 0.2], "no prediction is 0.5 or more"),
        ("log_loss", [0, 1], [0.1, math.nan], "1 of 2 predictions are missing or not finite"),
        ("mae", [0, 1], [0.1, math.inf], "1 of 2 predictions are missing or not finite"),
        ("mae", [None, 1], [0.1, 0.2], "1 of 2 labels are missing or not finite"),
        ("brier", [0, 1], [0.1, 1.2], "predictions from 0.1 to 1.2 are no probabilities"),
        ("brier", [0, 1], [-0.1, 0.2], "predictions from -0.1 to 0.2 are no probabilities"),
        ("roc_auc", [1, 2], [0.1, 0.2], "labels are not all 0 or 1"),
        ("r2", [0.1, 0.1, 0.1], [0.1, 0.2, 0.3], "all labels are the same"),
        ("r2", [1.0], [1.0], "all labels are the same"),
        ("rmse", [1e200, 0], [0, 0], "the figure is too large for a number"),
        ("mae", [1, 2, 3], [1, 2], "there are 3 labels and 2 predictions"),
        ("mae", ["a", "b"], [1, 2], "labels are not numbers"),
        ("mae", ["1", "2"], [1, 2], "labels are not numbers"),
        ("mae", ["1", None], [1, 2], "labels are not numbers"),
        ("mae", pl.Series([date(2013, 1, 1)]), [1], "labels are not numbers"),
        ("mae", [1, [2]], [1, 2], "labels are not numbers"),
        ("mae", [{}, 2], [1, 2], "labels are not numbers"),
        ("mae", [[1], [2]], [1, 2], "labels have 2 dimensions and not one"),
    ],
)
def test_what_cannot_be_computed_says_why(
    name: str, labels: Any, predictions: Any, why: str
) -> None:
    assert measure(name, labels, predictions) == Unknown(why)


@pytest.mark.parametrize("name", BINARY)
def test_a_series_is_as_good_as_an_array_and_a_null_in_it_is_missing(name: str) -> None:
    labels, predictions = pl.Series([False, True, True]), pl.Series([0.2, 0.9, 0.4])
    assert measure(name, labels, predictions) == measure(name, [0, 1, 1], [0.2, 0.9, 0.4])
    missing = measure(name, labels, pl.Series([0.2, None, 0.4]))
    assert missing == Unknown("1 of 3 predictions are missing or not finite")
    assert not missing


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("auc", "write 'roc_auc'"),
        ("logloss", "write 'log_loss'"),
        ("precision", "write 'precision@0.5'"),
        ("zzz", "choose one of roc_auc"),
        ("recall@x", "'recall@0.5'"),
        ("recall@nan", "'recall@0.5'"),
        ("roc_auc@0.5", "write 'roc_auc'"),
        (7, "choose one of roc_auc"),
    ],
)
def test_an_unknown_metric_is_refused_with_the_one_that_was_meant(name: Any, remedy: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        metric(name)
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("name", NAMES)
def test_each_metric_says_what_is_better(name: str) -> None:
    good = measure(name, [0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8])
    bad = measure(name, [0, 1, 0, 1], [0.9, 0.4, 0.8, 0.7])
    assert not isinstance(good, Unknown)
    assert not isinstance(bad, Unknown)
    assert (good > bad) == metric(name).higher_is_better
    assert min(metric(name).worst, metric(name).best) <= good
