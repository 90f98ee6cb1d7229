"""What a model returns is taken as predictions, or refused with whose fault it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from firedoor.evaluation.predicted import Unfit, taken


class Odd:
    def __array__(self) -> None:
        message = "no array today"
        raise RuntimeError(message)

    def __len__(self) -> int:
        return 2

    def __getitem__(self, at: int) -> float:
        message = "no item today"
        raise RuntimeError(message)


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        (None, "shape", "a NoneType of 0 dimensions was returned"),
        (0.5, "shape", "a float of 0 dimensions was returned"),
        (np.zeros((2, 2)), "shape", "a ndarray of 2 dimensions was returned"),
        (pl.DataFrame({"p": [0.1, 0.2]}), "shape", "a DataFrame of 2 dimensions was returned"),
        ([0.1, 0.2, 0.3], "shape", "3 predictions were returned for 2 rows"),
        ([], "shape", "0 predictions were returned for 2 rows"),
        (["late", "on time"], "shape", "predictions are not numbers"),
        ([[0.1], [0.2, 0.3]], "shape", "predictions cannot be read: ValueError"),
        (Odd(), "shape", "predictions cannot be read: RuntimeError"),
        ([0.1, float("nan")], "values", "1 of 2 predictions are missing or not finite"),
        (pl.Series([None, 0.2]), "values", "1 of 2 predictions are missing or not finite"),
        ([0.1, float("-inf")], "values", "1 of 2 predictions are missing or not finite"),
        ([0.3, 0.3], "values", "all 2 rows were given the same prediction, 0.3"),
    ],
)
def test_what_is_no_predictions_is_refused(values: Any, kind: str, says: str) -> None:
    found = taken(values, 2)
    assert isinstance(found, Unfit)
    assert found.kind == kind
    assert says in found.why


@pytest.mark.parametrize(
    "values", [[0, 1], np.array([0, 1]), pl.Series([0, 1]), pl.Series([False, True]), (0.0, 1.0)]
)
def test_numbers_of_any_kind_are_floats(values: Any) -> None:
    found = taken(values, 2)
    assert isinstance(found, pl.Series)
    assert found.dtype == pl.Float64
    assert found.to_list() == [0.0, 1.0]


def test_one_number_for_all_rows_is_good_where_that_is_said_and_for_one_row() -> None:
    assert isinstance(taken([0.3, 0.3], 2, varied=False), pl.Series)
    assert isinstance(taken([0.3], 1), pl.Series)
