"""Copies of the code that was deployed, so that there is a way back when its folder has changed.

A build server checks every version out into the same folder. As long as that is as it was, code is
run from there, where its other files are too; afterwards from the copy, which is Python alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

FILES_MAX = 5_000
ENTRIES_MAX = 50_000
"""Looked at: a folder of data beside the code is not walked through to its end."""
FILE_BYTES_MAX = 10 * 2**20
LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__", "node_modules"})


def digest_of(folder: Path) -> str:
    """Return a hash of all Python in a folder; empty if there is none, or too much to keep."""
    digest, count = hashlib.blake2b(digest_size=16), 0
    try:
        for file in _python(folder):
            count += 1
            digest.update(f"\n{file.relative_to(folder).as_posix()}\n".encode())
            digest.update(file.read_bytes())
    except (OSError, _TooMuchError):
        return ""
    return digest.hexdigest() if count else ""


def copy_code(folder: Path, to: Path) -> bool:
    """Copy all Python of a folder; return whether all of it is there.

    A copy that there is already is taken to be of another code, and replaced.
    """
    made = to.with_name(f"{to.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    try:
        for file in _python(folder):
            copy = made / file.relative_to(folder)
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
        shutil.rmtree(to, ignore_errors=True)
        made.rename(to)
    except (OSError, _TooMuchError):
        shutil.rmtree(made, ignore_errors=True)
        return False
    return True


def moved(path: str, folder: str, to: str) -> str:
    """Return a path in a folder as it is in a copy of that; any other as it is.

    >>> moved("/code/a/b.py", "/code/a", "/kept"), moved("/lib/x.py", "/code/a", "/kept")
    ('/kept/b.py', '/lib/x.py')
    """
    inside = path == folder or path.startswith(f"{folder}{os.sep}")
    return to + path[len(folder) :] if inside else path


class _TooMuchError(Exception):
    """A folder holds more than is kept."""


def _python(folder: Path) -> Iterator[Path]:
    """Go through the Python files of a folder in order, but hidden and installed ones.

    Raises:
        _TooMuchError: if there is too much to look through or to keep.
    """
    entries = files = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in LEFT_OUT)
        entries += len(folders) + len(names)
        for name in sorted(names):
            file = Path(place, name)
            if name.startswith(".") or file.suffix != ".py":
                continue
            files += 1
            if files > FILES_MAX or file.stat().st_size > FILE_BYTES_MAX:
                raise _TooMuchError
            yield file
        if entries > ENTRIES_MAX:
            raise _TooMuchError
