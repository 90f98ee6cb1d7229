"""Frames from an iterable of a user's own: one after another, larger ones cut."""

from __future__ import annotations

import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from firedoor.data.reading.cut import Cut, Unreadable
from firedoor.errors import FrameRefused
from firedoor.wire.records import Position, Segment

if TYPE_CHECKING:
    import polars as pl

Frames = Iterable[object] | Callable[[], Iterable[object]]


class FrameSupply:
    """Batches of an iterable. See ``cut.Supply``.

    ``Position.offset`` counts frames that are used up, ``Position.line`` the rows that are read of
    the one after them. To go on, the iterable is begun anew and frames that were used are skipped.
    """

    def __init__(self, frames: Frames, to_polars: Callable[[object], pl.DataFrame]) -> None:
        """Ask for nothing yet.

        Args:
            frames: an iterable of frames, or a function that returns one.
            to_polars: what makes a polars frame of any kind of frame; raises ``FrameRefused``.
        """
        self._frames = frames
        self._to_polars = to_polars
        self._iterator: Iterator[object] | None = None
        self._index = -1
        self._frame: pl.DataFrame | None = None

    def cut(self, position: Position | None, rows: int) -> Cut | None:
        """Return the next batch. See ``cut.Supply.cut``."""
        index, line = (position.offset, position.line) if position is not None else (0, 0)
        frame = self._at(index, resumed=position is not None)
        while frame is not None and line == 0 and frame.height == 0:
            index += 1
            frame = self._at(index, resumed=False)
        if frame is None:
            return None
        name = f"frame-{index}"
        identity = _identity(frame)
        if line and position is not None and position.identity != identity:
            message = (
                f"frame {index} of the source is another than before ({identity}, was "
                f"{position.identity}): give the same frames in the same order, or start anew in "
                "another project folder"
            )
            raise Unreadable(message, code="changed")
        piece = frame.slice(line, rows)
        stop = line + piece.height
        used = stop >= frame.height
        return Cut(
            frame=piece,
            segment=Segment(file=name, line=line + 1, rows=piece.height),
            position=Position(
                file=name,
                offset=index + 1 if used else index,
                line=0 if used else stop,
                identity="" if used else identity,
            ),
        )

    def _at(self, index: int, *, resumed: bool) -> pl.DataFrame | None:
        """Return the frame of a number, None if there are no more."""
        if self._iterator is None or index < self._index:
            self._iterator, self._index, self._frame = self._begun(), -1, None
        while self._index < index:
            given, frame = self._next()
            if not given:
                if resumed and self._index + 1 < index:
                    message = (
                        f"the source gave {self._index + 1} frames, and {index} of it were read "
                        "before: give the same frames in the same order, or start anew in another "
                        "project folder"
                    )
                    raise Unreadable(message, code="changed")
                return None
            self._index += 1
            self._frame = self._polars(frame) if self._index == index else None
        return self._frame

    def _begun(self) -> Iterator[object]:
        """Return the user's iterable, begun."""
        try:
            return iter(self._frames() if callable(self._frames) else self._frames)
        except Exception as error:
            raise _raised(error) from error

    def _next(self) -> tuple[bool, object]:
        """Return whether there is another frame, and the frame."""
        assert self._iterator is not None
        try:
            return True, next(self._iterator)
        except StopIteration:
            return False, None
        except Exception as error:
            self._iterator = None  # a generator that raised has ended
            raise _raised(error) from error

    def _polars(self, frame: object) -> pl.DataFrame:
        """Return a frame as polars."""
        try:
            return self._to_polars(frame)
        except FrameRefused as refused:
            message = f"frame {self._index} of the source cannot be used: {refused}"
            raise Unreadable(message, code="wrong_frame") from refused


def _identity(frame: pl.DataFrame) -> str:
    """Return what a frame is known again by: its height and its columns."""
    columns = ",".join(f"{name}:{dtype}" for name, dtype in frame.schema.items())
    return f"{frame.height} rows, {zlib.crc32(columns.encode()):08x}"


def _raised(error: Exception) -> Unreadable:
    """Return what a user's iterable raised, with the line that raised it."""
    places = traceback.extract_tb(error.__traceback__)
    own = [place for place in places if place.filename != __file__]
    at = f" at {own[-1].filename}:{own[-1].lineno}" if own else ""
    message = f"the source's iterable raised {type(error).__name__}: {error}{at}"
    return Unreadable(message, code="raised")
