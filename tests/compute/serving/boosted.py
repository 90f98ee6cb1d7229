"""A function around a booster, as users write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lightgbm
    import polars as pl


def predict(model: lightgbm.Booster, rows: pl.DataFrame) -> object:
    """Return the chance of each row."""
    return model.predict(rows.to_numpy())
