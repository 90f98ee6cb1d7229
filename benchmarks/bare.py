"""A step whose module has nothing to load: what is left is what a worker costs by itself."""

import ctypes

import polars as pl


def segfault_on_poison(flights: pl.DataFrame) -> pl.DataFrame:
    """Give the flights back, or die of the row that is to be died of."""
    if (flights["tailnum"] == "@null").any():
        ctypes.CDLL(None).strlen(None)
    return flights
