"""Files of the project folder: whole or not there, and for their owner's eyes."""

from __future__ import annotations

import errno

from firedoor.adapters.files.writing import FILE_MODE, FOLDER_MODE, write_atomically

__all__ = ["FILE_MODE", "FOLDER_MODE", "explain", "write_atomically"]


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
