"""The loop that people write: check a batch, run the step, and go on if the batch fails.

Run by `run.py` in a process of its own, because it does not survive:

    python plain_loop.py FOLDER_OF_BATCHES FOLDER_FOR_RESULTS
"""

import sys
from pathlib import Path

import polars as pl

from steps import Flight, add_features


def main(batches: Path, results: Path) -> None:
    """Run every batch, and write either its result or the reason that there is none."""
    for path in sorted(batches.iterdir()):
        batch = pl.read_parquet(path)
        try:
            result = add_features(Flight.validate(batch, cast=True))
        except Exception as error:  # noqa: BLE001  (the usual last resort: lose the batch, go on)
            (results / f"{path.stem}.lost").write_text(f"{type(error).__name__}: {error}")
        else:
            result.write_parquet(results / path.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
