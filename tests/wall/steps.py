"""Steps that do harm, for tests: each row's ``kind`` says what happens to whoever works on it.

Workers import this module by name, in a process of their own. Every step here is an ordinary
function on a data frame; the harm is real.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable

import polars as pl

GOOD = 0
RAISES = 1
SEGFAULTS = 2
EXITS = 3
HANGS = 4
EATS_MEMORY = 5
ABORTS = 6
HANGS_HOLDING_THE_LOCK = 7
HANGS_IGNORING_SIGTERM = 8
RAISES_MEMORY_ERROR = 9
RAISES_SYSTEM_EXIT = 10
SLEEPS = 11
PRINTS_WITHOUT_END = 12

CODES = {
    RAISES: "exception",
    SEGFAULTS: "crash",
    EXITS: "crash",
    HANGS: "hang",
    EATS_MEMORY: "memory",
    ABORTS: "crash",
    HANGS_HOLDING_THE_LOCK: "hang",
    HANGS_IGNORING_SIGTERM: "hang",
    RAISES_MEMORY_ERROR: "memory",
    RAISES_SYSTEM_EXIT: "exception",
    SLEEPS: "hang",
    PRINTS_WITHOUT_END: "hang",
}
"""The reason code of a dead row, by its kind."""

FOREVER_S = 3_600


def rows(kinds: Iterable[int]) -> pl.DataFrame:
    """Return a frame with these kinds, a number and a text in each row."""
    kind = list(kinds)
    return pl.DataFrame(
        {
            "kind": pl.Series(kind, dtype=pl.Int64),
            "number": pl.Series(range(len(kind)), dtype=pl.Int64),
            "text": pl.Series([f"row {i}" for i in range(len(kind))], dtype=pl.String),
        }
    )


def double(frame: pl.DataFrame) -> pl.DataFrame:
    """Add a column that can be checked; do the harm that any row asks for."""
    for kind in sorted(frame["kind"].unique()):
        harm(int(kind))
    return frame.with_columns(doubled=pl.col("number") * 2, loud=pl.col("text").str.to_uppercase())


def harm(kind: int) -> None:
    """Do one kind of harm to the process that this runs in."""
    deed = _DEEDS.get(kind)
    if deed is not None:
        deed()


def _raise() -> None:
    message = "this row is poison"
    raise ValueError(message)


def _segfault() -> None:
    ctypes.string_at(0)


def _exit() -> None:
    os._exit(3)


def _spin() -> None:
    end_s = time.monotonic() + FOREVER_S
    while time.monotonic() < end_s:
        pass


def _sleep() -> None:
    time.sleep(FOREVER_S)


def _print_without_end() -> None:
    while True:
        os.write(1, b"x\n" * 30_000)


def _hold_the_lock() -> None:
    # PyDLL keeps the interpreter lock, so that no other thread of the worker runs meanwhile.
    ctypes.PyDLL(None).sleep(FOREVER_S)


def _ignore_sigterm() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(FOREVER_S)


def _eat_memory() -> None:
    held: list[bytearray] = []
    while len(held) < 4_096:  # 64 GiB: far over any limit in the tests
        held.append(bytearray(b"x" * 2**24))


def _raise_memory_error() -> None:
    raise MemoryError


def _raise_system_exit() -> None:
    sys.exit("a step that wants to leave")


_DEEDS: dict[int, Callable[[], None]] = {
    RAISES: _raise,
    SEGFAULTS: _segfault,
    EXITS: _exit,
    HANGS: _spin,
    EATS_MEMORY: _eat_memory,
    ABORTS: os.abort,
    HANGS_HOLDING_THE_LOCK: _hold_the_lock,
    HANGS_IGNORING_SIGTERM: _ignore_sigterm,
    RAISES_MEMORY_ERROR: _raise_memory_error,
    RAISES_SYSTEM_EXIT: _raise_system_exit,
    SLEEPS: _sleep,
    PRINTS_WITHOUT_END: _print_without_end,
}


# ------------------------------------------------------------- steps that break the contract


def drop_odd(frame: pl.DataFrame) -> pl.DataFrame:
    """Drop half of the rows and tell nobody."""
    return frame.filter(pl.col("number") % 2 == 0)


def duplicate(frame: pl.DataFrame) -> pl.DataFrame:
    """Return every row twice."""
    return pl.concat([frame, frame])


def reverse(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows the other way round."""
    return frame.reverse()


def return_none(frame: pl.DataFrame) -> None:
    """Forget the return statement."""
    frame.with_columns(doubled=pl.col("number") * 2)


def return_text(frame: pl.DataFrame) -> str:
    """Return what is no frame."""
    return f"{frame.height} rows"


def return_other_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Return another schema than anybody declared."""
    return frame.select(other=pl.col("number").cast(pl.String))


def fail_always(frame: pl.DataFrame) -> pl.DataFrame:
    """Name a column that was renamed upstream."""
    return frame.with_columns(speed=pl.col("distance") / pl.col("air_time"))


def hang_always(frame: pl.DataFrame) -> pl.DataFrame:
    """Wait for a dependency that does not answer, whatever the rows."""
    if frame.height:
        _sleep()
    return frame


# -------------------------------------------------------------- steps that are not row-wise


def z_score(frame: pl.DataFrame) -> pl.DataFrame:
    """Scale a column by its mean and deviation over the batch."""
    number = pl.col("number")
    return frame.with_columns(z=(number - number.mean()) / number.std())


def shift(frame: pl.DataFrame) -> pl.DataFrame:
    """Look at the row before."""
    return frame.with_columns(before=pl.col("number").shift(1))


def unique(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the first row of each value."""
    return frame.unique("kind", keep="first", maintain_order=True)


def harmful_z_score(frame: pl.DataFrame) -> pl.DataFrame:
    """Scale over the batch, and do harm as well."""
    return z_score(double(frame))
