"""Compare what two versions of a step made of one batch. Runs in the shadow's process.

Rows are told apart by the number that they had at their source, where both steps keep it. Else they
are compared as they stand, then in any order, and what differs then is told by how far apart the
distributions of each column are: for numbers the statistic of Kolmogorov and Smirnov, for all else
the half of the sum of differences between the shares of values. Both are from 0 to 1.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from msgspec.structs import replace

from firedoor.compute import ipc
from firedoor.errors import shorten
from firedoor.flow.code import ROWS, Compared, Example
from firedoor.isolation.agreement import DtypesDiffer, agree, differing
from firedoor.ports.stage import DeadRows, Handled, Parcel

VALUE_CHARACTERS = 60
HIDDEN = "(a sensitive value)"
VALUES_MAX = 10_000
"""Distinct values whose shares are compared; the rest counts as one."""
_NUMBER = "__row"


@dataclass(frozen=True, slots=True)
class _Pair:
    """The rows of both, matched where they can be."""

    old: pl.DataFrame
    new: pl.DataFrame
    numbers: pl.Series | None
    """Of the matched rows, at their source."""


def compare(
    batch: str, rows: int, old: Handled, new: Handled, *, sensitive: Sequence[str] = ()
) -> Compared:
    """Return in what two outcomes of one batch differ.

    Args:
        batch: its id.
        rows: how many went in.
        old: what became of it in the live zone.
        new: what the new code made of it.
        sensitive: columns whose values are not told.

    Raises:
        polars.exceptions.PolarsError: if bytes are no rows.
    """
    found = Compared(
        batch=batch,
        rows=rows,
        rows_old=old.parcel.rows,
        rows_new=new.parcel.rows,
        dead_old=_reasons(old.dead),
        dead_new=_reasons(new.dead),
        dropped_old=old.dropped,
        dropped_new=new.dropped,
        step_s_old=old.step_s,
        step_s_new=new.step_s,
    )
    if old.parcel.payload == new.parcel.payload:  # bytes do not lie: nothing is decoded
        return replace(found, matched=old.parcel.rows)
    before, after = _frame(old.parcel), _frame(new.parcel)
    if not before.width and not after.width:
        return found
    shapes = _shapes(before, after)
    shared = [name for name in before.columns if name in after.columns and name not in shapes]
    was, now = _numbers(old), _numbers(new)
    if was is not None and now is not None:
        told = _by_number(batch, before, after, (was, now), shared, sensitive)
    else:
        told = _by_place(batch, before.select(shared), after.select(shared), sensitive)
    return replace(
        found,
        matched=told.matched,
        lost=told.lost,
        gained=told.gained,
        columns={**told.columns, **dict.fromkeys(shapes, told.matched)},
        drift=told.drift,
        examples=told.examples,
        shapes=shapes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What differs about rows."""

    matched: int
    lost: int
    gained: int
    columns: dict[str, int]
    drift: dict[str, float]
    examples: dict[str, Example]


def _by_number(
    batch: str,
    before: pl.DataFrame,
    after: pl.DataFrame,
    numbers: tuple[pl.Series, pl.Series],
    shared: list[str],
    sensitive: Sequence[str],
) -> _Told:
    """Compare rows that have kept their numbers."""
    stays, comes = numbers[0].is_in(numbers[1].implode()), numbers[1].is_in(numbers[0].implode())
    matched = numbers[0].filter(stays)
    pair = _Pair(before.filter(stays).select(shared), after.filter(comes).select(shared), matched)
    columns, examples = _columns(batch, pair, sensitive)
    lost, gained = numbers[0].filter(~stays), numbers[1].filter(~comes)
    if len(lost) or len(gained):
        row = lost[0] if len(lost) else gained[0]
        was, now = ("there", "not there") if len(lost) else ("not there", "there")
        examples[ROWS] = Example(batch=batch, row=int(row), old=was, new=now)
    return _Told(
        matched=len(matched),
        lost=len(lost),
        gained=len(gained),
        columns=columns,
        drift={},
        examples=examples,
    )


def _by_place(
    batch: str, before: pl.DataFrame, after: pl.DataFrame, sensitive: Sequence[str]
) -> _Told:
    """Compare rows whose numbers nobody knows."""
    few = min(before.height, after.height)
    more = {"lost": before.height - few, "gained": after.height - few}
    same_number = before.height == after.height
    if same_number and (agree(before, after) or agree(_sorted(before), _sorted(after))):
        return _Told(matched=few, columns={}, drift={}, examples={}, **more)
    drift = {name: distance(before[name], after[name]) for name in before.columns}
    examples: dict[str, Example] = {}
    if same_number:
        _, examples = _columns(batch, _Pair(before, after, None), sensitive)
    told = {name: far for name, far in drift.items() if far > 0 or name in examples}
    return _Told(matched=0, columns={}, drift=told, examples=examples, **more)


def _columns(
    batch: str, pair: _Pair, sensitive: Sequence[str]
) -> tuple[dict[str, int], dict[str, Example]]:
    """Return by column how many matched rows differ, and the first of them."""
    counts: dict[str, int] = {}
    examples: dict[str, Example] = {}
    for left, right in zip(pair.old.get_columns(), pair.new.get_columns(), strict=True):
        try:
            mask = differing(left, right)
        except DtypesDiffer:
            mask = left.is_null() | left.is_not_null()  # all of them
        count = 0 if mask is None else int(mask.sum() or 0)
        if mask is None or not count:
            continue
        counts[left.name] = count
        place = int(mask.arg_max() or 0)
        row = place if pair.numbers is None else int(pair.numbers[place])
        hidden = left.name in sensitive
        was, now = (HIDDEN if hidden else _shown(column[place]) for column in (left, right))
        examples[left.name] = Example(batch=batch, row=row, old=was, new=now)
    return counts, examples


def distance(old: pl.Series, new: pl.Series) -> float:
    """Return how far apart the distributions of two columns are, 0 to 1. Nulls are a value."""
    if not len(old) or not len(new):
        return 0.0 if len(old) == len(new) else 1.0
    if old.dtype.is_numeric() and new.dtype.is_numeric():
        return max(abs(old.null_count() / len(old) - new.null_count() / len(new)), _ks(old, new))
    shares = [_shares(column) for column in (old, new)]
    values = {**shares[0], **shares[1]}
    return sum(abs(shares[0].get(v, 0.0) - shares[1].get(v, 0.0)) for v in values) / 2


def _ks(old: pl.Series, new: pl.Series) -> float:
    """Return the greatest distance between two empirical distribution functions."""
    frames = [
        column.cast(pl.Float64).drop_nulls().drop_nans().alias("value").to_frame()
        for column in (old, new)
    ]
    if not frames[0].height or not frames[1].height:
        return 0.0 if frames[0].height == frames[1].height else 1.0
    steps = [1 / frames[0].height, -1 / frames[1].height]
    table = pl.concat(
        [frame.with_columns(step=pl.lit(step)) for frame, step in zip(frames, steps, strict=True)]
    )
    walked = table.group_by("value").agg(pl.col("step").sum()).sort("value")["step"].cum_sum()
    top = walked.abs().max()
    return min(1.0, top) if isinstance(top, float) and top > 1e-12 else 0.0  # noqa: PLR2004 - rounding


def _shares(column: pl.Series) -> dict[str, float]:
    """Return the share of each value, written out."""
    written = Counter(map(repr, column.to_list()))
    return {value: count / len(column) for value, count in written.most_common(VALUES_MAX)}


def _shapes(before: pl.DataFrame, after: pl.DataFrame) -> dict[str, str]:
    """Return what is another about whole columns, in words."""
    told = {}
    for name, dtype in before.schema.items():
        if name not in after.columns:
            told[name] = f"is missing ({dtype} before)"
        elif after.schema[name] != dtype:
            told[name] = f"is {after.schema[name]}, and was {dtype}"
    more = {n: f"is new ({t})" for n, t in after.schema.items() if n not in before.columns}
    return told | more


def _frame(parcel: Parcel) -> pl.DataFrame:
    """Return the rows of a parcel."""
    if not parcel.frame_bytes:
        return pl.DataFrame()
    return ipc.decode(io.BytesIO(parcel.payload[: parcel.frame_bytes]))


def _numbers(handled: Handled) -> pl.Series | None:
    """Return the number at its source of each row that came out; None if they are not known."""
    parcel = handled.parcel
    if not handled.numbered:
        return None
    section = parcel.payload[parcel.frame_bytes :]
    if section:
        return ipc.decode(io.BytesIO(section))["row"]
    return pl.int_range(parcel.rows, dtype=pl.UInt32, eager=True)


def _reasons(dead: DeadRows | None) -> dict[str, int]:
    """Return dead rows by signature without its line."""
    found: Counter[str] = Counter()
    for group in dead.groups if dead else ():
        found[group.signature.partition(" at ")[0]] += group.rows
    return dict(found)


def _sorted(frame: pl.DataFrame) -> pl.DataFrame:
    """Return rows in an order that is theirs alone, where there is one."""
    plain = [name for name, dtype in frame.schema.items() if not dtype.is_nested()]
    try:
        return frame.sort(plain) if plain else frame
    except pl.exceptions.PolarsError:
        return frame


def _shown(value: object) -> str:
    """Return a value as a person reads it."""
    return shorten(repr(value), VALUE_CHARACTERS)
