"""The options of a zone's wall: those of ``Wall``, under names that leave ``reads=`` to edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict, cast

from firedoor.errors import DeclarationError
from firedoor.spec.wall import Extra, Start, WallArguments, WallOptions


class ZoneWall(TypedDict, total=False):
    """The fields of ``WallOptions`` as keyword arguments of a transform or sink."""

    memory: int | str
    timeout_s: float
    workers: int
    extra: Extra
    may_drop: float
    batchwise: bool
    contrast: float
    may_read: Sequence[str | Path]
    """``WallOptions.reads``; relative to the file that declares the pipeline."""
    network: bool | Sequence[int]
    env: Sequence[str]
    start: Start
    preload: Sequence[str]
    cloudpickle: bool
    processes_max: int
    files_max: int
    load_timeout_s: float
    isolation_s: float | None


ZONE_WALL = tuple(ZoneWall.__annotations__)


def check_wall(given: Mapping[str, object], folder: Path) -> tuple[WallOptions, dict[str, object]]:
    """Return the options of the wall, and those that were given as ``Wall`` calls them.

    Args:
        given: options by the names of ``ZoneWall``.
        folder: what paths are relative to.

    Raises:
        DeclarationError: for a value that cannot work.
    """
    named = {name: value for name, value in given.items() if name != "may_read"}
    if not named.get("expands", True):
        del named["expands"]  # as if it had not been written down
    if "may_read" in given:
        named["reads"] = _absolute(given["may_read"], folder)
    try:
        options = WallOptions(**cast("WallArguments", named))
    except DeclarationError as error:
        if error.field == "reads":
            raise DeclarationError(
                "may_read", given["may_read"], "does not exist", "create it first, or correct it"
            ) from None
        raise
    return options, named


def _absolute(paths: object, folder: Path) -> list[str]:
    """Return the paths, absolute."""
    listed = isinstance(paths, Sequence) and not isinstance(paths, str | bytes)
    if not listed or not all(isinstance(path, str | Path) for path in cast("list[object]", paths)):
        remedy = 'write may_read=["path/to/folder"]'
        raise DeclarationError("may_read", paths, "is not a list of paths", remedy)
    given = cast("list[str | Path]", paths)
    return [str((folder / Path(path).expanduser()).resolve()) for path in given]
