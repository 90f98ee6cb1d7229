"""Parquet: a row a row, read in windows so that a row group is not decoded for every batch."""

from __future__ import annotations

import os

import polars as pl

from firedoor.data.reading.cut import Cut, Unreadable
from firedoor.data.reading.files import identity_of
from firedoor.errors import shorten
from firedoor.wire.records import Position, Segment

WINDOW_BATCHES = 8
"""Batches that are read from the file at once."""


class ParquetFile:
    """One file. See ``files.OpenFile``; places are counted in rows."""

    def __init__(self, path: str) -> None:
        """Look at how many rows it has.

        Raises:
            Unreadable: if it is truncated, or no Parquet file at all.
        """
        self.path = path
        self.identity = identity_of(path)
        self._rows = 0
        self._read = 0
        self._window: tuple[int, pl.DataFrame] = (0, pl.DataFrame())
        self._scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        self._rows = int(self._collected(self._scan.select(pl.len())).item())

    def cut(self, offset: int, line: int, rows: int) -> Cut | None:  # noqa: ARG002 - counted in rows
        """Return the batch at a place, None at the end. See ``files.OpenFile.cut``."""
        self._read = line
        if line >= self._rows:
            return None
        stop = min(line + rows, self._rows)
        start, window = self._window
        if line < start or stop > start + window.height:
            start = line
            window = self._collected(self._scan.slice(line, WINDOW_BATCHES * rows))
            self._window = (start, window)
        frame = window.slice(line - start, stop - line)
        if frame.height != stop - line:
            raise Unreadable(self._damaged("it has fewer rows than it says"), code="damaged")
        size = int(self.identity.partition("-")[0])
        return Cut(
            frame=frame,
            segment=Segment(file=self.path, line=line + 1, rows=frame.height),
            position=Position(
                file=self.path,
                offset=size if stop == self._rows else 0,
                line=stop,
                identity=self.identity,
            ),
        )

    def close(self) -> None:
        """Let go of the rows."""
        self._window = (0, pl.DataFrame())

    def _collected(self, scan: pl.LazyFrame) -> pl.DataFrame:
        """Return rows of the file."""
        try:
            return scan.collect()
        except OSError:
            raise
        except Exception as error:
            # polars raises many kinds over bytes that are no Parquet.
            raise Unreadable(self._damaged(str(error)), code="damaged") from error

    def _damaged(self, why: str) -> str:
        """Say that the file cannot be read."""
        size = os.path.getsize(self.path) if os.path.exists(self.path) else 0  # noqa: PTH110, PTH202 - a text
        what = "is empty" if not size else "is truncated, or no Parquet file"
        if self._read:
            what = "is damaged"
        # Else it counts as another file, of which nobody knows which rows were read.
        time = ", under the time that it has (`touch -d`)" if self._read else ""
        return f"{self.path} {what} ({shorten(why)}): bring it whole{time}"
