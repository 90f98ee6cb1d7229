"""Dead rows as bytes: the rows as they came and their reasons, each an Arrow IPC stream."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from firedoor.compute import ipc
from firedoor.compute.hiding import hide
from firedoor.ports.stage import DeadRows
from firedoor.wire.records import DeadGroup

MASKED_CHARACTERS_MIN = 2
"""A shorter value stands in every text: masking it would leave nothing to read."""
GROUPS_MAX = 200
_PLACE = re.compile(r" at (?P<line>[^ ]+:\d+)$")


def pack(rows: pl.DataFrame, reasons: pl.DataFrame, *, sensitive: Sequence[str] = ()) -> DeadRows:
    """Return dead rows and their reasons as bytes.

    Args:
        rows: the rows with all their columns.
        reasons: ``row``, ``code``, ``signature``, ``message``, ``attempts``, aligned with them.
        sensitive: columns whose values must not be told in messages and signatures.
    """
    if sensitive:
        reasons = masked(rows, reasons, sensitive)
    frame = b"".join(ipc.encode(rows, compress=True))
    payload = frame + b"".join(ipc.encode(reasons, compress=True))
    return DeadRows(payload, len(frame), rows.height, groups_of(reasons))


def groups_of(reasons: pl.DataFrame) -> tuple[DeadGroup, ...]:
    """Return reasons grouped by code and signature, the largest group first."""
    table = (
        reasons.group_by("code", "signature")
        .agg(
            rows=pl.len(),
            first_row=pl.col("row").min(),
            message=pl.col("message").sort_by("row").first(),
        )
        .sort(["rows", "first_row"], descending=[True, False])
    )
    return tuple(
        DeadGroup(**found, line=line_of(found["signature"]))
        for found in table[:GROUPS_MAX].iter_rows(named=True)
    )


def line_of(signature: str) -> str | None:
    """Return ``file:line`` of a signature such as ``KeyError at steps.py:12``."""
    found = _PLACE.search(signature)
    return found["line"] if found else None


def masked(rows: pl.DataFrame, reasons: pl.DataFrame, sensitive: Sequence[str]) -> pl.DataFrame:
    """Return reasons in which no row's sensitive value is told.

    A message may repeat the value on which a step failed; so does a signature, now and then.
    """
    values = [
        [text for text in told if text and len(text) >= MASKED_CHARACTERS_MIN]
        for told in rows.select(
            pl.col(name).cast(pl.String, strict=False) for name in sensitive if name in rows.columns
        ).iter_rows()
    ] or [[] for _ in range(rows.height)]

    def hidden(texts: pl.Series) -> list[str | None]:
        return [text and hide(text, told) for text, told in zip(texts, values, strict=True)]

    return reasons.with_columns(
        pl.Series(name, hidden(reasons[name]), dtype=pl.String) for name in ("signature", "message")
    )
