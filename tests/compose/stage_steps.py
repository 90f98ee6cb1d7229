"""Steps that stages run in tests."""

from __future__ import annotations

import ctypes
import logging

import dataframely as dy
import polars as pl


class Trip(dy.Schema):
    distance = dy.Int64(min=1, max=6_000)


def double(trips: pl.DataFrame) -> pl.DataFrame:
    return trips.with_columns(twice=pl.col("distance") * 2)


def delicate(trips: pl.DataFrame) -> pl.DataFrame:
    """Raise on a tail of GLIDER and crash on one of NULL."""
    if trips["tail"].str.contains("NULL").any():
        ctypes.string_at(0)
    for tail in trips["tail"]:
        if tail == "GLIDER":
            message = f"no such tail {tail}"
            raise ValueError(message)
    return trips


def only_long(trips: pl.DataFrame) -> pl.DataFrame:
    return trips.filter(pl.col("distance") > 2_000)


def twice_over(trips: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([trips, trips])


def with_weather(trips: pl.DataFrame, observations: pl.DataFrame) -> pl.DataFrame:
    return trips.join(observations, on="origin", how="left")


def calls_a_server(trips: pl.DataFrame) -> pl.DataFrame:
    message = f"port 5432 does not answer for {trips.height} rows"
    raise ConnectionRefusedError(message)


def renamed(trips: pl.DataFrame) -> pl.DataFrame:
    return trips.with_columns(twice=pl.col("distanse") * 2)


def tell(trips: pl.DataFrame, key: str) -> None:
    """Log the key and the number of rows; raise or crash where the first row says so."""
    first = trips["tail"][0]
    if first == "GLIDER":
        message = "the warehouse is away"
        raise OSError(message)
    if first == "NULL":
        ctypes.string_at(0)
    logging.getLogger("sink").info("%s: %d rows", key, trips.height)
