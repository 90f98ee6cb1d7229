"""Steps that call a service through a guard. The service is a file: what stands in it is the state.

Behind the wall they run in a worker, with a guard of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl

import firedoor as fd

SERVICE = "CALLS_OUT_SERVICE"
POISON = 13
"""A row that the service cannot answer for, whenever it is asked."""

calls = 0
unguarded = 0
twice = fd.RetryPolicy(attempts=3, wait_min_s=0.001, wait_max_s=0.001)
guard = fd.Guard(
    "step->service", breaker=fd.BreakerPolicy(consecutive=4, calls_min=100, open_s=0.05, jitter=0)
)
patient = fd.Guard("patient->service", retry=twice, budget=False, breaker=False)
timed = fd.Guard("timed->service", timeout_s=60, breaker=False)


def ask(rows: Sequence[int]) -> float:
    """Ask the service about rows."""
    global calls  # noqa: PLW0603 - what is counted is what this worker did
    calls += 1
    state = Path(os.environ[SERVICE]).read_text()
    if state == "down":
        message = "nobody listens"
        raise ConnectionRefusedError(message)
    if POISON in rows:
        message = "the service cannot answer for 13"
        raise ConnectionResetError(message)
    return float(len(rows))


def enrich(frame: pl.DataFrame) -> pl.DataFrame:
    """Ask about all rows in one call."""
    answer = guard.call(ask, frame["x"].to_list())
    return frame.with_columns(served=pl.lit(answer > 0), pid=os.getpid())


def enrich_and_wrap(frame: pl.DataFrame) -> pl.DataFrame:
    """Say in words of its own what went wrong."""
    try:
        return enrich(frame)
    except Exception as error:
        message = "cannot enrich"
        raise RuntimeError(message) from error


def enrich_and_blame_the_rows(frame: pl.DataFrame) -> pl.DataFrame:
    """Say that what went wrong before does not matter."""
    try:
        return enrich(frame)
    except Exception:  # noqa: BLE001 - it is the point
        message = "these rows are bad"
        raise ValueError(message) from None


def call_patiently(frame: pl.DataFrame) -> pl.DataFrame:
    """Call up to three times, unless somebody further out calls again."""
    global calls  # noqa: PLW0603 - as above
    calls = 0
    with contextlib.suppress(ConnectionError):
        patient.call(ask, frame["x"].to_list())
    return frame.with_columns(calls=pl.lit(calls))


def tell_time(frame: pl.DataFrame) -> pl.DataFrame:
    """Say how much time a call has."""
    left_s = timed.call(fd.remaining_s)
    return frame.with_columns(left_s=pl.lit(left_s))


aged = fd.Guard(
    "aged->service", breaker=False, fallback=[fd.Stale(age_max_s=3600), fd.Constant(-1.0)]
)


def go_on_without(frame: pl.DataFrame) -> pl.DataFrame:
    """Take an older answer to the same rows, or a constant."""
    return frame.with_columns(answer=pl.lit(aged.call(ask, tuple(frame["x"]))))
