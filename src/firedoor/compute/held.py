"""Rows that may be bytes, a frame, or both: converted only when somebody asks.

Between zones batches travel as bytes. A batch in which nothing fails goes from the broker to a
worker and on without being decoded in between; only what looks for bad rows needs the frame.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from firedoor.compute import ipc

if TYPE_CHECKING:
    import polars as pl


class Held:
    """Some rows."""

    __slots__ = ("_frame", "_pieces", "height")

    def __init__(self, frame: pl.DataFrame | None, pieces: ipc.Pieces | None, height: int) -> None:
        """Hold what there is: at least one of the two."""
        assert frame is not None or pieces is not None
        self._frame = frame
        self._pieces = pieces
        self.height = height

    @classmethod
    def of_frame(cls, frame: pl.DataFrame) -> Held:
        """Hold a frame."""
        return cls(frame, None, frame.height)

    @classmethod
    def of_bytes(cls, payload: bytes, height: int) -> Held:
        """Hold an Arrow IPC stream of so many rows."""
        return cls(None, (payload,), height)

    @property
    def frame(self) -> pl.DataFrame:
        """The rows as a frame; decoded at the first use."""
        if self._frame is None:
            assert self._pieces is not None
            self._frame = ipc.decode(io.BytesIO(b"".join(self._pieces)))
        return self._frame

    @property
    def pieces(self) -> ipc.Pieces:
        """The rows as an Arrow IPC stream; encoded at the first use, without compression."""
        if self._pieces is None:
            assert self._frame is not None
            self._pieces = ipc.encode(self._frame)
        return self._pieces

    @property
    def is_decoded(self) -> bool:
        """Whether the frame is at hand."""
        return self._frame is not None

    def rows(self, rows: pl.Series) -> Held:
        """Return some of the rows, by number."""
        return Held.of_frame(self.frame[rows])

    def bytes_of_frame(self, *, compress: bool) -> bytes:
        """Return one piece of bytes: what came as bytes as it is."""
        if self._pieces is not None:
            return b"".join(self._pieces)
        return b"".join(ipc.encode(self.frame, compress=compress))

    def forget_pieces(self) -> None:
        """Let go of the bytes where the frame is at hand: both would be twice the memory."""
        if self._frame is not None:
            self._pieces = None
