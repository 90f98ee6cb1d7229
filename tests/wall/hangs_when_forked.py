"""A library that starts a pool of threads when it is imported, as many do.

A copy made by fork has the pool and none of its threads: whoever waits for them waits for ever.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl

_pool = ThreadPoolExecutor(1)
_pool.submit(int).result()  # now its thread runs, and is idle


def double(frame: pl.DataFrame) -> pl.DataFrame:
    """Add a column, in the pool's thread."""
    return _pool.submit(_double, frame).result()


def _double(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(doubled=pl.col("number") * 2)
