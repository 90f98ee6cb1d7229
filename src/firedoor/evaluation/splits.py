"""Part rows for training and evaluation, once, so that every run parts them alike.

* ``ByKey``: a row goes where the BLAKE2 hash of its key says. All rows of a key are together, in
  every process and version, in any order, and where batches are cut anew or rows added. (polars'
  own hash changes between its versions.)
* ``ByTime``: a row goes to the first part whose end is after it. That is the honest one where the
  model will be asked about days to come.

A part is a name for each row, so that no row is in two. Shares of keys are met about: the share of
rows depends on how many each key has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import polars as pl

from firedoor.bounds import columns, share_between, text
from firedoor.errors import DeclarationError, FrameRefused

PARTS_MAX = 10
_HASHES = 2**64
_EXAMPLES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ByKey:
    """Part by the hash of a key."""

    key: tuple[str, ...]
    """Columns whose values belong together: a customer, an aircraft. No fractions."""
    shares: Mapping[str, float]
    """Share of the keys of each part, in an order that matters. 2 to 10 parts, together 1."""
    salt: str = ""
    """Another salt parts otherwise; for data that were parted by the same key before."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        columns("key", self.key)
        if not self.key:
            raise DeclarationError("key", self.key, "is empty", 'write key=("tailnum",)')
        _check_parts("shares", self.shares)
        for name, share in self.shares.items():
            share_between(f"shares[{name!r}]", share, 0, 1)
        if abs(sum(self.shares.values()) - 1) > 1e-9:  # noqa: PLR2004 - what rounding leaves
            total = sum(self.shares.values())
            raise DeclarationError("shares", dict(self.shares), f"are {total:g}", "make them 1")
        if self.salt:
            text("salt", self.salt)


@dataclass(frozen=True, slots=True, kw_only=True)
class ByTime:
    """Part by time."""

    column: str
    """When the row happened."""
    until: Mapping[str, datetime | None]
    """The end of each part, which is not in it, from the earliest to the latest; None: open. Rows
    at or after the last end are in no part. 2 to 10 parts."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        text("column", self.column)
        _check_parts("until", self.until)
        ends = list(self.until.values())
        if ends[-1] is None:
            ends.pop()
        if not all(isinstance(end, datetime) for end in ends):
            remedy = "give a datetime to each part, or None to the last"
            raise DeclarationError("until", dict(self.until), "holds what is no instant", remedy)
        if len({end.tzinfo is None for end in ends if end is not None}) > 1:
            remedy = "give a time zone to each, or to none"
            raise DeclarationError("until", dict(self.until), "mixes times with a zone", remedy)
        if any(a >= b for a, b in pairwise(end for end in ends if end is not None)):
            remedy = "put the earliest part first"
            raise DeclarationError("until", dict(self.until), "does not go forwards", remedy)


def split(frame: pl.DataFrame, policy: ByKey | ByTime) -> pl.Series:
    """Return the part of each row as ``pl.Enum``; null: by time, it is after the last part.

    Raises:
        DeclarationError: if a column is not there, or of a dtype that cannot part rows.
        FrameRefused: if rows have no time.

    >>> flights = pl.DataFrame({"tailnum": ["N1", "N2", "N1", "N3"]})
    >>> policy = ByKey(key=("tailnum",), shares={"train": 0.5, "test": 0.5})
    >>> split(flights, policy).to_list()
    ['test', 'train', 'test', 'test']
    """
    match policy:
        case ByKey():
            return _by_key(frame, policy)
        case ByTime():
            return _by_time(frame, policy)


def key_texts(frame: pl.DataFrame, key: tuple[str, ...]) -> pl.Series:
    """Return the key of each row as one text, which no other key has.

    Times count by their instant, whatever their unit, and other values by how they are written: 7
    in a column of numbers is "7" in a column of text.

    Raises:
        DeclarationError: if a column is not there, or holds fractions or lists.
    """
    parts = []
    for name in key:
        dtype = _dtype(frame, "key", name)
        column = pl.col(name)
        if isinstance(dtype, pl.Datetime):
            column = column.dt.epoch("us")
        elif not (dtype.is_integer() or dtype in _AS_WRITTEN):
            remedy = "name columns of whole numbers, text, switches, days or times"
            raise DeclarationError("key", name, f"is {dtype}, and no key", remedy)
        written = column.cast(pl.String)
        sized = pl.concat_str(written.str.len_bytes().cast(pl.String), pl.lit(":"), written)
        parts.append(sized.fill_null("-"))
    return frame.select(pl.concat_str(parts).alias("key"))["key"]


_AS_WRITTEN = (pl.String, pl.Boolean, pl.Date, pl.Categorical, pl.Enum, pl.Null)


def _by_key(frame: pl.DataFrame, policy: ByKey) -> pl.Series:
    """Return the part of each row by its key."""
    texts = key_texts(frame, policy.key)
    different = texts.unique()
    salt = hashlib.blake2b(policy.salt.encode(), digest_size=16).digest()
    hashes = [
        int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, salt=salt).digest(), "big")
        for key in different
    ]
    ends, reached = [], 0.0
    for share in policy.shares.values():
        reached += share
        ends.append(min(round(reached * _HASHES), _HASHES))
    found = pl.Series(hashes, dtype=pl.UInt64)
    # The last part takes what rounding leaves; its end does not fit 64 bits.
    place = pl.Series([0] * len(hashes), dtype=pl.UInt32)
    for end in ends[:-1]:
        place += (found >= end).cast(pl.UInt32)
    names = pl.Series(list(policy.shares), dtype=pl.Enum(list(policy.shares)))
    table = pl.DataFrame({"key": different, "part": names.gather(place)})
    return texts.to_frame().join(table, on="key", how="left", maintain_order="left")["part"]


def _by_time(frame: pl.DataFrame, policy: ByTime) -> pl.Series:
    """Return the part of each row by its time."""
    dtype = _dtype(frame, "column", policy.column)
    first = next(iter(policy.until.values()))
    zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    if not isinstance(dtype, pl.Datetime | pl.Date):
        remedy = "name a column of days or times"
        raise DeclarationError("column", policy.column, f"is {dtype}, and no time", remedy)
    if zoned != (first is not None and first.tzinfo is not None):
        remedy = "give `until` a time zone where the column has one, and none where it has none"
        raise DeclarationError("until", dict(policy.until), f"does not fit {dtype}", remedy)
    timeless = frame[policy.column].is_null().arg_true()
    if timeless.len():
        rows = ", ".join(str(row) for row in timeless.head(_EXAMPLES_MAX))
        message = (
            f"{timeless.len():,} of {frame.height:,} rows have no {policy.column} and are in no "
            f"part, for example row {rows}: drop them, or fill it in"
        )
        raise FrameRefused(message)
    names = pl.Enum(list(policy.until))
    instants = pl.col(policy.column)
    if zoned:
        instants = instants.dt.convert_time_zone("UTC")
    part = pl.lit(None, dtype=names)
    for name, end in reversed(list(policy.until.items())):
        at = end.astimezone(UTC) if end is not None and zoned else end
        inside = pl.lit(value=True) if at is None else instants < pl.lit(at)
        part = pl.when(inside).then(pl.lit(name, dtype=names)).otherwise(part)
    return frame.select(part.alias("part"))["part"]


def _check_parts(field: str, parts: object) -> None:
    """Refuse what is no mapping of names to a few parts."""
    if not isinstance(parts, Mapping) or not 2 <= len(parts) <= PARTS_MAX:  # noqa: PLR2004
        remedy = f"give 2 to {PARTS_MAX} parts by name"
        raise DeclarationError(field, parts, "are no parts", remedy)
    for name in parts:
        text(field, name)


def _dtype(frame: pl.DataFrame, field: str, name: str) -> pl.DataType:
    """Return the dtype of a column."""
    if name not in frame.columns:
        remedy = f"name one of {', '.join(frame.columns[:20]) or 'the columns: there are none'}"
        raise DeclarationError(field, name, "is no column of the frame", remedy)
    return frame.schema[name]
