"""Rows in payloads, for those who look into them: dead letters shown, replayed or exported.

See ``wire.envelope`` and ``wire.records.DeadEntry`` for the two sections of each.
"""

from __future__ import annotations

import io
from typing import IO, cast

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from firedoor.errors import StoreRefused
from firedoor.ports.stage import Parcel
from firedoor.wire.envelope import checksum
from firedoor.wire.records import DeadEntry, DeadGroup

ROW = "row"
GROUPS_MAX = 200
"""Groups that an entry names, the largest ones."""


def decode_dead(entry: DeadEntry, payload: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the dead rows and their reasons, row by row.

    Raises:
        StoreRefused: if the payload is not what was buried.
    """
    if checksum(payload) != entry.crc32:
        raise StoreRefused(_damaged(entry, "its checksum is another"))
    try:
        rows = decode_frame(payload[: entry.frame_bytes])
        reasons = decode_frame(payload[entry.frame_bytes :])
    except (PolarsError, OSError, ValueError) as error:
        raise StoreRefused(_damaged(entry, str(error))) from error
    if not rows.height == reasons.height == entry.rows or ROW not in reasons.columns:
        raise StoreRefused(_damaged(entry, "rows and reasons do not fit each other"))
    return rows, reasons


def encode_dead(
    entry: DeadEntry, rows: pl.DataFrame, reasons: pl.DataFrame
) -> tuple[DeadEntry, bytes]:
    """Return an entry, and its payload, of some of its rows."""
    head = encode_frame(rows)
    payload = head + encode_frame(reasons)
    kept = msgspec.structs.replace(
        entry,
        rows=rows.height,
        frame_bytes=len(head),
        crc32=checksum(payload),
        groups=_groups(entry, reasons),
    )
    return kept, payload


def encode_batch(rows: pl.DataFrame, numbers: pl.Series | None) -> Parcel:
    """Return rows as a batch's payload, with the number of each at the source."""
    head = encode_frame(rows)
    tail = b""
    if numbers is not None:
        tail = encode_frame(pl.DataFrame({ROW: numbers.cast(pl.UInt32)}))
    return Parcel(payload=head + tail, frame_bytes=len(head), rows=rows.height)


def encode_frame(frame: pl.DataFrame) -> bytes:
    """Return a frame as an Arrow IPC stream."""
    file = io.BytesIO()
    frame.write_ipc_stream(cast("IO[bytes]", file), compression="lz4")
    return file.getvalue()


def decode_frame(data: bytes) -> pl.DataFrame:
    """Return the frame in an Arrow IPC stream."""
    return pl.read_ipc_stream(io.BytesIO(data))


def _groups(entry: DeadEntry, reasons: pl.DataFrame) -> tuple[DeadGroup, ...]:
    """Group what is left by signature; lines of code are those that were known."""
    lines = {group.signature: group.line for group in entry.groups}
    grouped = reasons.group_by("code", "signature").agg(
        rows=pl.len(),
        first_row=pl.col(ROW).min(),
        message=pl.col("message").sort_by(ROW).first(),
    )
    ordered = grouped.sort(["rows", "first_row"], descending=[True, False])
    return tuple(
        DeadGroup(**values, line=lines.get(values["signature"]))
        for values in ordered[:GROUPS_MAX].iter_rows(named=True)
    )


def _damaged(entry: DeadEntry, why: str) -> str:
    """Say that an entry cannot be read."""
    return (
        f"the dead letters of {entry.batch} in {entry.zone} are damaged: {why}; "
        "`firedoor doctor` examines the store"
    )
