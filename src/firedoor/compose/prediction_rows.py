"""The rows of logged predictions: what was asked, what was looked up, and a file of all that."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from firedoor.control.masking import MASK
from firedoor.errors import NotKnown
from firedoor.wire.bundle import Signature
from firedoor.wire.payload import BadPayload, Reader
from firedoor.wire.prediction import LABEL, Feature, PredictionRecord
from firedoor.wire.serving import Ask, Form

ROWS_MAX = 5_000_000
"""Rows of one export."""
BLOCK_ROWS = 20_000
CODES, LETTERS = ("live", "cached", "default", "missing"), "lcdm"
_ABOUT: dict[str, type[pl.DataType] | pl.DataType] = {
    "_prediction": pl.String,
    "_row": pl.Int64,
    "_at": pl.Datetime("us", "UTC"),
    "_service": pl.String,
    "_code": pl.String,
    "_version": pl.String,
    "_arm": pl.String,
    "_degraded": pl.String,
    "_rollout": pl.String,
    "_key": pl.String,
    "_source": pl.String,
    "_score": pl.Float64,
    "_shadow_score": pl.Float64,
    "_features": pl.String,
}

Row = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export holds."""

    path: str
    predictions: int
    rows: int
    labelled: int
    """Predictions whose label is known."""
    unreadable: int
    """Predictions whose rows are not known: they were too large to be kept."""


def rows_of(record: PredictionRecord, hidden: frozenset[str] = frozenset()) -> list[Row] | str:
    """Return the rows that a prediction was made of, or why they are not known.

    Args:
        record: of the log.
        hidden: columns whose values are masked.
    """
    if not record.body:
        return f"the request had {record.body_bytes:,} bytes, more than are kept"
    try:
        ask = Ask(Form(record.form), record.body, record.json_bytes, extra=record.extra)
        taken = Reader(Signature()).read(ask)
    except (BadPayload, ValueError) as error:
        return f"the request cannot be read: {error}"
    shown = [dict(zip(taken.names, row, strict=True)) for row in taken.rows]
    for row in shown:
        row.update(dict.fromkeys(hidden & row.keys(), MASK))
    return shown


async def export(
    records: AsyncIterator[PredictionRecord], to: Path, hidden: frozenset[str] = frozenset()
) -> Exported:
    """Write predictions as a Parquet file, a row a row that was asked; whole or not at all.

    Columns are those of requests and of looked-up features, and such about the prediction, which
    begin with ``_``: what came true is ``_label``, and null where nobody said it.

    Raises:
        NotKnown: if there is none, or there are too many for one file.
    """
    frames: list[pl.DataFrame] = []
    block: list[Row] = []
    labels: dict[str, float | None] = {}
    predictions = unreadable = rows_total = 0
    async for record in records:
        if record.arm == LABEL:
            labels[record.id] = record.label
            continue
        rows = rows_of(record, hidden)
        if isinstance(rows, str):
            unreadable += 1
            continue
        predictions += 1
        rows_total += len(rows)
        if rows_total > ROWS_MAX:
            message = f"there are more than {ROWS_MAX:,} rows: export less by --since and --until"
            raise NotKnown(message)
        block += (_told(record, at, row) for at, row in enumerate(rows))
        if len(block) >= BLOCK_ROWS:
            frames.append(_frame(block))
            block = []
    if block:
        frames.append(_frame(block))
    if not frames:
        message = "no prediction of that time is in the log: see --since, --until and --service"
        raise NotKnown(message)
    _write(_labelled(pl.concat(frames, how="diagonal_relaxed"), labels), to)
    return Exported(
        path=str(to),
        predictions=predictions,
        rows=rows_total,
        labelled=sum(1 for name in _names(frames) if name in labels),
        unreadable=unreadable,
    )


def _told(record: PredictionRecord, at: int, row: Row) -> Row:
    """Return a row with what is told about its prediction."""
    shadow = record.shadow_scores
    quality = ",".join(_quality(group, at) for group in record.features)
    return {
        **row,
        "_prediction": record.id,
        "_row": at,
        "_at": int(record.at_s * 1_000_000),
        "_service": record.service,
        "_code": record.code,
        "_version": f"{record.model}@{record.version}" if record.model else None,
        "_arm": record.arm,
        "_degraded": record.degraded,
        "_rollout": record.rollout,
        "_key": record.key,
        "_source": record.source,
        "_score": record.scores[at] if at < len(record.scores) else None,
        "_shadow_score": shadow[at] if at < len(shadow) else None,
        "_features": quality,
    }


def _quality(group: Feature, at: int) -> str:
    """Return how good the looked-up values of one row were, of the first 1,000: the worst of them.

    >>> _quality(Feature("weather", "cached", 42.0, {"temp": "lc"}, {"temp": (0.0, 41.6)}), 1)
    'weather=cached:41.6s'
    """
    letters = [codes[at] for codes in group.codes.values() if at < len(codes)]
    code = CODES[max(map(LETTERS.index, letters))] if letters else group.code
    ages_s = [ages[at] for ages in group.ages_s.values() if at < len(ages)]
    age_s = max(ages_s, default=0.0 if letters else group.age_s)
    return f"{group.group}={code}" + (f":{age_s:.1f}s" if age_s else "")


def _frame(block: list[Row]) -> pl.DataFrame:
    """Return rows as a frame, with the types of what is told about them."""
    frame = pl.DataFrame(block, infer_schema_length=None, strict=False)
    return frame.with_columns(pl.col(name).cast(dtype) for name, dtype in _ABOUT.items())


def _labelled(frame: pl.DataFrame, labels: dict[str, float | None]) -> pl.DataFrame:
    """Return a frame with the label of each prediction."""
    known = pl.DataFrame(
        {"_prediction": list(labels), "_label": list(labels.values())},
        schema={"_prediction": pl.String, "_label": pl.Float64},
    )
    return frame.join(known, on="_prediction", how="left", maintain_order="left")


def _names(frames: list[pl.DataFrame]) -> set[str]:
    """Return the ids of all predictions."""
    return {name for frame in frames for name in frame["_prediction"].unique()}


def _write(frame: pl.DataFrame, to: Path) -> None:
    """Write a file that is there whole or not at all, for its owner alone."""
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{to.name}-", dir=to.absolute().parent)
        os.close(descriptor)
        try:
            frame.write_parquet(beside)
            Path(beside).replace(to)
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as error:
        message = f"{to} cannot be written: {error}; name a file in a folder that is there"
        raise NotKnown(message) from error
