"""The gate at the door: judge what was read by the source's schema."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from firedoor.data.reading.cut import Bad, Cut, Unreadable
from firedoor.data.reading.hints import Types, declared_types
from firedoor.isolation import contrast
from firedoor.quality.gate import Extra, SchemaBroken, judge

if TYPE_CHECKING:
    import dataframely as dy

LINE = "line"
"""Column of lines that could not become rows."""
_LINE_TOO = "raw_line"
"""The same where the rows have a column ``line`` of their own."""
_REASONS = {"row": pl.UInt32, "code": pl.String, "signature": pl.String, "message": pl.String}


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Admitted:
    """A batch after the gate: rows that go on, and dead ones with their reasons."""

    frame: pl.DataFrame
    numbers: pl.Series | None
    """u32; None: rows count from 0."""
    dead: pl.DataFrame
    """Rejected rows as they came, and lines that are no rows, in the order of their numbers."""
    reasons: pl.DataFrame
    """``row`` (u32), ``code``, ``signature``, ``message``, aligned with ``dead``."""


class Door:
    """Admits batches of one source."""

    def __init__(
        self,
        schema: type[dy.Schema] | None,
        *,
        extra: Extra = "keep",
        share_max: float = 0.05,
        absent_is_null: bool = False,
    ) -> None:
        """Take the rules.

        Args:
            schema: what rows have to be; None: anything.
            extra: what becomes of columns that it does not declare.
            share_max: share of lines failing in one way above which the file is at fault.
            absent_is_null: whether a nullable column that no line of a batch has is null.
        """
        self.declared: Types = declared_types(schema)
        self._schema = schema
        self._extra = extra
        self._policy = contrast.ContrastPolicy(share_max=share_max)
        self._absent_is_null = absent_is_null

    def admit(self, cut: Cut) -> Admitted:
        """Part rows that keep the schema from others.

        Raises:
            Unreadable: if the schema cannot be applied, or too many lines fail in one way.
        """
        place = f"{cut.segment.file}, lines {cut.segment.line:,} to "
        place += f"{cut.segment.line + cut.lines - 1:,}"
        if cut.frame.height and not cut.frame.width:
            message = f"{place}: there is no column, the lines hold objects without keys"
            raise Unreadable(message, code="wrong_frame")
        try:
            kept, rows, rejected = self._judged(cut.frame)
        except SchemaBroken as broken:
            raise Unreadable(
                f"{place}: {broken}", code=broken.code, columns=broken.columns
            ) from broken
        self._look(cut, rejected, place)
        numbers = cut.numbers
        if rows is not None:
            numbers = rows if numbers is None else numbers.gather(rows)
        dead, reasons = _dead(cut, rejected)
        return Admitted(frame=kept, numbers=numbers, dead=dead, reasons=reasons)

    def _judged(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series | None, pl.DataFrame]:
        """Return rows that pass, their numbers in the frame if not all did, and the others."""
        none = pl.DataFrame(
            schema={"row": pl.UInt32, "rules": pl.List(pl.String), "message": pl.String}
        )
        if self._schema is None or not frame.height:
            return frame, None, none
        gated = judge(self._completed(frame), self._schema, extra=self._extra)
        kept = None if gated.kept.height == frame.height else gated.rows
        return gated.kept, kept, gated.rejected

    def _completed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add nullable columns that no line has, where nothing can have come in their place."""
        if not self._absent_is_null or self._schema is None:
            return frame
        if any(name not in self.declared for name in frame.columns):
            return frame  # one of those may be the missing one under another name: the gate says so
        columns = self._schema.columns()
        absent = [name for name in columns if name not in frame.schema and columns[name].nullable]
        return frame.with_columns(pl.lit(None).alias(name) for name in absent)

    def _look(self, cut: Cut, rejected: pl.DataFrame, place: str) -> None:
        """Refuse to bury what so many lines have in common that it is no fault of theirs."""
        counts = Counter(bad.signature for bad in cut.bad)
        messages = {bad.signature: bad.message for bad in reversed(cut.bad)}
        for rule, rows in rejected["rules"].explode().drop_nulls().value_counts().iter_rows():
            counts[f"rule {rule}"] += rows
        for rules, message in rejected.select("rules", "message").reverse().iter_rows():
            messages.update({f"rule {rule}": message for rule in rules})
        verdict = contrast.judge(counts, cut.lines, self._policy)
        if verdict is not None:
            columns = tuple(
                verdict.signature.removeprefix("rule ").split("|")[0].split()
                if verdict.signature.startswith("rule ") and "|" in verdict.signature
                else ()
            )
            message = (
                f"{place}: {verdict.why}, so it is the file or the schema, not the lines: "
                f"{verdict.signature}. The first: {messages[verdict.signature]}"
            )
            raise Unreadable(message, code="contrast", columns=columns)


def _dead(cut: Cut, rejected: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return dead rows and lines with their reasons, in the order of their numbers."""
    if not rejected.height and not cut.bad:
        return pl.DataFrame(), pl.DataFrame(schema=_REASONS)
    numbers = rejected["row"]
    if cut.numbers is not None:
        numbers = cut.numbers.gather(numbers)
    rules = pl.concat_str(pl.lit("rule "), pl.col("rules").list.join(", "))
    reasons = rejected.select(
        numbers.alias("row"), pl.lit("schema").alias("code"), rules.alias("signature"), "message"
    )
    rows = cut.frame[rejected["row"]] if rejected.height else pl.DataFrame()
    if not cut.bad:
        return rows, reasons
    name = _LINE_TOO if LINE in cut.frame.columns else LINE
    lines = pl.DataFrame({name: [bad.text for bad in cut.bad]}, schema={name: pl.String})
    reasons = pl.concat([reasons, _reasons_of(cut.bad)])
    rows = pl.concat([rows, lines], how="diagonal") if rejected.height else lines
    order = reasons["row"].arg_sort()
    return rows[order], reasons[order]


def _reasons_of(bad: tuple[Bad, ...]) -> pl.DataFrame:
    """Return why lines are bad."""
    told = {
        "row": [one.number for one in bad],
        "code": [one.code for one in bad],
        "signature": [one.signature for one in bad],
        "message": [one.message for one in bad],
    }
    return pl.DataFrame(told, schema=_REASONS)
