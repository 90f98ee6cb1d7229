"""Starts a thread when it is imported, which goes on for ever."""

import threading

import polars as pl

from wall import steps

_never = threading.Event()
threading.Thread(target=_never.wait, daemon=True).start()


def step(frame: pl.DataFrame) -> pl.DataFrame:
    """Double."""
    return steps.double(frame)
