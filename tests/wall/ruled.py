"""Schemas for walls, some with rules that do harm, and steps that need what they declare."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from wall import steps


class Flight(dy.Schema):
    """A flight, as an airport would declare it."""

    origin = dy.Enum(["EWR", "JFK", "LGA"])
    distance = dy.Int64(min=1, max=6_000)
    air_time = dy.Int64(nullable=True)

    @dy.rule()
    def flew_some_time(cls) -> pl.Expr:
        """Nobody lands before the start."""
        return pl.col("air_time").is_null() | (pl.col("air_time") > 0)


class Keyed(dy.Schema):
    """Rows with a key, and a rule over groups of them."""

    number = dy.Int64(primary_key=True)
    text = dy.String()

    @dy.rule()
    def at_most_three_of_a_kind(cls) -> pl.Expr:
        """No text more often than three times."""
        return (pl.len() <= 3).over("text")


class RaisesOnOne(dy.Schema):
    """A rule that raises on some rows."""

    kind = dy.Int64()

    @dy.rule()
    def harmless(cls) -> pl.Expr:
        """Do the harm that a row asks for while it is being judged."""
        return pl.col("kind").map_elements(_harm, return_dtype=pl.Boolean)


class RaisesAlways(dy.Schema):
    """A rule over a column that is not there."""

    kind = dy.Int64()

    @dy.rule()
    def impossible(cls) -> pl.Expr:
        """Name a column that nobody declared."""
        return pl.col("no_such_column") > 0


class GroupCrash(dy.Schema):
    """A rule over groups that dies whenever there are two rows or more."""

    kind = dy.Int64()

    @dy.rule()
    def crashes_in_company(cls) -> pl.Expr:
        """Crash on any two rows."""
        return pl.col("kind").map_batches(_crash_if_two, return_dtype=pl.Boolean)


class Fast(dy.Schema):
    """What ``speeds`` returns."""

    origin = dy.Enum(["EWR", "JFK", "LGA"])
    speed = dy.Float64(nullable=True, max=1_000)


def _harm(kind: int) -> bool:
    steps.harm(kind)
    return True


def _crash_if_two(kinds: pl.Series) -> pl.Series:
    if kinds.len() > 1:
        steps.harm(steps.SEGFAULTS)
    return kinds >= 0


def speeds(frame: pl.DataFrame) -> pl.DataFrame:
    """Add miles an hour: fails if distances are text, which the schema casts at the door."""
    return frame.with_columns(speed=pl.col("distance") / pl.col("air_time") * 60)


def speeds_without_slow(frame: pl.DataFrame) -> pl.DataFrame:
    """Add miles an hour and leave slow ones out."""
    return speeds(frame).filter(pl.col("speed").is_null() | (pl.col("speed") > 100))


def give_back(frame: pl.DataFrame) -> pl.DataFrame:
    """Do nothing."""
    return frame
