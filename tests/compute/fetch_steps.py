"""A function that looks up over TCP, and does what the store tells it to do wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable

import polars as pl

PORT = "FIREDOOR_TEST_STORE"


def temp_of(origin: str) -> float:
    """Return the temperature at an origin."""
    return sum(origin.encode()) + len(origin) / 8


def hang(good: pl.DataFrame) -> pl.DataFrame:
    time.sleep(60)
    return good


def crash(good: pl.DataFrame) -> pl.DataFrame:
    os.kill(os.getpid(), signal.SIGSEGV)
    return good


def refuse(good: pl.DataFrame) -> pl.DataFrame:
    del good
    message = "the store says no"
    raise RuntimeError(message)


def more(good: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([others(good).with_columns(temp=pl.lit(0.0)), good])


def others(good: pl.DataFrame) -> pl.DataFrame:
    return good.with_columns(origin=pl.col("origin") + "!")


def twice(good: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([good, good.head(1).with_columns(temp=pl.lit(0.0)), good])


def nan(good: pl.DataFrame) -> pl.DataFrame:
    no_number = pl.when(pl.col("origin") == "JFK").then(float("nan"))
    return good.with_columns(temp=no_number.otherwise("temp"))


WAYS: dict[str, Callable[[pl.DataFrame], object]] = {
    "well": lambda good: good,
    "hang": hang,
    "crash": crash,
    "raise": refuse,
    "reversed": lambda good: good.reverse(),
    "others": others,
    "more": more,
    "twice": twice,
    "nan": nan,
    "text": lambda good: good.with_columns(pl.col("temp").cast(pl.String)),
    "keyless": lambda good: good.drop("origin"),
    "valueless": lambda good: good.drop("temp"),
    "dict": lambda good: good.to_dict(as_series=False),
    "integers": lambda good: good.with_columns(pl.col("temp").round().cast(pl.Int16)),
}


def fetch(keys: pl.DataFrame) -> object:
    """Ask the store how to answer, and answer so."""
    with socket.create_connection(("127.0.0.1", int(os.environ[PORT])), timeout=5) as line:
        line.sendall(b"how\n")
        how = json.loads(line.makefile().readline())
    temps = pl.Series("temp", [temp_of(key) for key in keys["origin"]], dtype=pl.Float64)
    return WAYS[how](keys.with_columns(temps))
