"""Make a fault exact for one batch, before a worker is given it: which column, by how much.

What hangs on all rows of a batch (a standard deviation, the two values of a label) is found out
here, once: a worker may be given any part of the batch, and has to do the same to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl
from msgspec.structs import replace

from firedoor.compute.striking import chosen, keys_of
from firedoor.drill import chance
from firedoor.drill.catalogue import CATALOGUE
from firedoor.drill.fault import LEASE_MAX_S, Fault
from firedoor.drill.fault_kind import FaultKind
from firedoor.wire.striking import Strike

ADDED = "added_by_drill"
LABELS = 2


@dataclass(frozen=True, slots=True)
class Aim:
    """What a fault does to a batch."""

    strike: Strike | None = None
    """None: nothing."""
    count: int = 0
    """Rows that it hits, or 1 for the batch."""
    why_not: str = ""
    """Why it cannot be injected in batches like this one."""


def aim(
    fault: Fault, batch: str, frame: pl.DataFrame, *, memory_bytes: int, until_s: float = math.inf
) -> Aim:
    """Return what a fault does to a batch.

    Args:
        fault: to be injected by workers.
        batch: its id, without marks of replays.
        frame: its rows.
        memory_bytes: what a worker may take.
        until_s: when the fault ends, see ``Strike``.
    """
    kind = CATALOGUE[fault.name]
    of_rows = kind.of_what == "rows"
    if not of_rows and not chance.hits(fault, batch):
        return Aim()
    strike = Strike(
        fault=fault.id,
        name=fault.name,
        seed=chance.number_of(fault.seed, batch),
        share=fault.share if of_rows else 1.0,
        keys=keys_of(frame) if of_rows else (),
        amount=_amount(fault, memory_bytes),
        until_s=until_s,
    )
    if kind.column:
        column = _column(fault, frame)
        if not column:
            return Aim(why_not=_unfit(fault, kind, batch))
        strike = replace(strike, column=column)
        if column in frame.columns:
            strike = _exact(strike, frame.get_column(column))
    count = int(chosen(frame, strike).sum()) if of_rows else 1
    return Aim(strike if count else None, count)


def _amount(fault: Fault, memory_bytes: int) -> float:
    """Return by how much it is done."""
    if fault.name in {"worker_memory", "poison_memory"}:
        return fault.intensity * memory_bytes
    return LEASE_MAX_S if fault.name == "poison_hang" else fault.intensity


def _column(fault: Fault, frame: pl.DataFrame) -> str:
    """Return the column that is meant, or the first that fits; empty: none does."""
    if fault.name == "schema_added":
        return fault.column or ADDED
    for name in [fault.column] if fault.column else frame.columns:
        if name in frame.columns and _fits(fault.name, frame.get_column(name)):
            return name
    return ""


def _fits(name: str, values: pl.Series) -> bool:
    """Return whether a fault can be done to a column."""
    match name:
        case "unit_change" | "feature_drift":
            return values.dtype.is_numeric()
        case "out_of_order":
            return isinstance(values.dtype, pl.Date | pl.Datetime)
        case "label_flip":
            return values.dtype == pl.Boolean or _two_values(values)
        case "schema_retype":
            return not values.dtype.is_nested()
        case _:
            return True


def _two_values(values: pl.Series) -> bool:
    """Return whether a column holds two values, as a label does."""
    known = values.dtype.is_numeric() or values.dtype == pl.String
    return known and values.drop_nulls().n_unique() == LABELS


def _unfit(fault: Fault, kind: FaultKind, batch: str) -> str:
    """Return why no column of a batch will do."""
    what = kind.needs or "a column that is not nested"
    if fault.column:
        why = f"column {fault.column!r} of {batch} is not there, or none"
    else:
        why = f"{batch} has none"
    return f"{fault.name} needs {what}, and {why}: name another column, or another zone"


def _exact(strike: Strike, values: pl.Series) -> Strike:
    """Return a strike with what follows from all values of its column."""
    if strike.name == "feature_drift":
        spread = values.cast(pl.Float64).std()
        shift = strike.amount * spread if isinstance(spread, float) else 0.0
        return replace(strike, amount=shift)
    if strike.name != "label_flip" or values.dtype == pl.Boolean:
        return strike
    low, high = values.drop_nulls().unique().sort().to_list()
    if values.dtype == pl.String:
        return replace(strike, pair=(low, high))
    return replace(strike, amount=float(low) + float(high))
