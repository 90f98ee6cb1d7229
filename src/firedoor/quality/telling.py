"""Say, for each rejected row, which rules it failed and with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from firedoor.errors import shorten

if TYPE_CHECKING:
    import dataframely as dy

    from firedoor.quality.rules import Failure

COLUMNS_MAX = 6
"""Columns whose values are shown for one rule."""
VALUE_CHARACTERS = 60
"""Characters shown of one value."""
ITEMS_MAX = 8
"""Items shown of one list."""


def tell(frame: pl.DataFrame, schema: type[dy.Schema], failures: list[Failure]) -> pl.DataFrame:
    """Return ``row`` (u32), ``rules`` (list of str) and ``message`` (str) for every failed row.

    Args:
        frame: the frame as it came, before casting: its values are shown.
        schema: the schema, for what was declared.
        failures: which rows failed which rules.
    """
    if not failures:
        return pl.DataFrame(
            schema={"row": pl.UInt32, "rules": pl.List(pl.String), "message": pl.String}
        )
    said = pl.concat(_tell_one(frame, schema, failure) for failure in failures)
    # The sort is stable: a row's rules stay in the order in which they were evaluated.
    return (
        said.sort("row", maintain_order=True)
        .group_by("row", maintain_order=True)
        .agg(pl.col("rule").alias("rules"), pl.col("message").str.join("; "))
    )


def _tell_one(frame: pl.DataFrame, schema: type[dy.Schema], failure: Failure) -> pl.DataFrame:
    """Return ``row``, ``rule`` and ``message`` for the rows that failed one rule."""
    rows = failure.failed.arg_true().cast(pl.UInt32).alias("row")
    shown = [
        _show(frame.get_column(name).gather(rows)).alias(name)
        for name in failure.columns[:COLUMNS_MAX]
    ]
    if failure.is_cast:
        declared = schema.columns()[failure.columns[0]].dtype
        message = pl.concat_str(pl.lit(f"{failure.rule}: "), *shown, pl.lit(f" is not {declared}"))
    else:
        joint = " on " if failure.raised else ": "
        head = pl.lit(failure.rule + (f" raised {failure.raised}" if failure.raised else ""))
        values = [
            pl.concat_str(pl.lit(f"{joint if first else ', '}{series.name}="), series)
            for first, series in zip([True] + [False] * len(shown), shown, strict=False)
        ]
        message = pl.concat_str(head, *values)
    told = pl.DataFrame(rows).with_columns(message.alias("message"))
    return told.select("row", pl.lit(failure.rule).alias("rule"), "message")


def _show(values: pl.Series) -> pl.Series:
    """Return values as text, shortened; strings in quotes."""
    dtype = values.dtype
    if isinstance(dtype, (pl.String, pl.Categorical, pl.Enum)):
        text = values.cast(pl.String)
        cut = pl.when(text.str.len_chars() > VALUE_CHARACTERS).then(pl.lit("...'"))
        quoted = pl.concat_str(
            pl.lit("'"), text.str.slice(0, VALUE_CHARACTERS), cut.otherwise(pl.lit("'"))
        )
        return pl.select(quoted.fill_null("null").alias(values.name)).to_series()
    if dtype.is_nested() or isinstance(dtype, (pl.Binary, pl.Object)):
        short = values.list.head(ITEMS_MAX) if isinstance(dtype, pl.List) else values
        texts = [shorten(repr(value), VALUE_CHARACTERS) for value in short.to_list()]
        return pl.Series(values.name, texts, dtype=pl.String)
    if isinstance(dtype, pl.Duration):
        values = values.dt.to_string("polars")
    return values.cast(pl.String).fill_null("null")
