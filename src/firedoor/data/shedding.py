"""Keep a part of a batch: where an inbox is full and its edge sheds, or a zone samples.

By key, the same keys are kept in every batch and every process: a key is kept if its BLAKE2 hash,
as a share of all hashes, is below ``keep``. (polars' own hash changes between its versions.) Each
edge and zone hashes with a salt of its own: by the same hash, the second that samples would keep
every key that the first has kept, and rows would weigh more than they stand for.
Without a key, rows are drawn by batch and row number, so that a batch that comes again is shed
alike. By priority, the rows of most priority are kept.
"""

from __future__ import annotations

import hashlib
import io
import math
from typing import IO, cast

import polars as pl

from firedoor.errors import StepAtFault
from firedoor.names import BatchId
from firedoor.ports.stage import Parcel
from firedoor.spec.plan import ShedPlan
from firedoor.wire.envelope import Envelope

_HASHES = 2**64


def shed(payload: bytes, envelope: Envelope, plan: ShedPlan) -> Parcel:
    """Return the part of a batch that is kept; what each row of it stands for is 1 / ``keep``.

    Raises:
        StepAtFault: if a column that decides is not in the batch.
    """
    frame = pl.read_ipc_stream(io.BytesIO(payload[: envelope.frame_bytes]))
    section = payload[envelope.frame_bytes :]
    if section:
        numbers = pl.read_ipc_stream(io.BytesIO(section))["row"]
    else:
        numbers = pl.int_range(frame.height, dtype=pl.UInt32, eager=True).alias("row")
    _check_columns(frame, envelope, plan)
    if plan.priority:
        rows = _first(frame[plan.priority], plan.keep)
    elif plan.key:
        rows = _drawn_by_key(frame.select(plan.key), plan)
    else:
        root = str(BatchId.parse(envelope.batch).root)
        texts = [f"{root}/{number}" for number in numbers.to_list()]
        rows = _drawn(texts, plan.keep, plan.salt)
    kept = _encode(frame[rows])
    section = _encode(numbers.gather(rows).to_frame())
    return Parcel(kept + section, len(kept), len(rows), envelope.schema)


def _check_columns(frame: pl.DataFrame, envelope: Envelope, plan: ShedPlan) -> None:
    """Refuse a plan that names columns which are not there."""
    named = (plan.priority,) if plan.priority else plan.key
    missing = [name for name in named if name not in frame.columns]
    if missing:
        message = (
            f"{envelope.batch} has no column {missing[0]!r} to shed by; its columns are "
            f"{', '.join(frame.columns[:20])}: name one of them in fd.Shed or fd.Sample"
        )
        raise StepAtFault(message, code="wrong_schema", signature="no column to shed by")


def _first(priority: pl.Series, keep: float) -> list[int]:
    """Return the rows of most priority in their order; among equals the first, nulls last."""
    count = math.ceil(keep * priority.len())
    table = pl.DataFrame({"value": priority, "row": pl.int_range(priority.len(), eager=True)})
    ranked = table.sort("value", "row", descending=[True, False], nulls_last=True)
    return sorted(ranked["row"].head(count).to_list())


def _drawn_by_key(keys: pl.DataFrame, plan: ShedPlan) -> list[int]:
    """Return the rows whose key is kept."""
    rows = keys.cast(pl.String).rows()
    texts = ["\x1f".join("\x00" if part is None else part for part in row) for row in rows]
    return _drawn(texts, plan.keep, plan.salt)


def _drawn(texts: list[str], keep: float, salt: str = "") -> list[int]:
    """Return the places of the texts that are kept."""
    kept = {text: _share(f"{salt}\x1e{text}" if salt else text) < keep for text in set(texts)}
    return [place for place, text in enumerate(texts) if kept[text]]


def _share(text: str) -> float:
    """Return a number from 0 to 1 that a text always has."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _HASHES


def _encode(frame: pl.DataFrame) -> bytes:
    """Return a frame as an Arrow IPC stream."""
    file = io.BytesIO()
    frame.write_ipc_stream(cast("IO[bytes]", file), compression="lz4")
    return file.getvalue()
