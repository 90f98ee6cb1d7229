"""Example rows of a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from firedoor.errors import ModelUnloadable, shorten

_READS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": lambda path: pl.read_csv(path, infer_schema_length=None),
    ".json": pl.read_json,
    ".jsonl": pl.read_ndjson,
    ".ndjson": pl.read_ndjson,
}


def read_examples(path: Path) -> pl.DataFrame:
    """Return the example rows in a file.

    Raises:
        ModelUnloadable: if it is none that is known, or cannot be read.
    """
    read = _READS.get(path.suffix)
    if read is None:
        known = ", ".join(_READS)
        message = f"example rows in {path.name} cannot be read: store them as one of {known}"
        raise ModelUnloadable(message)
    try:
        return read(path)
    except Exception as error:  # polars, on a file that anybody may have made
        message = f"example rows in {path.name} cannot be read: {shorten(str(error), 300)}"
        raise ModelUnloadable(message) from error
