"""Locks that die with their process, also where several machines share the folder.

``flock`` on Linux is a lock of the file server where the folder is on NFS; nothing is left to be
cleaned up after a kill. The file itself stays: removing it would let two hold "the" lock.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_S = 0.02
"""Between two tries for a lock that another holds."""


class Taken(Exception):
    """Somebody else held the lock all the while."""


@contextmanager
def locked(path: Path, *, shared: bool = False, wait_s: float) -> Iterator[None]:
    """Hold a lock while the block is at work.

    Args:
        path: the lock's file, made if it is missing.
        shared: beside others who share it.
        wait_s: how long to try; 0: once.

    Raises:
        Taken: if it could not be had.
        OSError: if the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until_s = time.monotonic() + wait_s
        while not _take(descriptor, shared=shared):
            if time.monotonic() >= until_s:
                raise Taken
            threading.Event().wait(LOOK_S)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, *, shared: bool) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
