"""The floors of part E: the example's steps in one loop, without and with the codec at each hop.

    python -m benchmarks.loops FOLDER [--codec]

Does what the zones do, from the lines to the Parquet files, in one process and without any
protection; prints what it measured as JSON. ``FOLDER`` has the files in ``in/``.
"""

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from benchmarks.year_pipeline import joined, observations  # finds the example's modules

import pipeline as example  # isort: skip
from year import BATCH_ROWS  # isort: skip

Hop = Callable[[pl.DataFrame], pl.DataFrame]


def stay(frame: pl.DataFrame) -> pl.DataFrame:
    """Hand a frame on as it is."""
    return frame


def through_codec(frame: pl.DataFrame) -> pl.DataFrame:
    """Write and read a frame as a hop has to: an Arrow IPC stream, lz4."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression="lz4")
    return pl.read_ipc_stream(buffer.getvalue())


def batches(folder: Path) -> Iterator[pl.DataFrame]:
    """Read the files and cut them into batches, none of which holds lines of two files."""
    schema = dict.fromkeys(example.AsRead.column_names(), pl.String)
    for file in sorted((folder / "in").glob("*.jsonl")):
        yield from pl.read_ndjson(file, schema=schema).iter_slices(BATCH_ROWS)


def run(folder: Path, hop: Hop) -> Iterator[int]:
    """Take every batch through the steps, store it, and yield its rows."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    known = observations()
    for number, batch in enumerate(batches(folder)):
        read = hop(example.AsRead.validate(batch))
        clean = hop(example.clean(example.Scheduled.validate(read, cast=True)))
        weather = hop(joined(clean, known))
        features = hop(example.features(weather))
        unfinished = out / f"{number:06d}.part"
        features.write_parquet(unfinished)
        unfinished.rename(unfinished.with_suffix(".parquet"))
        yield features.height


def main(folder: Path, *, codec: bool) -> None:
    """Measure from the first batch to the last, as the zones are measured."""
    rows, count, began, cpu = 0, 0, 0.0, 0.0
    for height in run(folder, through_codec if codec else stay):
        if count == 0:
            began, cpu = time.perf_counter(), time.process_time()
        else:
            rows += height
        count += 1
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"rows": rows, "batches": count - 1, "seconds": seconds, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), codec="--codec" in sys.argv)
