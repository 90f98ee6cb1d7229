"""The zones of ``examples/flights/pipeline.py`` on flights without faults, as long as one likes.

Run by ``benchmarks.pipeline``; ``BENCH_FOLDER`` has the files in ``in/`` and gets the rows in
``out/``, ``BENCH_RATE`` is rows a second, 0 as fast as it goes. The weather is a lookup here: what
is measured are zones, not a service.
"""

import os
import sys
from pathlib import Path

import polars as pl

import firedoor as fd

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))

import pipeline as example  # noqa: E402 - the example is a folder of scripts, found above
from weather_service import read_observations  # noqa: E402 - the same
from year import BATCH_ROWS, YEAR  # noqa: E402 - the same

FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
RATE = float(os.environ.get("BENCH_RATE", "0")) or None


def observations() -> pl.DataFrame:
    """Return all that the weather service knows."""
    return read_observations(YEAR / "weather.parquet").cast(example.OBSERVATION)


def joined(flights: pl.DataFrame, observations: pl.DataFrame) -> pl.DataFrame:
    """Add the weather out of a table of it."""
    return example.with_weather(flights, lambda *_: observations)


bench = fd.Pipeline("bench", owner="bench@example.com")

flights = bench.source(
    "flights",
    fd.jsonl(FOLDER / "in" / "*.jsonl"),
    schema=example.AsRead,
    batch_rows=BATCH_ROWS,
    rate=RATE,
)
weather_by_hour = fd.lookup("weather_by_hour", observations, key=example.HOUR)
clean = bench.transform(name="clean", reads=flights, schema=example.Scheduled, extra="drop")(
    example.clean
)
weather = bench.transform(name="weather", reads=clean, lookups={"observations": weather_by_hour})(
    joined
)
features = bench.transform(name="features", reads=weather)(example.features)
bench.sink("store", fd.parquet(FOLDER / "out"), reads=features)
