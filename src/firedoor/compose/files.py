"""Files of the project folder: whole or not there, and for their owner's eyes."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Put ``data`` into a file so that readers see the old content or the new, never a part.

    Args:
        path: the file; its folder must be there.
        data: the content.
        durable: wait until the disk has it. Not needed for what is written again each second.

    Raises:
        OSError: if it cannot be written; the old file is as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).chmod(FILE_MODE)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    if durable:
        _sync_folder(path.parent)


def explain(error: OSError) -> str:
    """Return what is wrong with a file or folder, and what to do about it."""
    where = f" ({error.filename})" if error.filename else ""
    what = f"{error.strerror or error}{where}"
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{what}: free some space, or name a folder on another disk with --project"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"{what}: let this user write there, or name another folder with --project"
        case errno.EMFILE | errno.ENFILE:
            return f"{what}: raise the limit with `ulimit -n`"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{what}: move the file out of the way, or name another folder with --project"
        case _:
            return what


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
