"""What is read of a folder that is going to be a bundle, and how files are copied and hashed.

The folder may have been written by a training run that went wrong: nothing in it is followed, and
only plain files are read. Memory is bounded by one piece of a file.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firedoor.errors import DeclarationError
from firedoor.wire.bundle import FILES_MAX, PATH_MAX, FileEntry, check_paths

PIECE_BYTES = 2**20
PLAIN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How a file is opened that may have been replaced by a link or a pipe: neither is followed."""


Write = Callable[[memoryview], object]


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the folder, open."""

    path: str
    descriptor: int
    bytes: int


def copy_hashed(source: int, write: Write, bytes_max: int) -> tuple[str, int]:
    """Copy from a descriptor; return SHA-256 and bytes. Stops after ``bytes_max + 1`` bytes."""
    digest, total = hashlib.sha256(), 0
    room = memoryview(bytearray(PIECE_BYTES))
    while total <= bytes_max:
        count = os.readv(source, [room[: bytes_max + 1 - total]])
        if not count:
            break
        digest.update(room[:count])
        write(room[:count])
        total += count
    return digest.hexdigest(), total


def entries_of(folder: Path) -> tuple[FileEntry, ...]:
    """Return the files of a folder as a bundle would name them.

    Raises:
        DeclarationError: for what no bundle can hold.
    """
    entries = []
    with opened(folder) as source:
        for found in files_of(source):
            sha256, count = copy_hashed(found.descriptor, lambda _: None, found.bytes)
            entries.append(FileEntry(path=found.path, bytes=count, sha256=sha256))
    check_paths(entry.path for entry in entries)
    return tuple(entries)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Hold the folder open.

    Raises:
        DeclarationError: if it is none.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DeclarationError(
            "folder", str(folder), f"cannot be read: {error.strerror}",
            "name a folder that holds the model's files",
        ) from error  # fmt: skip
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def files_of(folder: int) -> Iterator[Found]:
    """Go through the plain files of an open folder, by name; each is open while it is looked at.

    Raises:
        DeclarationError: if there is anything else than plain files and folders, or too many.
    """
    yield from _Walk().files(folder, "")


class _Walk:
    """One walk through a folder, and how much of it was seen."""

    def __init__(self) -> None:
        """Have seen nothing."""
        self._seen = 0

    def files(self, folder: int, prefix: str) -> Iterator[Found]:
        """Go through one folder and those in it."""
        for name in self._names(folder):
            path = f"{prefix}{name}"
            if len(path) > PATH_MAX:
                raise _refusal(path, f"has a path of over {PATH_MAX} characters", "shorten it")
            try:
                descriptor = os.open(name, PLAIN, dir_fd=folder)
            except OSError as error:
                raise _unreadable(path, folder, name, error) from error
            try:
                about = os.fstat(descriptor)
                if stat.S_ISDIR(about.st_mode):
                    yield from self.files(descriptor, f"{path}/")
                elif stat.S_ISREG(about.st_mode):
                    yield Found(path, descriptor, about.st_size)
                else:
                    raise _refusal(path, "is a device, a pipe or a socket", "leave it out")
            finally:
                os.close(descriptor)

    def _names(self, folder: int) -> list[str]:
        """Return the names in one folder, in order."""
        names = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._seen += 1
                if self._seen > FILES_MAX:
                    why = f"comes after {FILES_MAX} other files and folders"
                    remedy = "pack them into an archive, or leave out what is no part of the model"
                    raise _refusal(entry.name, why, remedy)
                names.append(entry.name)
        return sorted(names)


def _unreadable(path: str, folder: int, name: str, error: OSError) -> DeclarationError:
    """Return what to say of an entry that cannot be opened."""
    try:
        link = stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        link = False
    if link:
        return _refusal(path, "is a link", "put the file itself there")
    return _refusal(path, f"cannot be read: {error.strerror}", "make it readable, or leave it out")


def _refusal(path: str, why: str, remedy: str) -> DeclarationError:
    """Return what to say of an entry that no bundle can hold."""
    return DeclarationError("folder", path, why, remedy)
