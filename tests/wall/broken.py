"""Steps that break their contract, and steps whose rows depend on each other."""

from __future__ import annotations

import time
from typing import Any

import dataframely as dy
import polars as pl

import firedoor as fd
from wall import steps

GOOD_DEST = ["BOS", "LAX", "ORD"]
CITIES = pl.DataFrame({"dest": GOOD_DEST, "city": ["Boston", "Los Angeles", "Chicago"]})


class Doubled(dy.Schema):
    """What ``steps.double`` returns."""

    kind = dy.Int64()
    number = dy.Int64()
    text = dy.String()
    doubled = dy.Int64(max=100)
    loud = dy.String()


class DoubledAsText(dy.Schema):
    """What nothing here returns."""

    doubled = dy.String()


class Tripled(dy.Schema):
    """What nothing here returns either."""

    tripled = dy.Int64()


def raise_on_any_row(frame: pl.DataFrame) -> pl.DataFrame:
    """Fail whatever the rows, but not without any."""
    if frame.height:
        message = "the lookup is not there"
        raise LookupError(message)
    return frame


def raise_even_on_nothing(frame: pl.DataFrame) -> pl.DataFrame:
    """Fail whatever comes."""
    message = f"column 'kind' of {len(frame.columns)} columns is not wanted"
    raise LookupError(message)


def segfault_always(frame: pl.DataFrame) -> pl.DataFrame:
    """Crash whatever the rows."""
    if frame.height:
        steps.harm(steps.SEGFAULTS)
    return frame


def eat_memory_always(frame: pl.DataFrame) -> pl.DataFrame:
    """Outgrow the memory whatever the rows."""
    if frame.height:
        steps.harm(steps.EATS_MEMORY)
    return frame


def hang_even_on_nothing(_: pl.DataFrame) -> pl.DataFrame:
    """Never return."""
    while True:
        time.sleep(steps.FOREVER_S)


def return_lazy(frame: pl.DataFrame) -> pl.LazyFrame:
    """Return a plan and no rows."""
    return frame.lazy()


def return_series(frame: pl.DataFrame) -> pl.Series:
    """Return a column."""
    return frame["number"]


def return_dict(frame: pl.DataFrame) -> dict[str, list[Any]]:
    """Return columns that are no frame."""
    return frame.to_dict(as_series=False)


def return_objects(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a column that only this process can understand."""
    return frame.with_columns(thing=pl.Series([object()] * frame.height, dtype=pl.Object))


def add_one_row(frame: pl.DataFrame) -> pl.DataFrame:
    """Add a row of totals."""
    return pl.concat([frame, frame.tail(1)])


def join_cities(frame: pl.DataFrame) -> pl.DataFrame:
    """Lose rows without a partner, as inner joins do."""
    return frame.join(CITIES, on="dest", how="inner")


def join_cities_twice(frame: pl.DataFrame) -> pl.DataFrame:
    """Double rows whose key is there twice, and lose others."""
    twice = pl.concat([CITIES, CITIES.head(1)])
    return frame.join(twice, on="dest", how="inner").head(frame.height - 1)


def sort_lazily(frame: pl.DataFrame) -> pl.DataFrame:
    """Put the rows into another order, by way of a lazy frame."""
    return frame.lazy().sort("number", descending=True).collect()


def reverse_and_drop(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop a row and return the others the other way round."""
    return frame.filter(pl.col("number") != 3).reverse()


def drop_as_declared(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop what has no city, and say so."""
    return fd.drop(frame, ~pl.col("dest").is_in(GOOD_DEST), because="no city")


def give_back(frame: pl.DataFrame) -> pl.DataFrame:
    """Do nothing."""
    return frame


def matrix_product(frame: pl.DataFrame) -> pl.DataFrame:
    """Multiply all columns with weights, in whatever order the library sums."""
    values = frame.to_numpy()
    weights = values[:1].T * 0 + [[1 / 3], [1 / 7], [-1 / 9], [0.1], [0.7], [-2.5], [3.0], [1e-3]]
    return frame.with_columns(score=pl.Series((values @ weights).ravel()))


# -------------------------------------------------------------- steps that are not row-wise


def rank_over_kind(frame: pl.DataFrame) -> pl.DataFrame:
    """Look at the other rows of a group."""
    return frame.with_columns(share=pl.col("number") / pl.col("number").sum().over("text"))


def forward_fill(frame: pl.DataFrame) -> pl.DataFrame:
    """Take over the value of a row before."""
    known = pl.when(pl.col("number") % 3 == 0).then(pl.col("number"))
    return frame.with_columns(filled=known.forward_fill())


def harmful_shift(frame: pl.DataFrame) -> pl.DataFrame:
    """Look at the row before, and do harm as well."""
    return steps.shift(steps.double(frame))


def harmful_unique(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the first of rows with one text, and do harm as well."""
    return steps.double(frame).unique("text", keep="first", maintain_order=True)


def harmful_rank(frame: pl.DataFrame) -> pl.DataFrame:
    """Look at the other rows of a group, and do harm as well."""
    return rank_over_kind(steps.double(frame))


def slow_z_score(frame: pl.DataFrame) -> pl.DataFrame:
    """Scale over the batch, and take time for every row."""
    time.sleep(frame.height * 0.005)
    return steps.z_score(frame)
