"""Say how a zone is degraded, and how good what it joins to is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from firedoor.quality.grades import Grade
from firedoor.wire.records import Degraded, ZoneStatus

NAMES_MAX = 20
"""Lookups and guards that are told."""


def in_short(beat: ZoneStatus | None) -> str:
    """Return the steps of its ladder that a zone is on, an empty string if it is on none."""
    found = None if beat is None else beat.degraded
    return "" if found is None or not found.rungs else f"degraded: {_steps(found)}"


def in_full(beat: ZoneStatus | None) -> list[str]:
    """Return lines for ``firedoor why``; none if there is nothing to say."""
    found = None if beat is None else beat.degraded
    if found is None:
        return []
    lines = [""]
    if found.rungs:
        lines.append(f"degraded: {_steps(found)}")
    if found.why:
        at = datetime.fromtimestamp(found.since_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines.append(f"  at {at}: {found.why}")
    grades = sorted(found.quality.items())[:NAMES_MAX]
    head = ["what the latest batch was made of:"] if grades else []
    return [*lines, *head, *(f"  {name}: {tell(grade)}" for name, grade in grades)]


def _steps(found: Degraded) -> str:
    """Return steps in words."""
    weight = f" (a row stands for {found.weight:g})" if found.weight > 1 else ""
    return ", ".join(rung + (weight if rung == "sample" else "") for rung in found.rungs)


def tell(grade: Grade) -> str:
    """Return a code and an age."""
    return grade.code if grade.age_s is None else f"{grade.code}, {grade.age_s:.0f} s old"


def worse_than_live(quality: Mapping[str, Grade]) -> list[tuple[str, Grade]]:
    """Return what is less than live, by name."""
    found = [(name, grade) for name, grade in sorted(quality.items()) if grade.code != "live"]
    return found[:NAMES_MAX]
