"""The files of a source: which, in what order, and whether they are still the same."""

from __future__ import annotations

import glob
import os
import stat
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from firedoor.data.reading.cut import Cut, Unreadable
from firedoor.errors import shorten
from firedoor.wire.records import Position

PREFIX_BYTES = 4096
"""What is looked at of a file, besides size and time, to know it again."""


class OpenFile(Protocol):
    """A file that batches are cut from."""

    path: str
    identity: str

    def cut(self, offset: int, line: int, rows: int) -> Cut | None:
        """Return the batch at a place in the file, None at its end.

        Args:
            offset: bytes that are read, or rows where the form counts those; 0: the beginning.
            line: lines that are read.
            rows: lines to take at most, or about so many where a row spans several.
        """
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Files:
    """Batches of one file after another. See ``cut.Supply``.

    Files come in the order of their names, pattern by pattern. An order that was followed once is
    kept: ``known`` are the files that batches were cut from, and a file that comes later goes to
    the end, whatever its name.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        open_file: Callable[[str], OpenFile],
        *,
        known: Iterable[str] = (),
        follow: bool = False,
    ) -> None:
        """Look at nothing yet."""
        self._patterns = tuple(patterns)
        self._open_file = open_file
        self._follow = follow
        self._order = list(dict.fromkeys(known))
        self._waiting: deque[str] | None = None
        self._file: OpenFile | None = None

    def cut(self, position: Position | None, rows: int) -> Cut | None:
        """Return the next batch. See ``cut.Supply.cut``."""
        try:
            found = self._cut(position, rows)
        except Unreadable:
            self.close()
            raise
        if found is None:
            self.close()
        return found

    def _cut(self, position: Position | None, rows: int) -> Cut | None:
        """Return the next batch, None if there is none."""
        path = position.file if position is not None else self._after("")
        while path:
            offset, line = 0, 0
            if position is not None and path == position.file:
                if _is_read(position):
                    path = self._after(path)
                    continue
                offset, line = position.offset, position.line
            file = self._open(path)
            if position is not None and path == position.file:
                _check_same(position, file.identity)
            cut = file.cut(offset, line, rows)
            if cut is not None:
                if identity_of(path) != file.identity:
                    raise Unreadable(_changed(path, "while it was read"), code="changed")
                return cut
            path = self._after(path)
        return None

    def close(self) -> None:
        """Let go of the file that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, path: str) -> OpenFile:
        """Return the file, opened, or as it is open already."""
        if self._file is None or self._file.path != path:
            self.close()
            try:
                self._file = self._open_file(path)
            except OSError as error:
                raise Unreadable(_unreadable(path, error), code=_code(error)) from error
        return self._file

    def _after(self, path: str) -> str:
        """Return the file that comes after another one, or first; empty if there is none."""
        if path and path not in self._order:
            # Nothing is known of an order: it was the one of the names.
            found = find(self._patterns, follow=self._follow, known=[*self._order, path])
            before = found[: found.index(path)] if path in found else []
            self._order += [file for file in before if file not in self._order]
            self._order.append(path)
        at = self._order.index(path) + 1 if path else 0
        if at < len(self._order):
            return self._order[at]
        if self._waiting is None or (self._follow and not self._waiting):
            known = set(self._order)
            found = find(self._patterns, follow=self._follow, known=known)
            self._waiting = deque(file for file in found if file not in known)
        if not self._waiting:
            return ""
        self._order.append(self._waiting.popleft())
        return self._order[-1]


def find(patterns: Sequence[str], *, follow: bool, known: Iterable[str] = ()) -> list[str]:
    """Return the files that patterns name, each once, in the order in which they are read.

    Raises:
        Unreadable: if a pattern names nothing, nothing of it is known, and nobody waits for it.
    """
    found: dict[str, None] = {}
    there = set(known)
    for pattern in patterns:
        is_glob = glob.has_magic(pattern)
        names = sorted(glob.glob(pattern, recursive=True)) if is_glob else [pattern]  # noqa: PTH207 - patterns are absolute
        files = [name for name in names if not is_glob or not Path(name).is_dir()]
        if is_glob and not files and not follow and not there:
            message = (
                f"no file matches {pattern}: correct the pattern, bring the files, or let the "
                "source wait for them with follow=True"
            )
            raise Unreadable(message, code="missing")
        if not is_glob and (pattern in there or (follow and not Path(pattern).exists())):
            continue
        found.update(dict.fromkeys(files))
    return list(found)


def identity_of(path: str) -> str:
    """Return what a file is known again by: size, time, and a checksum of how it begins.

    Raises:
        Unreadable: if it cannot be looked at.
    """
    try:
        with Path(path).open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                message = f"{path} is no file: a source reads files that stay as they are"
                raise Unreadable(message, code="unreadable")
            begin = zlib.crc32(file.read(PREFIX_BYTES))
    except OSError as error:
        raise Unreadable(_unreadable(path, error), code=_code(error)) from error
    return f"{status.st_size}-{status.st_mtime_ns}-{begin:08x}"


def _is_read(position: Position) -> bool:
    """Return whether a batch ended where its file ends, and the file has gone since."""
    return _size(position) == position.offset and not Path(position.file).exists()


def _size(position: Position) -> int:
    """Return how large the file was that a batch was cut from; -1 if that is not known."""
    size = position.identity.partition("-")[0]
    return int(size) if size.isdigit() else -1


def _check_same(position: Position, identity: str) -> None:
    """Refuse to go on in a file that is another than the batch before was cut from."""
    if position.identity and position.identity != identity:
        why = f"since line {position.line:,} of it was read"
        raise Unreadable(_changed(position.file, why), code="changed")


def _changed(path: str, when: str) -> str:
    """Say that a file is another one now."""
    return (
        f"{path} was changed {when}, so nobody knows which of its lines were read: put it back as "
        "it was, its time as well (`touch -d`), bring new rows in a new file, or start anew in "
        "another project folder"
    )


def _unreadable(path: str, error: OSError) -> str:
    """Say why a file cannot be read."""
    why = error.strerror or shorten(str(error))
    if isinstance(error, FileNotFoundError):
        return f"{path} is not there: correct the path, or bring the file"
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder: name the files in it, for example {path.rstrip('/')}/*.jsonl"
    if isinstance(error, PermissionError):
        return f"{path} may not be read ({why}): allow it to the user who runs firedoor"
    return f"{path} cannot be read: {why}"


def _code(error: OSError) -> str:
    """Return what to call that."""
    return "missing" if isinstance(error, FileNotFoundError) else "unreadable"
