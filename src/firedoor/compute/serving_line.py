"""A serving worker's line: frames that come in, and how far it is with them."""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections import deque
from pathlib import Path
from typing import Self

from firedoor.wire.serving import ASK, Ask, decode_asks
from firedoor.wire.serving_frames import Frames

FILE = "progress"
"""In its scratch folder."""
PROGRESS = struct.Struct("<QQ")
"""Requests begun, and requests answered, in the order in which they came."""


def make_progress(scratch: str) -> int:
    """Make the file, before its worker can, and return a descriptor to read it by."""
    fd = os.open(Path(scratch) / FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.ftruncate(fd, mmap.PAGESIZE)
    return fd


def read_progress(fd: int, sent: int) -> tuple[int, int]:
    """Return how many requests a worker has begun and answered; it is not believed.

    Args:
        fd: of the file.
        sent: how many it was sent.

    Returns:
        (begun, answered); all that were sent count as begun where the file makes no sense.
    """
    data = os.pread(fd, PROGRESS.size, 0)
    if len(data) < PROGRESS.size:
        return sent, 0
    begun, answered = PROGRESS.unpack(data)
    return (begun, answered) if answered <= begun <= sent else (sent, 0)


class Inlet:
    """Requests that come through a socket."""

    def __init__(self, line: socket.socket) -> None:
        """Read from a line, which blocks."""
        self._line = line
        self._frames = Frames(ASK.size)
        self._waiting: deque[tuple[int, Ask]] = deque()

    def take(self, count_max: int) -> list[tuple[int, Ask]]:
        """Return what has come, at least one; one that is suspected comes alone.

        Raises:
            EOFError: when the line has closed.
        """
        if len(self._waiting) < count_max:
            self._read(0 if not self._waiting else socket.MSG_DONTWAIT)
        first = self._waiting.popleft()
        taken = [first]
        while self._waiting and len(taken) < count_max:
            if first[1].suspect or self._waiting[0][1].suspect:
                break
            taken.append(self._waiting.popleft())
        return taken

    def _read(self, flags: int) -> None:
        """Read what is there, until there is a whole request."""
        got = 0
        while not self._waiting or not got:
            try:
                got = self._line.recv_into(self._frames.room(), 0, flags)
            except BlockingIOError:
                return
            if not got:
                raise EOFError
            self._waiting.extend(decode_asks(self._frames.took(got)))


class Progress:
    """Counts of requests begun and answered, in a file that outlives this process."""

    def __init__(self, scratch: str) -> None:
        """Count in the file that ``make_progress`` made."""
        with (Path(scratch) / FILE).open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self._begun = self._ended = 0

    def __enter__(self) -> Self:
        """Count."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        self._map.close()

    def begin(self, count: int) -> None:
        """So many more were begun."""
        self._begun += count
        PROGRESS.pack_into(self._map, 0, self._begun, self._ended)

    def end(self, count: int) -> None:
        """So many more were answered."""
        self._ended += count
        PROGRESS.pack_into(self._map, 0, self._begun, self._ended)
