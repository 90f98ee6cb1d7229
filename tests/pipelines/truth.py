"""A few months of flights as files, and the truth about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "examples" / "flights" / "pipeline.py"


@dataclass(frozen=True, slots=True)
class Months:
    """Files that the example's pipeline reads, and what should come of them."""

    folder: Path
    weather: Path
    """What the weather service answers from."""
    store: Path
    """Where its sink writes."""
    expected: pl.DataFrame
    dead: int
    lines: int
    key: list[str]

    def check_store(self, told: str) -> None:
        """Hold the sink against the truth; ``told`` is shown where it differs."""
        stored = pl.read_parquet(self.store / "**/*.parquet").sort(self.key)
        assert stored.height == stored.n_unique(self.key), f"doubled\n{told[-4000:]}"
        assert stored.height == self.expected.height, f"lost\n{told[-4000:]}"
        assert stored.equals(self.expected.sort(self.key)), f"changed\n{told[-4000:]}"


def make_months(folder: Path, *, months: Sequence[int]) -> Months:
    """Write the files of some months, and work out what should come of them."""
    subprocess.run(
        [sys.executable, Path(__file__).with_name("write_months.py"), ",".join(map(str, months))],
        env={**os.environ, "FLIGHTS_YEAR": str(folder)},
        check=True,
    )
    truth = json.loads(folder.with_name("truth.json").read_text())
    expected = pl.read_parquet(folder.with_name("expected.parquet"))
    return Months(
        folder, folder / "weather.parquet", folder.with_name("store"), expected,
        truth["dead"], truth["lines"], truth["key"],
    )  # fmt: skip
