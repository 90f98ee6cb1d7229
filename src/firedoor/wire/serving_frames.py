"""Frames of ``wire.serving`` out of a stream of bytes, without a buffer a frame."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.wire.serving import FRAME_BYTES_MAX

BUFFER_BYTES = 256 * 2**10
_LENGTH_BYTES = 4


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

    def took(self, count: int) -> Iterator[memoryview]:
        """Yield the frames that are whole, now that so many bytes were read into ``room()``.

        A frame is good until the next is asked for. Take them all before more is read.

        Raises:
            ValueError: if a length is none; the sender is broken and must be replaced.
        """
        self._end += count
        view = memoryview(self._buffer)
        size = 0
        while self._end - self._start >= _LENGTH_BYTES:
            size = _LENGTH_BYTES + int.from_bytes(
                view[self._start : self._start + _LENGTH_BYTES], "little"
            )
            if not self._head_bytes <= size <= FRAME_BYTES_MAX:
                message = f"a frame of {size} bytes"
                raise ValueError(message)
            if self._end - self._start < size:
                break
            self._start += size
            yield view[self._start - size : self._start]
        self._make_room(size)

    def _make_room(self, size: int) -> None:
        """Move what is left to the front where the rest of its frame would not fit behind it."""
        left = self._end - self._start
        size = size if left >= _LENGTH_BYTES else _LENGTH_BYTES
        if left and self._start + size <= len(self._buffer):
            return
        wanted = max(BUFFER_BYTES, size if left else 0)
        kept = bytes(memoryview(self._buffer)[self._start : self._end])
        if len(self._buffer) != wanted:
            self._buffer = bytearray(wanted)
        self._buffer[:left] = kept
        self._start, self._end = 0, left
