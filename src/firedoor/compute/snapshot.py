"""Read what a sink has written, part it, and write the parts. Runs in a worker of its own.

Decoding Parquet is work on a stranger's bytes, and parting may exhaust memory: neither is for the
process that watches over others.
"""

from __future__ import annotations

import hashlib
import io
from datetime import date
from pathlib import Path

import polars as pl

from firedoor.compute.jobbench import Run
from firedoor.compute.snapshot_order import (
    FOUND,
    KEPT,
    ORDER,
    Found,
    PartFound,
    SnapshotOrder,
    decode_order,
    encode,
)
from firedoor.errors import FiredoorError, FrameRefused, shorten
from firedoor.evaluation.leakage import Leak, leakage
from firedoor.evaluation.splits import split
from firedoor.spec.dataset import leak_policy_of, policy_of
from firedoor.spec.dataset_plan import DatasetPlan
from firedoor.wire.dataset import Provenance, Span

WHOLE = "all"
"""The only part of what is not parted."""
ROWS = "rows.parquet"


def take(run: Run, folder: Path) -> None:
    """Do as the order says that was kept for it, and keep what came of it."""
    kept = run.kept(KEPT)
    assert kept is not None, "there is an order"
    order = decode_order((kept / ORDER).read_bytes())
    with run.checkpoint(KEPT) as made:
        try:
            found = _parted(order, folder, made) if order.dataset.split else _whole(order, folder)
        except FiredoorError as error:
            found = Found(refused=str(error))
        (made / FOUND).write_bytes(encode(found))


def _whole(order: SnapshotOrder, folder: Path) -> Found:
    """Look at files that are handed to jobs as they are."""
    columns: dict[str, str] = {}
    batches, hashes, rows, spans = [], [], 0, []
    for name in order.names:
        data = _bytes(folder, name)
        hashes.append(hashlib.sha256(data).hexdigest())
        frame = _frame(data, name)
        rows += frame.height
        for column, dtype in frame.schema.items():
            known = columns.setdefault(column, str(dtype))
            columns[column] = known if str(dtype) in known.split(" or ") else f"{known} or {dtype}"
        batches.append(_mark(data, name, order.mark))
        spans.append(_span(frame, ""))
    span = _around(spans)
    part = PartFound(name=WHOLE, rows=rows, span=span)
    return Found(
        sha256=tuple(hashes), rows=rows, columns=columns, parts=(part,), span=span,
        provenance=_provenance(batches),
    )  # fmt: skip


def _parted(order: SnapshotOrder, folder: Path, made: Path) -> Found:
    """Part the rows of all files, compare the parts, and write them."""
    dataset = order.dataset
    assert dataset.split is not None, "it is parted"
    frames, batches, hashes = [], [], []
    for name in order.names:
        data = _bytes(folder, name)
        hashes.append(hashlib.sha256(data).hexdigest())
        batches.append(_mark(data, name, order.mark))
        frames.append(_frame(data, name))
        _check_alike(frames[0], order.names[0], frames[-1], name)
    ends = pl.Series([frame.height for frame in frames], dtype=pl.UInt64).cum_sum()
    frame = pl.concat(frames)
    frames.clear()
    if dataset.label and dataset.label not in frame.columns:
        known = ", ".join(frame.columns[:20])
        message = f"there is no column {dataset.label!r}, the label: name one of {known}"
        raise FrameRefused(message)
    parting = split(frame, policy_of(dataset.split))
    if dataset.label:  # nothing can be learnt from a row without one, nor judged by it
        unknown = frame[dataset.label].is_null()
        parting = parting.zip_with(~unknown, pl.Series([None], dtype=parting.dtype))
    rows = {name: (parting == name).fill_null(value=False) for name in dataset.split.names}
    parts = {name: frame.filter(mask) for name, mask in rows.items()}
    _check_filled(parts)
    where = _Where(order.names, ends, {name: mask.arg_true() for name, mask in rows.items()})
    leaks = _compared(dataset, parts, where)
    column = dataset.split.column
    told = []
    for name, part in parts.items():
        _write(dataset, name, part, made)
        told.append(PartFound(name=name, rows=part.height, span=_span(part, column)))
    return Found(
        sha256=tuple(hashes), rows=frame.height, columns=_columns(frame), parts=tuple(told),
        provenance=_provenance(batches), span=_span(frame, column), leaks=leaks,
        apart=parting.null_count(),
    )  # fmt: skip


class _Where:
    """Says of a row of a part which row of which file it was."""

    def __init__(self, names: tuple[str, ...], ends: pl.Series, rows: dict[str, pl.Series]) -> None:
        """Remember.

        Args:
            names: the files.
            ends: how many rows there are up to the end of each.
            rows: which rows of all are in a part.
        """
        self._names, self._ends, self._rows = names, ends, rows

    def told(self, part: str, row: int) -> str:
        """Return a row as text."""
        at = int(self._rows[part][row])
        file = int((self._ends <= at).sum())
        before = int(self._ends[file - 1]) if file else 0
        return f"row {at - before} of {self._names[file]}"


def _compared(
    dataset: DatasetPlan, parts: dict[str, pl.DataFrame], where: _Where
) -> tuple[str, ...]:
    """Return what parts share that may pass.

    Raises:
        FrameRefused: if they share too much, naming rows.
    """
    if dataset.leakage is None:
        return ()
    policy = leak_policy_of(dataset.leakage)
    report = leakage(parts, policy)

    def told(leak: Leak) -> str:
        keys = ", ".join(policy.key)
        what = f"the {keys} of rows" if leak.kind == "key" else "near-duplicates of rows"
        pairs = "; ".join(
            f"{where.told(leak.later, later)} as {where.told(leak.earlier, earlier)}"
            for earlier, later in leak.examples
        )
        share = f"{leak.rows:,} rows of {leak.later!r} ({leak.share:.2%})"
        return f"{share} have {what} of {leak.earlier!r}: {pairs}"

    refused = [told(leak) for leak in report.leaks if leak.refused]
    if refused:
        remedy = (
            "split by a column that keeps such rows together, drop them, or declare in `leakage` "
            "what may be shared"
        )
        raise FrameRefused("\n".join([f"parts share what they must not; {remedy}", *refused]))
    return tuple(told(leak) for leak in report.leaks)


def _check_filled(parts: dict[str, pl.DataFrame]) -> None:
    """Refuse parts without rows: nothing can be learnt from them, nor judged by them."""
    empty = [name for name, part in parts.items() if not part.height]
    if empty:
        held = ", ".join(f"{name} {part.height:,}" for name, part in parts.items() if part.height)
        message = (
            f"no row is in part {', '.join(empty)}, of {held or 'none at all'}: correct `split`, "
            "or wait until there are such rows"
        )
        raise FrameRefused(message)


def _check_alike(first: pl.DataFrame, first_name: str, frame: pl.DataFrame, name: str) -> None:
    """Refuse files whose columns differ: which of them a row lacks would be a guess."""
    if frame.schema == first.schema:
        return
    here, there = set(frame.schema.items()), set(first.schema.items())
    differing = ", ".join(f"{column} {dtype}" for column, dtype in [*(here ^ there)][:5])
    message = (
        f"{name} and {first_name} have other columns, or in another order"
        f"{': ' + differing if differing else ''}; write both with one version of the pipeline"
    )
    raise FrameRefused(message)


def _write(dataset: DatasetPlan, name: str, part: pl.DataFrame, made: Path) -> None:
    """Write a part: as it is, or sealed, inputs and label apart."""
    if name not in dataset.sealed:
        _put(part, made / "open" / name)
        return
    _put(part.drop(dataset.label), made / "sealed" / name / "inputs")
    _put(part.select(dataset.label), made / "sealed" / name / "labels")


def _put(part: pl.DataFrame, folder: Path) -> None:
    """Write rows into a folder."""
    folder.mkdir(parents=True)
    part.write_parquet(folder / ROWS)


def _bytes(folder: Path, name: str) -> bytes:
    """Return a file, whole: what is hashed is what is decoded."""
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        message = f"{name} cannot be read: {error.strerror or error}"
        raise FrameRefused(message) from error


def _frame(data: bytes, name: str) -> pl.DataFrame:
    """Return the rows of a file."""
    try:
        return pl.read_parquet(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:
        # polars raises many kinds over bytes that are no Parquet.
        message = f"{name} is no Parquet file: {shorten(str(error))}; move it away"
        raise FrameRefused(message) from error


def _mark(data: bytes, name: str, key: str) -> str:
    """Return which zone, batch and payload a file says it is of; empty: it does not say."""
    try:
        return str(pl.read_parquet_metadata(io.BytesIO(data)).get(key, ""))
    except Exception as error:
        # As above.
        message = f"{name} is no Parquet file: {shorten(str(error))}; move it away"
        raise FrameRefused(message) from error


def _provenance(marks: list[str]) -> Provenance:
    """Return which batches the files are."""
    known = [mark for mark in marks if mark]
    batches = [mark.split("/")[1] for mark in known if mark.count("/") == 2]  # noqa: PLR2004
    listing = hashlib.sha256("\n".join(known).encode()).hexdigest() if known else ""
    return Provenance(
        batches=len(batches), first=min(batches, default=""), last=max(batches, default=""),
        unknown=len(marks) - len(batches), listing=listing,
    )  # fmt: skip


def _columns(frame: pl.DataFrame) -> dict[str, str]:
    """Return dtype by column."""
    return {name: str(dtype) for name, dtype in frame.schema.items()}


def _span(frame: pl.DataFrame, column: str) -> Span | None:
    """Return the times of rows: in a column, or in the first that holds times."""
    times = [name for name, dtype in frame.schema.items() if dtype in (pl.Date, pl.Datetime)]
    if not column and not times:
        return None
    values = frame[column or times[0]]
    if values.null_count() == values.len():
        return None
    first, last = values.min(), values.max()
    return Span(column=values.name, first=_moment(first), last=_moment(last))


def _moment(value: object) -> str:
    """Return a time as ISO 8601."""
    return value.isoformat() if isinstance(value, date) else str(value)


def _around(spans: list[Span | None]) -> Span | None:
    """Return the span of the spans of files; None: there is none, or of several columns."""
    known = [span for span in spans if span is not None]
    if len({span.column for span in known}) != 1:
        return None
    first, last = min(span.first for span in known), max(span.last for span in known)
    return Span(column=known[0].column, first=first, last=last)
