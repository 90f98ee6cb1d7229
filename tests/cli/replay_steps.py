"""A step as it is after a repair that missed one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def clean(flights: pl.DataFrame) -> pl.DataFrame:
    """Raise on one flight still."""
    if 103 in flights["id"]:
        message = "103"
        raise KeyError(message)
    return flights
