"""Frames on their way back: decode what a worker sent, and put the parts of a batch together.

Pure functions on tables. What a worker sends is not trusted: user code may have written over its
memory, so everything here raises ``Garbled`` rather than believe it.
"""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from firedoor.compute import ipc
from firedoor.compute.held import Held
from firedoor.errors import StepAtFault
from firedoor.isolation.narrow import Cause, Guilty
from firedoor.quality.grades import Grade, merged
from firedoor.wire.framing import Garbled, sections
from firedoor.wire.messages import Gated, Passed

DROPS_MIN = 10
"""Rows that may vanish from a batch before a declared share is held against them."""

REASONS: dict[str, pl.DataType | type[pl.DataType]] = {
    "row": pl.UInt32,
    "code": pl.String,
    "signature": pl.String,
    "message": pl.String,
    "attempts": pl.Struct({str(cause): pl.UInt16 for cause in Cause}),
}


@dataclass(frozen=True, slots=True)
class Output:
    """What came out of rows ``start`` to ``stop`` of the batch that passed the gate.

    ``rows`` numbers each row of ``frame`` in that batch; None where the step hides it. ``rejected``
    holds rows whose output failed the output's schema: ``row``, ``rules``, ``message``.
    """

    start: int
    stop: int
    held: Held
    rows: pl.Series | None
    rejected: pl.DataFrame | None
    drops: dict[str, int]
    expanded: bool = False
    schema: str = ""
    quality: dict[str, Grade] = field(default_factory=dict)
    """Of the answers that the step got by guards."""

    @property
    def vanished(self) -> int:
        """How many rows went in and are nowhere; 0 where rows become several or none."""
        if self.expanded:
            return 0
        rejected = self.rejected.height if self.rejected is not None else 0
        accounted = self.held.height + rejected + sum(self.drops.values())
        return self.stop - self.start - accounted


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a batch: good rows, their numbers, and the reasons of the others."""

    good: Held
    rows: pl.Series | None
    reasons: pl.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)
    schema: str = ""
    """Fingerprint of the columns and types of ``good``, where it is known."""
    quality: dict[str, Grade] = field(default_factory=dict)
    """Of the answers that the step got by guards, the worst."""


def decode(part: io.BytesIO) -> pl.DataFrame:
    """Return the frame in Arrow IPC stream bytes.

    Raises:
        Garbled: if they are none.
    """
    try:
        return ipc.decode(part)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # polars panics on some broken input, and a panic is no Exception.
        message = f"not Arrow IPC: {error}"
        raise Garbled(message) from error


def of_passed(reply: Passed, payload: io.BytesIO, *, as_bytes: bool) -> Output:
    """Return the output of one slice; with ``as_bytes`` its rows are not decoded."""
    parts = sections(payload, reply.sections)
    first = parts.pop(0)
    if as_bytes:
        held = Held.of_bytes(first.getvalue(), reply.rows_out)
    else:
        held = Held.of_frame(decode(first))
    rows: pl.Series | None = None
    if reply.identity == "traced":
        rows = decode(parts.pop(0))["row"] + reply.start
    elif reply.identity == "position":
        rows = numbers(reply.start, reply.stop)
    rejected = decode(parts.pop(0)) if reply.rejected else None
    if held.height != reply.rows_out or (rows is not None and rows.len() != held.height):
        message = f"{held.height} rows came where {reply.rows_out} were announced"
        raise Garbled(message)
    expanded = reply.identity == "expanded"
    return Output(
        reply.start,
        reply.stop,
        held,
        rows,
        rejected,
        reply.drops,
        expanded,
        reply.schema,
        reply.quality,
    )


def of_gated(reply: Gated, payload: io.BytesIO) -> pl.DataFrame | None:
    """Return the rows that the gate rejected, None if there are none."""
    if not reply.rejected:
        return None
    (part,) = sections(payload, reply.sections)
    rejected = decode(part)
    if rejected.height != reply.rejected or rejected.columns != ["row", "rules", "message"]:
        message = "the gate's verdict is not what it announced"
        raise Garbled(message)
    return rejected


def numbers(start: int, stop: int) -> pl.Series:
    """Return the numbers ``start`` to ``stop`` (excluded) as u32."""
    return pl.int_range(start, stop, eager=True, dtype=pl.UInt32).alias("row")


def without(rows: int, bad: pl.Series) -> pl.Series:
    """Return the numbers 0 to ``rows`` that are not in ``bad``."""
    everyone = numbers(0, rows)
    return everyone.filter(~everyone.is_in(bad.implode()))


def renumber(output: Output, rows: pl.Series) -> Output:
    """Return an output of gathered rows, numbered by the rows they were gathered from."""
    rejected = output.rejected
    if rejected is not None:
        rejected = rejected.with_columns(row=rows.gather(rejected["row"]))
    numbered = None if output.rows is None else rows.gather(output.rows)
    return replace(output, rows=numbered, rejected=rejected)


def shifted(settled: Settled, by: int) -> Settled:
    """Return a piece's outcome, numbered as rows of the whole frame."""
    if not by:
        return settled
    return replace(
        settled,
        rows=None if settled.rows is None else settled.rows + by,
        reasons=settled.reasons.with_columns(row=pl.col("row") + by),
    )


def joined(pieces: Sequence[Settled]) -> Settled:
    """Return the outcome of a frame that went in pieces."""
    if len(pieces) == 1:
        return pieces[0]
    dropped: Counter[str] = Counter()
    for piece in pieces:
        dropped.update(piece.dropped)
    rows = [piece.rows for piece in pieces if piece.rows is not None]
    return Settled(
        concatenated([piece.good for piece in pieces]),
        pl.concat(rows) if len(rows) == len(pieces) else None,
        pl.concat([piece.reasons for piece in pieces]),
        dict(dropped),
        pieces[0].schema,
        functools.reduce(merged, (piece.quality for piece in pieces)),
    )


def concatenated(parts: Sequence[Held]) -> Held:
    """Return rows one below the other; a column of nulls takes its type from the others."""
    if len(parts) == 1:
        return parts[0]
    return Held.of_frame(pl.concat([part.frame for part in parts], how="vertical_relaxed"))


@functools.cache
def no_reasons() -> pl.DataFrame:
    """Return the empty table of reasons, which most batches share."""
    return pl.DataFrame(schema=REASONS)


def no_attempts() -> pl.Expr:
    """Return the attempts of rows that no run was made of."""
    return pl.struct(pl.lit(0, dtype=pl.UInt16).alias(str(cause)) for cause in Cause)


def guilty_reasons(guilty: Sequence[Guilty]) -> pl.DataFrame:
    """Return guilty rows as a table of reasons."""
    none = {str(cause): 0 for cause in Cause}
    columns = {
        "row": [g.row for g in guilty],
        "code": [g.failure.code or str(g.failure.cause) for g in guilty],
        "signature": [g.failure.signature for g in guilty],
        "message": [g.failure.message for g in guilty],
        "attempts": [none | g.counts() for g in guilty],
    }
    return pl.DataFrame(columns, schema=REASONS)


def rule_reasons(rejected: pl.DataFrame, code: str) -> pl.DataFrame:
    """Return rows that failed rules as a table of reasons."""
    return rejected.select(
        pl.col("row").cast(pl.UInt32),
        pl.lit(code).alias("code"),
        pl.concat_str(pl.lit("rule "), pl.col("rules").list.join(", ")).alias("signature"),
        pl.col("message"),
        no_attempts().alias("attempts"),
    )


def rule_counts(rejected: pl.DataFrame) -> Counter[str]:
    """Return how many rows failed each rule."""
    rules = rejected["rules"].explode().drop_nulls()
    return Counter(dict(rules.value_counts().iter_rows()))


def reasons_of(came: Sequence[Output], guilty: Sequence[Guilty]) -> list[pl.DataFrame]:
    """Return the reasons of guilty rows and of rows whose output failed its schema."""
    tables = [guilty_reasons(guilty)] if guilty else []
    tables += [
        rule_reasons(output.rejected, "out_schema")
        for output in came
        if output.rejected is not None
    ]
    return tables


def in_order(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return tables of reasons as one, by row."""
    return pl.concat(tables).sort("row") if tables else no_reasons()


def rows_of(came: Sequence[Output]) -> pl.Series | None:
    """Return the numbers of all rows that came out, None if some are not known."""
    known = [output.rows for output in came if output.rows is not None]
    if len(known) < len(came):
        return None
    return pl.concat(known) if known else numbers(0, 0)


def drops_of(came: Sequence[Output]) -> dict[str, int]:
    """Return how many rows were dropped as declared, by reason."""
    dropped: Counter[str] = Counter()
    for output in came:
        dropped.update(output.drops)
        dropped["may_drop"] += output.vanished
    return {why: count for why, count in dropped.items() if count}


def check_drops(came: Sequence[Output], *, rows: int, may_drop: float) -> None:
    """Refuse rows that vanish undeclared: the classic inner join.

    Raises:
        StepAtFault: if more rows vanish than are declared.
    """
    vanished = sum(output.vanished for output in came)
    if vanished <= 0 or (may_drop and vanished <= max(DROPS_MIN, may_drop * rows)):
        return
    limit = f"may_drop={may_drop:g}" if may_drop else "nothing declared"
    raise StepAtFault(
        f"{vanished:,} of {rows:,} rows vanish in the step, against {limit}: look for an inner "
        "join or a filter, and declare it with may_drop=, or with "
        'firedoor.drop(frame, where, because="...")',
        code="rows_vanished",
        signature="rows vanish",
        failed_rows=vanished,
    )
