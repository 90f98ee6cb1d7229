"""Disks that are full: small ones that are mounted, or where that is not allowed, a limit.

``RLIMIT_FSIZE`` has one process write no more, and is lifted while it runs: that is how a full disk
looks to a user who may not mount a small one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

FILLER = ".filler"
UNLIMITED = resource.RLIM_INFINITY


class Mounted:
    """A file system of its own."""

    says = "(No space left on device): make some; what is not written waits"
    """Of a sink on it."""

    def __init__(self, folder: Path) -> None:
        self._filler = folder / FILLER

    @contextmanager
    def full(self, pid: int) -> Iterator[None]:
        """Have no room for one byte while the block is at work, for nobody."""
        del pid
        with self._filler.open("wb", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
        self._filler.unlink()


class Limited:
    """The file system that is there."""

    says = "cannot be written: File too large"

    @contextmanager
    def full(self, pid: int, file_bytes_max: int = 0) -> Iterator[None]:
        """Have no room while the block is at work, for one process and files of this size."""
        process = psutil.Process(pid)
        process.rlimit(resource.RLIMIT_FSIZE, (file_bytes_max, UNLIMITED))
        yield
        with contextlib.suppress(psutil.NoSuchProcess):  # it was started again: that is a remedy
            process.rlimit(resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Mounted | Limited]:
    """Make a folder that is a small disk, if that is allowed."""
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()):
        yield Limited()
        return
    try:
        yield Mounted(folder)
    finally:
        libc.umount2(os.fsencode(folder), 2)  # as soon as nobody is in it
