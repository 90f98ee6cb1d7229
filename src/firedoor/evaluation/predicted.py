"""What a model returned, taken as predictions: one finite number a row.

A wrong *shape* (a frame, text, too few rows) is a fault of the function around the model, and says
nothing about the model. Wrong *values* are the model's: it has no number for a row, or the same
one for all, whatever is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from firedoor.evaluation.metrics import Unknown, numbers

if TYPE_CHECKING:
    from firedoor.evaluation.metrics import Values


@dataclass(frozen=True, slots=True)
class Unfit:
    """What was returned is no predictions."""

    kind: Literal["shape", "values"]
    why: str


def taken(values: Values, rows: int, *, varied: bool = True) -> pl.Series | Unfit:
    """Return what a model returned for so many rows as a series of floats, or why it is none.

    Args:
        values: what was returned.
        rows: how many it was given.
        varied: whether one number for all rows is refused.

    >>> taken([0.1, float("nan")], 2)
    Unfit(kind='values', why='1 of 2 predictions are missing or not finite')
    >>> taken([0.3, 0.3], 2)
    Unfit(kind='values', why='all 2 rows were given the same prediction, 0.3')
    """
    try:
        shape = np.shape(values)
    except Exception as error:  # noqa: BLE001 - its conversion may be user code
        return Unfit("shape", f"predictions cannot be read: {type(error).__name__}: {error}")
    if len(shape) != 1:
        what = f"a {type(values).__name__} of {len(shape)} dimensions"
        return Unfit("shape", f"{what} was returned, and not one number a row")
    if shape[0] != rows:
        return Unfit("shape", f"{shape[0]:,} predictions were returned for {rows:,} rows")
    found = numbers("predictions", values)
    if isinstance(found, Unknown):  # of one dimension, so no numbers at all, or some are missing
        return Unfit("values" if found.why.endswith("not finite") else "shape", found.why)
    if varied and rows > 1 and np.ptp(found) == 0:
        same = f"all {rows:,} rows were given the same prediction, {found[0]:g}"
        return Unfit("values", same)
    return pl.Series("prediction", found)
