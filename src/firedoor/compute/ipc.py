"""Frames as bytes between a wall and its worker: Arrow IPC streams, uncompressed.

They cross a socket on one machine, so compressing them would cost more than it saves. Runs at both
ends.
"""

from __future__ import annotations

import io
from typing import IO, cast

import polars as pl

Pieces = tuple[bytes, ...]
"""The bytes of one frame, in order. They are never joined: the socket takes them as they are."""


class _Pieces:
    """A file that keeps what is written to it piece by piece.

    A BytesIO copies each piece into a buffer that grows; here that took four times as long.
    """

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        """Keep a piece."""
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: a piece that is written is kept."""


def encode(frame: pl.DataFrame) -> Pieces:
    """Return the bytes of a frame.

    Raises:
        polars.exceptions.PolarsError: if it holds what Arrow has no type for.
    """
    file = _Pieces()
    frame.write_ipc_stream(cast("IO[bytes]", file), compression="uncompressed")
    return tuple(file.pieces)


def size(pieces: Pieces) -> int:
    """Return how many bytes the pieces are."""
    return sum(len(piece) for piece in pieces)


def decode(data: io.BytesIO) -> pl.DataFrame:
    """Return the frame in these bytes. What raises for bytes that are none is polars' affair."""
    return pl.read_ipc_stream(data)
