"""Frames of ``wire.serving`` out of a stream of bytes, without a buffer a frame."""

from __future__ import annotations

import struct

from firedoor.wire.serving import FRAME_BYTES_MAX

BUFFER_BYTES = 256 * 2**10
_LENGTH = struct.Struct("<I")


class Frames:
    """Collects bytes, and gives whole frames. It grows for a large one and shrinks after it."""

    def __init__(self, head_bytes: int) -> None:
        """Expect frames with a head of this size."""
        self._head_bytes = head_bytes
        self._buffer = bytearray(BUFFER_BYTES)
        self._start = self._end = 0

    def room(self) -> memoryview:
        """Return the memory into which the next bytes belong; never empty."""
        return memoryview(self._buffer)[self._end :]

    def took(self, count: int) -> bytes:
        """Return the frames that are whole, now that so many bytes were read into ``room()``.

        One after the other in one copy; empty: none is whole.

        Raises:
            ValueError: if a length is none; the sender is broken and must be replaced.
        """
        self._end += count
        buffer, end = self._buffer, self._end
        at, size = self._start, 0
        while end - at >= _LENGTH.size:
            size = _LENGTH.size + _LENGTH.unpack_from(buffer, at)[0]
            if not self._head_bytes <= size <= FRAME_BYTES_MAX:
                message = f"a frame of {size} bytes"
                raise ValueError(message)
            if end - at < size:
                break
            at += size
        whole = bytes(memoryview(buffer)[self._start : at])
        self._start = at
        self._make_room(size)
        return whole

    def _make_room(self, size: int) -> None:
        """Move what is left to the front where the rest of its frame would not fit behind it."""
        left = self._end - self._start
        if not left and len(self._buffer) == BUFFER_BYTES:
            self._start = self._end = 0
            return
        size = size if left >= _LENGTH.size else _LENGTH.size
        if left and self._start + size <= len(self._buffer):
            return
        wanted = max(BUFFER_BYTES, size if left else 0)
        kept = bytes(memoryview(self._buffer)[self._start : self._end])
        if len(self._buffer) != wanted:
            self._buffer = bytearray(wanted)
        self._buffer[:left] = kept
        self._start, self._end = 0, left
