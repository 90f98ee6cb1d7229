"""Steps that do no harm by themselves: slow, large, dropping, or asking a server what to do."""

from __future__ import annotations

import ctypes
import datetime as dt
import os
import socket
import threading
import time
from collections.abc import Sequence
from decimal import Decimal
from types import TracebackType
from typing import Self

import polars as pl

import firedoor as fd
from wall import steps

SECONDS_A_ROW = 0.005
BYTES_A_ROW = 2**20


def give_back(frame: pl.DataFrame) -> pl.DataFrame:
    """Do nothing."""
    return frame


def harm_only(frame: pl.DataFrame) -> pl.DataFrame:
    """Do the harm that rows ask for, and nothing else."""
    for kind in sorted(frame["kind"].unique()):
        steps.harm(int(kind))
    return frame


def drop_every_fourth(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop some rows and say so; do the harm that any row asks for."""
    frame = harm_only(frame)
    return fd.drop(frame, pl.col("number") % 4 == 0, because="every fourth")


def slow_by_the_row(frame: pl.DataFrame) -> pl.DataFrame:
    """Take time for every row."""
    time.sleep(frame.height * SECONDS_A_ROW)
    return frame


def large_by_the_row(frame: pl.DataFrame) -> pl.DataFrame:
    """Take memory for every row."""
    held = [bytearray(b"x" * BYTES_A_ROW) for _ in range(frame.height)]
    return frame.head(len(held))


def every_dtype(height: int) -> pl.DataFrame:
    """Return rows with a column of nearly every dtype that polars has, nulls included."""
    day = dt.date(2013, 1, 1)
    noon = dt.datetime(2013, 1, 1, 12, tzinfo=dt.UTC)
    return pl.DataFrame(
        {
            "int": pl.Series([i - 1 for i in range(height)], dtype=pl.Int8),
            "uint": pl.Series(range(height), dtype=pl.UInt64),
            "float": pl.Series([None, *[i / 3 for i in range(1, height)]], dtype=pl.Float32),
            "bool": [i % 2 == 0 for i in range(height)],
            "text": ["é" * i for i in range(height)],
            "bytes": [bytes(range(i)) for i in range(height)],
            "date": [day + dt.timedelta(days=i) for i in range(height)],
            "moment": [noon + dt.timedelta(hours=i) for i in range(height)],
            "time": [dt.time(i, 1) for i in range(height)],
            "span": [dt.timedelta(seconds=i) for i in range(height)],
            "money": pl.Series(
                [Decimal(f"{i}.25") for i in range(height)], dtype=pl.Decimal(12, 2)
            ),
            "label": pl.Series([f"c{i % 3}" for i in range(height)], dtype=pl.Categorical),
            "choice": pl.Series(["a"] * height, dtype=pl.Enum(["b", "a"])),
            "list": [list(range(i)) for i in range(height)],
            "array": pl.Series([[i, i] for i in range(height)], dtype=pl.Array(pl.Int16, 2)),
            "struct": [{"x": i, "y": {"z": [f"{i}"]}} for i in range(height)],
            "nothing": pl.Series([None] * height, dtype=pl.Null),
        }
    )


# ------------------------------------------------------------------------ faults by appointment


class Oracle:
    """Tells whoever connects what to do: each of ``deeds`` once, and then nothing any more.

    A step that asks it fails by appointment and once only, which no step can do by itself: a worker
    that dies takes its memory along.
    """

    def __init__(self, deeds: Sequence[str]) -> None:
        """Listen on a port of this machine."""
        self._deeds = list(deeds)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked = 0
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self) -> Self:
        """Answer from now on."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Answer no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _answer(self) -> None:
        while True:
            try:
                asking, _ = self._listener.accept()
            except OSError:
                return
            with asking:
                self.asked += 1
                asking.sendall((self._deeds.pop(0) if self._deeds else "nothing").encode())


def ask(frame: pl.DataFrame) -> pl.DataFrame:
    """Do what the oracle at the rows' port says."""
    for port in frame["port"].unique():
        if port:
            with socket.create_connection(("127.0.0.1", port)) as oracle:
                _obey(oracle.recv(100).decode())
    return frame


def _obey(deed: str) -> None:
    if deed == "raise":
        message = "the dependency was away for a moment"
        raise ConnectionError(message)
    if deed == "crash":
        ctypes.string_at(0)
    if deed == "exit":
        os._exit(3)
    if deed == "hang":
        time.sleep(steps.FOREVER_S)
