"""Find out which row of the input every row of the output came from.

A step never sees a helper column. It is run a second time on a frame that remembers its rows
(``traced``). Where that is not enough, rows are recognised by what the step left as it was, or
counted: the step runs on parts of the frame, and what comes out tells what was dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from firedoor.isolation.agreement import agree
from firedoor.isolation.traced import Traced

Step = Callable[[pl.DataFrame], pl.DataFrame]

CALLS_MAX = 256
"""How often a step is called, at most, to find by counting which rows it dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """Which row of the input each row of an output came from.

    ``rows`` (u32, strictly increasing) is None if that is unknown, or if there is a problem: the
    step gave rows back in another order, or one of them more than once.
    """

    rows: pl.Series | None
    problem: Literal["reordered", "doubled"] | None = None


UNKNOWN = Identity(None)
_NUMBER = "__firedoor_row__"


def trace(
    step: Step, frame: pl.DataFrame, expected: pl.DataFrame, *, calls_max: int = CALLS_MAX
) -> Identity:
    """Name the row of ``frame`` that each row of ``expected`` came from.

    Args:
        step: takes and returns a frame.
        frame: what it ran on.
        expected: what it returned.
        calls_max: calls on parts of the frame, at most, if tracing is not enough; 0 for none.
            They tell the truth about a row-wise step only. See ``locate``.
    """
    found = _trace_once(step, frame, expected)
    if found is UNKNOWN and calls_max:
        return locate(step, frame, expected, calls_max=calls_max)
    return found


def _trace_once(step: Step, frame: pl.DataFrame, expected: pl.DataFrame) -> Identity:
    """Run the step once on a traced frame, and believe it only if the result is as expected."""
    numbers = pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
    try:
        output = step(Traced.of(frame, numbers))
    except Exception:  # noqa: BLE001 - it did not raise on a plain frame: the tracing is the cause
        return UNKNOWN
    if not isinstance(output, Traced) or output.numbers is None:
        return UNKNOWN
    if agree(expected, output):
        return identify(output.numbers)
    # polars joins lazy frames in any order, and eager ones, which stand in here, mostly in theirs.
    return Identity(None, "reordered") if _same_rows(expected, output) else UNKNOWN


def _same_rows(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    """Return whether two frames hold the same rows, in whatever order."""
    if left.schema != right.schema or left.height != right.height:
        return False
    by = [name for name, dtype in left.schema.items() if not dtype.is_nested()]
    if not by:
        return False
    return bool(
        agree(left.sort(by, maintain_order=True), pl.DataFrame(right).sort(by, maintain_order=True))
    )


def identify(numbers: pl.Series) -> Identity:
    """Judge row numbers as they came out: unknown, doubled, reordered, or good."""
    if numbers.null_count():
        return UNKNOWN
    if (numbers.cast(pl.Int64).diff().drop_nulls() > 0).all():
        return Identity(numbers.cast(pl.UInt32).alias("row"))
    return Identity(None, "doubled" if numbers.n_unique() < len(numbers) else "reordered")


def locate(
    step: Step, frame: pl.DataFrame, expected: pl.DataFrame, *, calls_max: int = CALLS_MAX
) -> Identity:
    """Find without tracing which rows a row-wise step kept, by their values or by counting.

    Values tell in two calls, if some columns come through unchanged and no two rows are alike in
    them. Counting takes about ``log2(rows)`` calls for each dropped row.

    Args:
        step: takes and returns a frame, and is row-wise.
        frame: what it ran on.
        expected: what it returned.
        calls_max: how often it may be called on parts of ``frame``, each no larger.
    """
    counter = _Counter(step, frame, calls_max)
    try:
        kept = _by_value(counter, expected)
        return Identity(_by_counting(counter, expected) if kept is None else kept)
    except _MoreThanGivenError:
        return Identity(None, "doubled")
    except _NotCountableError:
        return UNKNOWN


def _by_value(counter: _Counter, expected: pl.DataFrame) -> pl.Series | None:
    """Return the numbers of the rows that are alike in the columns that came through, if any.

    Believed only if the kept rows alone give what was expected, and the other rows nothing.
    """
    frame = counter.frame
    through = [name for name, dtype in expected.schema.items() if frame.schema.get(name) == dtype]
    plain = [name for name in through if not frame.schema[name].is_nested()]
    # Floats are what a step most likely changed in place; labels and numbers tell rows apart.
    labels = [name for name in plain if not frame.schema[name].is_float()]
    for keys in [labels] if labels == plain else [labels, plain]:
        if not keys or frame.select(keys).is_duplicated().any():
            continue
        numbered = frame.select(keys).with_row_index(_NUMBER)
        found = expected.select(keys).join(
            numbered, on=keys, how="left", nulls_equal=True, maintain_order="left"
        )
        kept = identify(found.get_column(_NUMBER)).rows
        if kept is None or len(kept) == frame.height:
            continue
        others = ~pl.int_range(frame.height, eager=True).is_in(kept.implode())
        if not counter.count(frame.filter(others)) and agree(expected, counter.run(frame[kept])):
            return kept
    return None


def _by_counting(counter: _Counter, expected: pl.DataFrame) -> pl.Series:
    """Return the numbers of the kept rows, found by halving and counting what comes out.

    A part of which as many rows come out as go in is taken to be kept whole. A row dropped and
    another one doubled would cancel out in that: so the rows are counted again by each binary
    digit of their number (any two rows differ in one), and at last the kept rows alone must give
    what was expected.

    Raises:
        _NotCountableError: if the counts do not add up, or take too many calls.
        _MoreThanGivenError: if a part gave more rows than it had.
    """
    frame = counter.frame
    kept = _kept(counter, expected.height)
    for digit in range((frame.height - 1).bit_length()):
        chosen = _with_digit(pl.int_range(frame.height, eager=True), digit)
        if counter.count(frame.filter(chosen)) != _with_digit(kept, digit).sum():
            raise _NotCountableError
    if not agree(expected, counter.run(frame[kept])):
        raise _NotCountableError
    return kept


def _kept(counter: _Counter, total: int) -> pl.Series:
    """Return the numbers of the kept rows, as far as counting halves tells."""
    ranges = [pl.Series(dtype=pl.UInt32)]
    parts = [(0, counter.frame.height, total)]
    while parts:
        start, stop, count = parts.pop()
        if not 0 <= count <= stop - start:
            # Only the left one of two parts was counted: count this one, before blaming it.
            counter.count(counter.frame[start:stop])
            raise _NotCountableError
        if count == stop - start:
            ranges.append(pl.int_range(start, stop, dtype=pl.UInt32, eager=True))
        elif count:
            middle = (start + stop) // 2
            left = counter.count(counter.frame[start:middle])
            parts += [(middle, stop, count - left), (start, middle, left)]
    return pl.concat(ranges).alias("row")


def _with_digit(numbers: pl.Series, digit: int) -> pl.Series:
    """Return a mask of the numbers that have this binary digit."""
    return pl.select(pl.lit(numbers) // 2**digit % 2 == 1).to_series()


class _NotCountableError(Exception):
    """Counting does not tell which rows were kept."""


class _MoreThanGivenError(Exception):
    """The step made more rows of a part than that had."""


@dataclass(slots=True)
class _Counter:
    """Counts what a step makes of parts of a frame, so many times and no more."""

    step: Step
    frame: pl.DataFrame
    calls_left: int

    def run(self, part: pl.DataFrame) -> pl.DataFrame:
        """Return what the step makes of ``part``."""
        if not self.calls_left:
            raise _NotCountableError
        self.calls_left -= 1
        return self.step(part)

    def count(self, part: pl.DataFrame) -> int:
        """Return how many rows the step makes of ``part``."""
        height = self.run(part).height
        if height > part.height:
            raise _MoreThanGivenError
        return height
