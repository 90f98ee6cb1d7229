"""A part for which the model is useless is found; one that looks bad by chance is not blamed."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from evaluation.worlds import Floats, scored
from firedoor.errors import DeclarationError
from firedoor.evaluation.intervals import Estimate, IntervalPolicy, estimate
from firedoor.evaluation.metrics import Unknown, measure
from firedoor.evaluation.slices import SlicePolicy, SliceReport, slices

QUICK = IntervalPolicy(resamples=200)
SMALL = SlicePolicy(rows_min=100)


def report(name: str, rows: tuple[Floats, Floats], by: pl.Series, **options: Any) -> SliceReport:
    found = slices(name, *rows, by, seed=1, interval=QUICK, **{"policy": SMALL, **options})
    assert isinstance(found, SliceReport), found
    return found


def test_each_part_has_its_own_figure_and_small_ones_are_counted() -> None:
    rows = scored(700, np.random.default_rng(0))
    by = pl.Series("carrier", ["AA"] * 300 + ["B6"] * 250 + [None] * 110 + ["HA"] * 40)
    found = report("roc_auc", rows, by)
    assert {part.value: part.rows for part in found.slices} == {"AA": 300, "B6": 250, "(none)": 110}
    assert (found.small, found.small_rows, found.rows) == (1, 40, 700)
    for part in found.slices:
        at = (by.fill_null("(none)") == part.value).to_numpy()
        assert isinstance(part.found, Estimate)
        assert part.found.value == measure("roc_auc", rows[0][at], rows[1][at])


@pytest.mark.parametrize("name", ["roc_auc", "log_loss"])
def test_the_part_for_which_the_model_is_useless_is_the_worst(name: str) -> None:
    rng = np.random.default_rng(2)
    labels, told = scored(4_000, rng, parted=2.0)
    by = pl.Series("carrier", np.repeat(np.arange(8), 500))
    told[by == 5] = rng.permutation(told[by == 5])
    found = report(name, (labels, told), by)
    assert found.worst is not None
    assert found.worst.name == "carrier=5"
    values = [part.found.value for part in found.slices if isinstance(part.found, Estimate)]
    assert values == sorted(values, reverse=name == "log_loss")


def test_the_worst_of_many_equal_parts_is_seldom_shown_to_be_worse() -> None:
    rng = np.random.default_rng(5)
    truth = measure("brier", *scored(400_000, rng))
    assert isinstance(truth, float)
    alone = shown = 0
    for _ in range(40):
        rows = scored(2_000, rng)
        found = report("brier", rows, pl.Series("k", np.arange(2_000) % 20))
        worst = found.worst
        assert worst is not None
        assert isinstance(worst.found, Estimate)
        picked = found.shown(worst)
        assert isinstance(picked, Estimate)
        assert picked.looked_at == 20
        alone += truth < worst.found.low
        shown += truth < picked.low
    assert alone >= 8, "picking the worst of 20 hardly ever misleads?"
    assert shown <= 4


def test_a_part_without_a_figure_comes_first_and_is_no_worst() -> None:
    labels, told = scored(600, np.random.default_rng(0))
    by = pl.Series("k", ["a"] * 200 + ["b"] * 400)
    labels[:200] = 0.0
    found = report("roc_auc", (labels, told), by)
    assert found.slices[0].found == Unknown("all rows have the same label")
    assert found.shown(found.slices[0]) == found.slices[0].found
    assert found.worst is not None
    assert found.worst.value == "b"
    nothing = report("roc_auc", (labels, told), by, policy=SlicePolicy(rows_min=500))
    assert (nothing.worst, nothing.small) == (None, 2)


def test_clusters_are_those_of_the_part() -> None:
    rows = scored(600, np.random.default_rng(0))
    by = pl.Series("k", ["a"] * 200 + ["b"] * 400)
    few = pl.Series(np.concatenate([np.zeros(200), np.arange(400) % 50]).astype(int))
    found = {part.value: part.found for part in report("brier", rows, by, clusters=few).slices}
    assert found["a"] == Unknown("there are 1 clusters, and 20 are needed")
    at = np.arange(200, 600)
    alone = estimate(
        "brier", rows[0][at], rows[1][at], seed=1, policy=QUICK, clusters=few.gather(at)
    )
    assert found["b"] == alone


def test_a_column_that_names_rows_is_not_looked_at() -> None:
    rows = scored(3_000, np.random.default_rng(0))
    by = pl.Series("tailnum", np.arange(3_000) % 200)
    found = slices("brier", *rows, by, seed=1, policy=SlicePolicy(rows_min=10))
    assert isinstance(found, Unknown)
    assert "tailnum has 200 values of 10 rows or more" in found.why


def test_rows_and_values_that_do_not_fit_say_so() -> None:
    by = pl.Series("k", ["a", "b"])
    found = slices("brier", [0, 1, 1], [0.1, 0.2, 0.3], by, seed=1)
    assert found == Unknown("there are 3 rows and 2 values of k")
    assert slices("brier", [], [], pl.Series("k", []), seed=1) == Unknown("there are no rows")
    lost = slices("brier", [0, 1], [0.1, 0.2], by, seed=1, clusters=pl.Series([1]))
    assert lost == Unknown("there are 2 rows and 1 clusters of rows")
    bad = slices("brier", [0, 1], [0.1, 2.0], by, seed=1)
    assert bad == Unknown("predictions from 0.1 to 2 are no probabilities")


def test_fractions_make_no_parts_and_the_reason_says_what_to_do() -> None:
    found = slices("brier", [0, 1], [0.1, 0.2], pl.Series("wind", [0.1, 0.2]), seed=1)
    assert found == Unknown("wind is Float64: cut it into a few named bins (Series.cut)")


@pytest.mark.parametrize("wrong", [{"rows_min": 1}, {"slices_max": 0}, {"rows_min": 50.5}])
def test_a_policy_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        SlicePolicy(**wrong)
