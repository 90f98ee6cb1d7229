"""The zones of ``examples/flights/pipeline.py`` on flights without faults, as long as one likes.

Run by ``benchmarks.pipeline``; ``BENCH_FOLDER`` has the files in ``in/`` and gets the rows in
``out/``, ``BENCH_RATE`` is rows a second, 0 as fast as it goes.
"""

import os
import sys
from pathlib import Path

import firedoor as fd

EXAMPLE = Path(__file__).parents[1] / "examples" / "flights"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))

import pipeline as example  # noqa: E402 - the example is a folder of scripts, found above
from year import BATCH_ROWS  # noqa: E402 - the same

FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
RATE = float(os.environ.get("BENCH_RATE", "0")) or None

bench = fd.Pipeline("bench", owner="bench@example.com")

flights = bench.source(
    "flights",
    fd.jsonl(FOLDER / "in" / "*.jsonl"),
    schema=example.AsRead,
    batch_rows=BATCH_ROWS,
    rate=RATE,
)
weather_by_hour = fd.lookup("weather_by_hour", example.observations, key=example.HOUR)
clean = bench.transform(name="clean", reads=flights, schema=example.Scheduled, extra="drop")(
    example.clean
)
weather = bench.transform(name="weather", reads=clean, lookups={"observations": weather_by_hour})(
    example.weather
)
features = bench.transform(name="features", reads=weather)(example.features)
bench.sink("store", fd.parquet(FOLDER / "out"), reads=features)
