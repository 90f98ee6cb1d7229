"""Works with a frame when it is imported, so that polars' threads run before the first batch."""

import polars as pl

from wall import steps

LOOKUP = pl.DataFrame({"kind": range(10_000)}).group_by("kind").len().sort("kind")


def step(frame: pl.DataFrame) -> pl.DataFrame:
    """Double, with the lookup joined."""
    return steps.double(frame).join(LOOKUP, on="kind", how="left", maintain_order="left")
