"""Dead letters: the rows that could not be processed, whole, each with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from firedoor.errors import FrameRefused

if TYPE_CHECKING:
    import pandas as pd


class DeadLetters:
    """Rows that died, with everything needed to understand them and to send them again.

    Attributes:
        rows: the dead rows with exactly the columns and types they came with.
        reasons: aligned with ``rows``: ``row`` (u32, its number in the frame handed in), ``code``,
            ``signature``, ``message`` (with the last frames), ``attempts`` (struct of counts by
            cause of the failed runs that held the row).
    """

    __slots__ = ("reasons", "rows")

    def __init__(self, rows: pl.DataFrame, reasons: pl.DataFrame) -> None:
        """Join rows and reasons of the same height, row by row."""
        assert rows.height == reasons.height
        self.rows = rows
        self.reasons = reasons

    def __len__(self) -> int:
        """Return how many rows are dead."""
        return self.rows.height

    def __repr__(self) -> str:
        """Return the count, and what they died of."""
        codes = ", ".join(
            f"{count} {code}" for code, count in self.reasons["code"].value_counts().iter_rows()
        )
        return f"DeadLetters({len(self)}{': ' + codes if codes else ''})"

    @property
    def frame(self) -> pl.DataFrame:
        """Rows and reasons side by side; the reasons' columns begin with ``dead_``.

        Raises:
            FrameRefused: if the rows have columns of these names already.
        """
        named = self.reasons.rename({name: f"dead_{name}" for name in self.reasons.columns})
        taken = set(named.columns) & set(self.rows.columns)
        if taken:
            message = (
                f"the rows have columns {sorted(taken)} already, which would be hidden by the "
                "reasons of the same names: use .rows and .reasons"
            )
            raise FrameRefused(message)
        return pl.concat([self.rows, named], how="horizontal")

    def summary(self) -> pl.DataFrame:
        """Group by signature: ``code``, ``signature``, ``rows``, ``first_row``, ``message``."""
        return (
            self.reasons.group_by("code", "signature")
            .agg(
                rows=pl.len(),
                first_row=pl.col("row").min(),
                message=pl.col("message").sort_by("row").first(),
            )
            .sort(["rows", "first_row"], descending=[True, False])
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return ``frame`` as a pandas frame."""
        return self.frame.to_pandas()
