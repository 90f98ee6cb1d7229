"""A library that aborts in any process but the one that imported it, as some native ones do."""

from __future__ import annotations

import os

import polars as pl

_HOME = os.getpid()


def double(frame: pl.DataFrame) -> pl.DataFrame:
    """Add a column, unless this is a forked copy."""
    if os.getpid() != _HOME:
        os.abort()
    return frame.with_columns(doubled=pl.col("number") * 2)
