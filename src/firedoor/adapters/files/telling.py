"""What is wrong with the folder of models, in words; and how one is known."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firedoor.adapters.files.writing import FOLDER_MODE, write_atomically
from firedoor.errors import ArtifactsFull, DeclarationError, ModelsUnavailable

LAYOUT = b"1\n"
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Busy(ModelsUnavailable):
    """Others are at work in the folder, and took longer than was waited for."""


class Nothing(OSError):
    """What no system call raises."""


@contextmanager
def told(folder: Path, *, but: type[OSError] = Nothing) -> Iterator[None]:
    """Tell in words what is wrong with the folder of models.

    Raises:
        ArtifactsFull: if there is no room in it.
        ModelsUnavailable: if it cannot be reached, read or written.
    """
    try:
        yield
    except but:
        raise
    except OSError as error:
        where = error.filename or folder
        if error.errno in NO_ROOM:
            message = (
                f"no room on the disk of {folder} ({error.strerror}): free some, or run "
                "`firedoor models prune`; nothing was stored"
            )
            raise ArtifactsFull(message) from error
        remedy = "look whether its disk is there"
        if error.errno in FORBIDDEN:
            remedy = "let this user read and write there"
        message = f"{where} cannot be used: {error.strerror or error}; {remedy}"
        raise ModelsUnavailable(message) from error


@contextmanager
def target_told(to: Path) -> Iterator[None]:
    """Tell in words what is wrong with the place that a bundle is copied to.

    Raises:
        ArtifactsFull: if there is no room.
        DeclarationError: if it cannot be made.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            message = f"no room for {to} ({error.strerror}): free some; nothing was written"
            raise ArtifactsFull(message) from error
        raise DeclarationError(
            "to", str(to), f"cannot be made: {error.strerror or error}",
            "name a new folder in one that this user may write to",
        ) from error  # fmt: skip


def make_layout(folder: Path, below: tuple[str, ...]) -> None:
    """Make what is missing of a folder. What says that it is one is written last.

    Raises:
        ModelsUnavailable: if it cannot be made, or is of another version.
    """
    with told(folder):
        # One by one: parents that mkdir makes by itself would be everybody's to read.
        for place in (*reversed(folder.parents), folder, *(folder / name for name in below)):
            if not place.is_dir():
                place.mkdir(mode=FOLDER_MODE, exist_ok=True)
        if not (folder / "version").exists():
            write_atomically(folder / "version", LAYOUT, durable=True)
    check_layout(folder)


def check_layout(folder: Path) -> None:
    """Refuse a folder that holds no models: one that is not mounted must not look empty.

    Raises:
        ModelsUnavailable: if it is away, or of another version.
    """
    try:
        with told(folder, but=FileNotFoundError), (folder / "version").open("rb") as file:
            written = file.read(20)
    except FileNotFoundError:
        message = f"{folder} holds no models: it was never used, or its disk is not mounted"
        raise ModelsUnavailable(message) from None
    if written != LAYOUT:
        message = f"{folder} was written by another version of firedoor: use that version"
        raise ModelsUnavailable(message)
