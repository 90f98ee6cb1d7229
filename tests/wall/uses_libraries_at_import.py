"""A step's module that works with a library while it is imported."""

from __future__ import annotations

import os

import polars as pl

if os.environ.get("USED_AT_IMPORT") == "hangs":
    from wall.hangs_when_forked import double as library
elif os.environ.get("USED_AT_IMPORT") == "dies":
    from wall.dies_when_forked import double as library
else:

    def library(frame: pl.DataFrame) -> pl.DataFrame:
        """Group and join in parallel, which starts the thread pool of polars."""
        sums = frame.lazy().group_by(pl.col("number") % 7).agg(pl.col("number").sum().alias("sum"))
        return (
            frame.join(sums.collect(), on="number", how="left")
            .drop("sum")
            .with_columns(doubled=pl.col("number") * 2)
        )


TABLE = library(pl.DataFrame({"number": range(100_000)}))


def double(frame: pl.DataFrame) -> pl.DataFrame:
    """Add a column, with the library again."""
    assert TABLE["doubled"][-1] == 199_998
    return library(frame)
