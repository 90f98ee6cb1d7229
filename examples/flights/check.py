"""What came out, held against the truth: the bare function's rows, and the faults planted."""

from dataclasses import dataclass

import polars as pl

from data import Fault
from steps import KEY
from year import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came through the wall, or arrived at the sink, in rows."""

    good: int
    """Rows that should come through."""
    delivered: int
    """Rows of these that did, each counted once."""
    doubled: int
    """Rows that came through more than once, counted each further time."""
    equal: bool
    """Whether all that came through is what the bare function makes of the good rows, in order."""
    planted: int
    dead: int
    """Dead letters."""
    named: int
    """Planted rows with a dead letter that has the right batch, row and reason code."""

    @property
    def holds(self) -> bool:
        """Whether each bad row cost that row, and nothing else."""
        every_good_row_once = self.delivered == self.good and self.doubled == 0 and self.equal
        return every_good_row_once and self.dead == self.named == self.planted


def judge(
    good: pl.DataFrame, dead: pl.DataFrame, *, expected: pl.DataFrame, planted: dict[Fault, int]
) -> Verdict:
    """Hold the wall's good rows and dead letters against what they should be.

    Args:
        good: all good rows, in the order in which they came.
        dead: all dead letters, with the number of their `batch`, `dead_row` and `dead_code`.
        expected: what the bare function makes of the rows that were not overwritten.
        planted: each fault, and its row in its batch.
    """
    named = sum(dead_letter_of(fault, row, dead) is not None for fault, row in planted.items())
    return Verdict(
        good=expected.height,
        delivered=count_delivered(good, expected=expected),
        doubled=good.height - good.n_unique(KEY),
        equal=good.equals(expected),
        planted=len(planted),
        dead=dead.height,
        named=named,
    )


def count_delivered(good: pl.DataFrame, *, expected: pl.DataFrame) -> int:
    """Count the expected rows that came out at least once."""
    return expected.join(good, on=KEY, how="semi").height


def dead_letter_of(fault: Fault, row: int, dead: pl.DataFrame) -> dict[str, object] | None:
    """Return the dead letter that names this fault, or None."""
    here = (pl.col("batch") == fault.batch) & (pl.col("dead_row") == row)
    found = dead.filter(here & (pl.col("dead_code") == fault.code)).to_dicts()
    return found[0] if found else None


def judge_year(
    stored: pl.DataFrame, dead: pl.DataFrame, *, expected: pl.DataFrame, planted: list[Place]
) -> Verdict:
    """Hold what the sink stored, and all dead letters, against what they should be.

    Args:
        stored: all rows of the sink's files. Order across batches is not promised.
        dead: all dead letters, with `dead_zone`, `dead_batch`, `dead_row` and `dead_code`.
        expected: what the bare functions make of the rows that are as the airlines recorded them.
        planted: where each fault is.
    """
    letters = {tuple(row) for row in dead.select(DEAD_LETTER).iter_rows()}
    wanted = {(p.fault.zone, p.batch, p.row, p.fault.code) for p in planted}
    return Verdict(
        good=expected.height,
        delivered=count_delivered(stored, expected=expected),
        doubled=stored.height - stored.n_unique(KEY),
        equal=stored.sort(KEY).equals(expected.sort(KEY)),
        planted=len(planted),
        dead=dead.height,
        named=len(wanted & letters),
    )


DEAD_LETTER = ("dead_zone", "dead_batch", "dead_row", "dead_code")
"""What a fault's dead letter has to have right."""
