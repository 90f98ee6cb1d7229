"""Tell a fault of the step from a fault of rows: contrast, or it is not the row.

A few rows that fail among many that pass are bad rows. Many rows that fail in one way are a bad
release, a renamed column or a dependency that hangs: dead-lettering them would throw good data
away, so the step is named instead and nothing is dead-lettered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastPolicy:
    """When many like failures are one fault of the step."""

    share_max: float = 0.05
    """Share of a batch's rows that may fail with one signature. Range 0 to 1; 1 disables."""
    rows_min: int = 10
    """Rows with one signature below which nobody but the rows is blamed. At least 2."""
    batches: int = 3
    """Batches running in which every row failed with one signature. At least 2."""
    chance_max: float = 0.001
    """For a sample of rows: how improbable it must be under ``share_max``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The step is at fault: this signature, on so many rows."""

    signature: str
    failed_rows: int
    rows: int
    why: str


@dataclass(frozen=True, slots=True)
class Streak:
    """Batches running in which every row failed with one signature."""

    signature: str = ""
    batches: int = 0
    rows: int = 0


def judge(signatures: Counter[str], rows: int, policy: ContrastPolicy) -> Verdict | None:
    """Return a verdict if too many of a batch's ``rows`` failed with one signature."""
    for signature, count in signatures.most_common(1):
        if count >= policy.rows_min and count > policy.share_max * rows:
            why = f"{count:,} of {rows:,} rows fail in the same way"
            return Verdict(signature, count, rows, why)
    return None


def judge_sample(
    outcomes: Iterable[str | None], policy: ContrastPolicy, *, rows: int
) -> Verdict | None:
    """Return a verdict if a sample of single rows shows more than ``judge`` lets pass.

    Args:
        outcomes: for each sampled row its signature, or None where it passed.
        policy: the share that is allowed and the chance of a false verdict.
        rows: rows of the batch.
    """
    seen = list(outcomes)
    counts = Counter(signature for signature in seen if signature is not None)
    # In a small batch the few rows that may always fail are a larger share than that.
    allowed = max(policy.share_max, min(1.0, (policy.rows_min - 1) / max(1, rows)))
    for signature, count in counts.most_common(1):
        if at_least(count, len(seen), allowed) < policy.chance_max:
            why = f"{count} of {len(seen)} rows sampled from {rows:,} fail in the same way, alone"
            return Verdict(signature, count, rows, why)
    return None


def follow(
    streak: Streak, signatures: Counter[str], rows: int, policy: ContrastPolicy
) -> tuple[Streak, Verdict | None]:
    """Return the streak after one more batch, and a verdict if it is long enough."""
    top = signatures.most_common(1)
    if rows == 0:
        return streak, None
    if not top or top[0][1] < rows or policy.share_max >= 1:
        return Streak(), None
    signature = top[0][0]
    if signature != streak.signature:
        return Streak(signature, 1, rows), None
    streak = replace(streak, batches=streak.batches + 1, rows=streak.rows + rows)
    if streak.batches < policy.batches or streak.rows < policy.rows_min:
        return streak, None
    why = f"every row of {streak.batches} batches running ({streak.rows} rows) fails in one way"
    return streak, Verdict(signature, streak.rows, streak.rows, why)


def at_least(successes: int, trials: int, chance: float) -> float:
    """Return the chance of ``successes`` or more of ``trials``, each with ``chance``.

    >>> round(at_least(3, 3, 0.05), 6)
    0.000125
    """
    return sum(
        math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k)
        for k in range(successes, trials + 1)
    )
