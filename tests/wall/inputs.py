"""Steps in every form in which a step may be given, and some of odd behaviour."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import polars as pl

import firedoor as fd
from wall import steps

THE_ROW = 5


def scale(frame: pl.DataFrame, *, by: int) -> pl.DataFrame:
    """Multiply."""
    return frame.with_columns(doubled=pl.col("number") * by)


class Scaler:
    """A step with a setting: its methods, and itself."""

    def __init__(self, by: int) -> None:
        """Keep the factor."""
        self.by = by

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Multiply."""
        return scale(frame, by=self.by)

    def scale(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Multiply."""
        return scale(frame, by=self.by)

    @staticmethod
    def plain(frame: pl.DataFrame) -> pl.DataFrame:
        """Multiply by two."""
        return scale(frame, by=2)


class Unpicklable(Scaler):
    """A step that holds what no other process can have."""

    def __init__(self) -> None:
        """Hold a lock."""
        super().__init__(2)
        self.lock = threading.Lock()


async def coroutine(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a promise."""
    return frame


def generator(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Return frames one by one."""
    yield frame


class AsyncCall:
    """An object whose call is a coroutine."""

    async def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a promise."""
        return frame


def nested(frame: pl.DataFrame) -> pl.DataFrame:
    """Use a wall inside a worker."""
    return fd.Wall(steps.double)(frame).good if frame.height else frame


def change_in_place(frame: pl.DataFrame) -> pl.DataFrame:
    """Write into the frame that was given."""
    for at in (frame["number"] == 0).arg_true():
        frame[int(at), "number"] = -1
    return frame


def _is_there(frame: pl.DataFrame) -> bool:
    return THE_ROW in frame["number"]


def end_by_real_time_signal(frame: pl.DataFrame) -> pl.DataFrame:
    """End with a signal that Python has no name for."""
    if _is_there(frame):
        os.kill(os.getpid(), 40)
    return frame


class Unprintable(Exception):
    """An error that fails when it is asked what it says."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


def raise_unprintable(frame: pl.DataFrame) -> pl.DataFrame:
    """Raise what cannot be printed."""
    if _is_there(frame):
        raise Unprintable
    return frame


def raise_surrogate(frame: pl.DataFrame) -> pl.DataFrame:
    """Raise with a message that cannot be encoded, as names of files may hold."""
    if _is_there(frame):
        message = "no such file: \udcff"
        raise ValueError(message)
    return frame


def garble(frame: pl.DataFrame) -> pl.DataFrame:
    """Write rubbish to every descriptor that there is."""
    if _is_there(frame):
        for fd_ in range(3, 20):
            try:
                os.write(fd_, b"\xff" * 4_096)
            except OSError:
                continue
    return frame


def hang_up(frame: pl.DataFrame) -> pl.DataFrame:
    """Close every descriptor that there is."""
    if _is_there(frame):
        os.closerange(3, 4_096)
    return frame
