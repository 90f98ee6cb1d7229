"""Whether what a pipeline reads is there, before anything is started."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from firedoor.spec.plan import Plan, ZonePlan

SHOWN_MAX = 5
"""Files of one source that are named."""


def missing_inputs(plan: Plan) -> tuple[str, ...]:
    """Return what sources and lookups name that cannot be read, in words; empty if all can.

    A source that follows may begin without files.
    """
    problems = []
    for zone in plan.zones:
        for pattern in zone.source.patterns if zone.source is not None else ():
            there = _named(pattern)
            if not there and not _follows(zone):
                problems.append(
                    f"source {zone.name}: {pattern} matches no file; correct the path, which is "
                    "relative to the pipeline's file, or write follow=True to wait for one"
                )
            unread = [said for path in there if (said := _unreadable(path))]
            problems += [f"source {zone.name}: {said}" for said in unread[:SHOWN_MAX]]
            if len(unread) > SHOWN_MAX:
                problems.append(f"source {zone.name}: and {len(unread) - SHOWN_MAX:,} more files")
    for lookup in plan.lookups:
        if lookup.path and not _is_there(lookup.path):
            told = f"there is no file {lookup.path}; make it, or correct the path"
            problems.append(f"lookup {lookup.name}: {told}")
        elif lookup.path and (said := _unreadable(lookup.path)):
            problems.append(f"lookup {lookup.name}: {said}")
    return tuple(problems)


def _named(pattern: str) -> list[str]:
    """Return what is there of what a path or glob names; folders only if a path names one."""
    if glob.has_magic(pattern):
        found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - patterns are absolute
        return [path for path in found if not Path(path).is_dir()]
    return [pattern] if _is_there(pattern) else []


def _follows(zone: ZonePlan) -> bool:
    """Return whether a source waits for files."""
    return zone.source is not None and zone.source.follow


def _is_there(path: str) -> bool:
    """Return whether there is something, as far as this user can tell."""
    try:
        return Path(path).exists()
    except PermissionError:
        return True


def _unreadable(path: str) -> str:
    """Return why a path that is there cannot be read; empty if it can."""
    if not os.access(path, os.R_OK):
        return f"{path} may not be read; allow it to the user who runs firedoor"
    if Path(path).is_dir():
        return f"{path} is a folder; name a file in it, or a glob like {path.rstrip('/')}/*"
    return ""
