"""Hide values of columns that were declared sensitive, in everything that is shown or exported."""

from __future__ import annotations

import polars as pl

from firedoor.spec.plan import Plan
from firedoor.wire.records import DeadEntry

MASK = "***"
UNPARSED = frozenset({"line", "raw_line"})
"""Columns of lines that a source could not parse: what is in them is not known."""


def sensitive_columns(plan: Plan, entry: DeadEntry) -> frozenset[str]:
    """Return the columns to hide in rows of an entry.

    A column that is sensitive in one zone is hidden wherever one of that name is shown: names
    seldom change on the way, and hiding too much can be repaired. Lines that could not be parsed
    are hidden whole where their source has sensitive columns: nobody knows where in them they are.
    """
    hidden = {name for zone in plan.zones for name in zone.sensitive} | set(entry.sensitive)
    own = [zone.sensitive for zone in plan.zones if zone.name == entry.zone]
    if not entry.edge and (entry.sensitive or any(own)):
        hidden |= UNPARSED
    return frozenset(hidden)


def mask(frame: pl.DataFrame, columns: frozenset[str]) -> pl.DataFrame:
    """Return a frame in which every value of ``columns`` is ``***``, nulls too."""
    hidden = [name for name in frame.columns if name in columns]
    return frame.with_columns(pl.lit(MASK).alias(name) for name in hidden) if hidden else frame
