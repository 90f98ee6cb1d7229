"""A process's journal on the disk: a line an entry, locked for as long as the process lives.

The lock goes with the process, whatever ends it, so that whoever can lock a journal knows that its
process is gone, and may forward what it has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from firedoor.events.happened import Happened

SUFFIX = ".jsonl"
FILES_MAX = 500
"""Journals in one folder: of processes that ended while nobody could forward them."""
READ_MAX = 4 * 2**20
"""Bytes of a journal that are read of one that is gone: more than any may have."""
TRIES_MAX = 5


class Spool:
    """One process's file. Every method may block for as long as the disk does."""

    def __init__(self, path: Path) -> None:
        """Open and lock it.

        Raises:
            OSError: if it cannot be made, or there are too many.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(1 for _ in path.parent.glob(f"*{SUFFIX}")) >= FILES_MAX:
            message = f"{path.parent} has {FILES_MAX} journals that nobody has forwarded"
            raise OSError(message)
        self.path = path
        self.bytes = 0
        self._descriptor = _open_locked(path)

    def add(self, lines: bytes) -> None:
        """Write lines behind those that are there.

        Raises:
            OSError: if they cannot be written whole.
        """
        while lines:
            written = os.write(self._descriptor, lines)
            self.bytes += written
            lines = lines[written:]

    def rewrite(self, lines: bytes) -> None:
        """Write lines in the place of those that are there.

        Raises:
            OSError: if they cannot be written whole.
        """
        os.ftruncate(self._descriptor, 0)
        self.bytes = 0
        self.add(lines)

    def close(self, *, keep: bool) -> None:
        """Let go of it: remove it, or keep it for whoever forwards it.

        Raises:
            OSError: if the disk has not got it.
        """
        try:
            if keep:
                os.fsync(self._descriptor)
            else:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)


def _open_locked(path: Path) -> int:
    """Return the descriptor of a new file that is locked.

    Raises:
        OSError: if it cannot be had.
    """
    for _ in range(TRIES_MAX):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who looks for what is left may have taken it between the two, and removed it.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                return descriptor
        except OSError:
            os.close(descriptor)
            continue
        os.close(descriptor)
    message = f"{path} is locked by another process"
    raise OSError(message)


@dataclass(frozen=True, slots=True)
class Left:
    """A journal whose process is gone, locked until it is let go of."""

    path: Path
    entries: tuple[Happened, ...]
    unreadable: int
    """Lines that are none of this version of firedoor."""
    _descriptor: int

    def let_go(self, *, sent: bool) -> None:
        """Let go of it; with ``sent`` it is needed no more, and removed. Blocks.

        Raises:
            OSError: if it cannot be removed.
        """
        try:
            if sent:
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)


def take_over(path: Path) -> Left | None:
    """Return what a process has left; None if it lives, or another forwards it. Blocks.

    Raises:
        OSError: if it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        entries, unreadable = _read(os.pread(descriptor, READ_MAX, 0))
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return Left(path, entries, unreadable, descriptor)


def journals(folder: Path, name: str = "*") -> list[Path]:
    """Return the journals in a folder, of processes of one name, the oldest first. Blocks."""
    found: list[tuple[float, Path]] = []
    for path in folder.glob(f"{name}.*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):  # forwarded meanwhile
            found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)[: 2 * FILES_MAX]]


def _read(data: bytes) -> tuple[tuple[Happened, ...], int]:
    """Return entries, and how many lines are none; a full disk may have cut off the last."""
    entries: list[Happened] = []
    unreadable = 0
    for line in data.splitlines():
        try:
            entries.append(msgspec.json.decode(line, type=Happened))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            unreadable += bool(line.strip())
    return tuple(entries), unreadable


def read_journal(path: Path) -> tuple[Happened, ...]:
    """Return what is in a journal, whoever writes it now. Blocks.

    Raises:
        OSError: if it cannot be read.
    """
    with path.open("rb") as file:
        return _read(file.read(READ_MAX))[0]
