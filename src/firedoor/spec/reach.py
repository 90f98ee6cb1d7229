"""What a job must not reach that learns from a dataset of which a part is sealed.

The rows of that part are also in the files that they were read from, and in those of every sink.
"""

from __future__ import annotations

import fnmatch
import glob
from collections.abc import Iterable
from pathlib import Path

from firedoor.errors import DeclarationError
from firedoor.spec.plan import ZonePlan


def hides(zones: Iterable[ZonePlan]) -> tuple[str, ...]:
    """Return the patterns of sources, and the folders of sinks: absolute paths and globs.

    All of them: which rows a step let pass, and which it copied, is not known here.
    """
    found: list[str] = []
    for zone in zones:
        if zone.source is not None:
            found += zone.source.patterns
        if zone.sink is not None and zone.sink.path:
            found.append(glob.escape(zone.sink.path))
    return tuple(dict.fromkeys(found))


def check_reach(job: str, may_read: Iterable[str], zones: Iterable[ZonePlan], file: Path) -> None:
    """Refuse a job that may read what rows of a sealed part are in, or whose code lies there.

    Args:
        job: its name.
        may_read: absolute paths.
        zones: of its pipeline.
        file: that declares it.

    Raises:
        DeclarationError: naming the path.
    """
    hidden = hides(zones)
    for pattern in hidden:
        stem, whole = stem_of(pattern)
        if whole and file.is_relative_to(stem):
            why = f"holds rows of a part that is sealed, and the code of job {job!r} as well"
            remedy = "have the sink write to a folder of its own"
            raise DeclarationError("folder", stem, why, remedy)
    for path in may_read:
        for pattern in hidden:
            if _meet(path, pattern):
                why = f"of job {job!r} holds rows of a part that is sealed ({pattern})"
                remedy = "name files that no source reads and no sink writes"
                raise DeclarationError("may_read", path, why, remedy)


def stem_of(pattern: str) -> tuple[str, bool]:
    """Return the folder below which all lies that matches a pattern, and whether it is all of it.

    Of a path without a glob it is the path.
    """
    kept: list[str] = []
    for part in Path(pattern).parts:
        bare = part
        for char in "*?[":
            bare = bare.replace(f"[{char}]", char)
        if glob.escape(bare) != part and glob.has_magic(part):
            return str(Path(*kept)), False
        kept.append(bare)
    return str(Path(*kept)), True


def _meet(path: str, pattern: str) -> bool:
    """Return whether a file or folder is, holds or lies in what a pattern may match."""
    stem, whole = stem_of(pattern)
    if Path(stem).is_relative_to(path):
        return True
    if whole:
        return Path(path).is_relative_to(stem)
    lies_in = (Path(path), *Path(path).parents)
    return any(fnmatch.fnmatchcase(str(one), pattern) for one in lies_in)
