"""Scores flights by the model that is live: September to December, which no training has seen.

    firedoor run examples/flights/scoring.py

A flight is scored by what is known before it leaves, also one that never did. After `firedoor
models rollback delays` the batches that follow are scored by the version before, and each row says
which one it was.
"""

import os
from datetime import date

import polars as pl

import delays
import firedoor as fd
from pipeline import STORE
from steps import KEY
from year import BATCH_ROWS

RATE = float(os.environ.get("FLIGHTS_RATE", "0")) or None
"""Rows a second, so that it can be watched; 0 is as fast as it goes."""

SCORED = STORE.with_name("scored")
FIRST_DAY = date(2013, 9, 1)

pipeline = fd.Pipeline("scoring", owner="flight-ops@example.com")

stored = pipeline.source(
    "stored", fd.parquet(STORE / "*.parquet"), batch_rows=BATCH_ROWS, rate=RATE
)


@pipeline.transform(reads=stored, memory="512MiB", timeout_s=10)
def later(flights: pl.DataFrame) -> pl.DataFrame:
    """Leave out the months by which the model was made and judged."""
    return fd.drop(flights, pl.col("day") < FIRST_DAY, because="before September")


@pipeline.transform(
    reads=later,
    models={"model": fd.model("delays", column="model")},
    memory="1GiB",
    timeout_s=30,
)
def score(flights: pl.DataFrame, model: delays.Delays) -> pl.DataFrame:
    """Add the probability that a flight arrives late."""
    return flights.select(*KEY, "day", chance=model.chance(flights))


pipeline.sink("scored", fd.parquet(SCORED), reads=score)
