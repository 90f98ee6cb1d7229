"""Dead letters as people look at them: grouped by what killed them, shown, exported.

Values of sensitive columns are never shown. Memory is bounded: groups by ``GROUPS_MAX``, rows by
one entry at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import msgspec
import polars as pl

from firedoor.control.masking import mask, sensitive_columns
from firedoor.control.payloads import ROW, decode_dead
from firedoor.errors import NotKnown
from firedoor.names import BatchId
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.wire.records import DeadEntry

GROUPS_MAX = 10_000
"""Groups that are told apart; rows beyond are counted together."""
OTHERS = "(other signatures)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant; what is None selects all."""

    zone: str | None = None
    signature: str | None = None
    """A part of it is enough."""
    batch: str | None = None
    """With its replays only if they are named themselves: ``flights-000123~r1``."""
    row: int | None = None

    def takes(self, signature: str) -> bool:
        """Return whether rows of a signature are meant."""
        return self.signature is None or self.signature in signature

    def takes_some(self, entry: DeadEntry) -> bool:
        """Return whether rows of an entry can be meant."""
        told = sum(group.rows for group in entry.groups)
        return told < entry.rows or any(self.takes(group.signature) for group in entry.groups)

    def mask_of(self, reasons: pl.DataFrame) -> pl.Series:
        """Return which rows are meant, as booleans."""
        chosen = pl.lit(value=True)
        if self.signature is not None:
            chosen &= pl.col("signature").str.contains(self.signature, literal=True)
        if self.row is not None:
            chosen &= pl.col(ROW) == self.row
        height = pl.int_range(pl.len()) >= 0
        return reasons.select((height & chosen).alias("chosen")).to_series()

    def __str__(self) -> str:
        """Say what is meant."""
        parts = [f"in {self.zone}" if self.zone else ""]
        parts.append(f"of {self.batch}" if self.batch else "")
        parts.append(f"in row {self.row}" if self.row is not None else "")
        parts.append(f"with {self.signature!r} in their signature" if self.signature else "")
        return " ".join(part for part in parts if part) or "at all"


class Group(msgspec.Struct, kw_only=True):
    """Dead rows of a zone that died in the same way."""

    zone: str
    code: str
    signature: str
    line: str | None
    """``file:line`` of the user's code."""
    message: str
    rows: int = 0
    batches: int = 0
    first: str = ""
    """The first of them: ``batch/row``."""
    since_s: float = 0.0


@dataclass(slots=True)
class Listing:
    """All dead letters, grouped."""

    groups: list[Group] = field(default_factory=list)
    rows: int = 0
    entries: int = 0
    bytes: int = 0


async def gather_groups(streams: Streams, selection: Selection) -> Listing:
    """Return the dead letters that are meant, grouped by zone and signature, largest first."""
    listing = Listing()
    groups: dict[tuple[str, str], Group] = {}
    async for entry in selected(streams, selection):
        listing.entries += 1
        listing.bytes += entry.frame_bytes
        for died in entry.groups:
            if not selection.takes(died.signature):
                continue
            key = (entry.zone, died.signature)
            if key not in groups and len(groups) >= GROUPS_MAX:
                key = (entry.zone, OTHERS)
            group = groups.get(key)
            if group is None:
                group = groups[key] = Group(
                    zone=entry.zone,
                    code=died.code,
                    signature=key[1],
                    line=died.line,
                    message=died.message,
                    first=f"{entry.batch}/{died.first_row}",
                    since_s=entry.at_s,
                )
            group.rows += died.rows
            group.batches += 1
            group.line = group.line or died.line
            if entry.at_s < group.since_s:
                group.since_s = entry.at_s
                group.first = f"{entry.batch}/{died.first_row}"
            listing.rows += died.rows
        if selection.signature is None:
            # An entry names its largest groups only.
            listing.rows += entry.rows - sum(died.rows for died in entry.groups)
    listing.groups = sorted(groups.values(), key=lambda group: (-group.rows, group.zone))
    return listing


async def selected(streams: Streams, selection: Selection) -> AsyncIterator[DeadEntry]:
    """Go through the entries that hold rows that are meant."""
    async for entry in streams.dead(selection.zone, selection.batch):
        if entry.rows and selection.takes_some(entry):
            yield entry


async def rows_of_entry(
    streams: Streams, plan: Plan, entry: DeadEntry, selection: Selection
) -> pl.DataFrame | None:
    """Return the rows that are meant of one entry, sensitive columns masked, with their reasons.

    The columns of the reasons begin with ``dead_``: batch, zone, zone_version, row, code,
    signature, message, attempts. None if the entry has gone, or none of its rows is meant.
    """
    found = await streams.dead_rows(entry.zone, entry.batch)
    if found is None:
        return None
    entry, payload = found
    rows, reasons = decode_dead(entry, payload)
    chosen = selection.mask_of(reasons)
    rows, reasons = rows.filter(chosen), reasons.filter(chosen)
    if not rows.height:
        return None
    rows = mask(rows, sensitive_columns(plan, entry))
    named = reasons.select(
        pl.lit(entry.batch).alias("batch"),
        pl.lit(entry.zone).alias("zone"),
        pl.lit(entry.zone_version).alias("zone_version"),
        *reasons.columns,
    )
    named = named.rename(lambda name: _free(f"dead_{name}", set(rows.columns)))
    return pl.concat([rows, named], how="horizontal")


async def rows_meant(
    streams: Streams, plan: Plan, selection: Selection, *, limit: int
) -> pl.DataFrame:
    """Return up to ``limit`` of the rows that are meant, one frame.

    Where zones hand on different columns, those that a row does not have are null; where one
    column has different types, all of it is text.

    Raises:
        NotKnown: if there is none.
    """
    frames: list[pl.DataFrame] = []
    count = 0
    async for entry in selected(streams, selection):
        frame = await rows_of_entry(streams, plan, entry, selection)
        if frame is not None:
            frames.append(frame.head(limit - count))
            count += frames[-1].height
        if count >= limit:
            break
    if not frames:
        message = f"there are no dead letters {selection}: `firedoor dlq` lists what there is"
        raise NotKnown(message)
    return join(frames)


def join(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return frames of several zones as one; see ``rows_meant``."""
    types: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, dtype in frame.schema.items():
            types.setdefault(name, set()).add(dtype)
    text = {name for name, seen in types.items() if len(seen - {pl.Null()}) > 1}
    same = [frame.with_columns(_as_text(frame, name) for name in frame.columns if name in text)
            for frame in frames]  # fmt: skip
    joined = pl.concat(same, how="diagonal_relaxed")
    reasons = [name for name in joined.columns if name.startswith("dead_")]
    return joined.select([*[name for name in joined.columns if name not in reasons], *reasons])


def parse_row(text: str) -> tuple[str, int | None]:
    """Return batch and row of ``flights-000123/4711`` or ``flights-000123``.

    Raises:
        NotKnown: if it is neither.
    """
    batch, slash, row = text.partition("/")
    try:
        parsed = BatchId.parse(batch)
        if slash and not (row.isascii() and row.isdigit()):
            message = f"{row!r} is no number of a row"
            raise ValueError(message)  # noqa: TRY301 - one remedy for all of them
        return str(parsed), int(row) if slash else None
    except ValueError as error:
        message = f"{error}; rows are named like flights-000123/4711, batches like flights-000123"
        raise NotKnown(message) from None


def _free(name: str, taken: set[str]) -> str:
    """Return a name that no column of the rows has."""
    while name in taken:
        name += "_"
    return name


def _as_text(frame: pl.DataFrame, name: str) -> pl.Series:
    """Return a column as text."""
    column = frame.get_column(name)
    if column.dtype.is_nested() or column.dtype in {pl.Binary, pl.Object}:
        return pl.Series(name, [repr(value) for value in column.to_list()], dtype=pl.String)
    return column.cast(pl.String)
