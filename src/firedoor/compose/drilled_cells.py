"""What the drills that are kept in a project have shown of one service, for its rollouts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from firedoor.compose.drill_files import REPORT, drills_folder, names, read
from firedoor.drill.report import Report
from firedoor.drill.shown import Shown, shown_by
from firedoor.errors import NotKnown, shorten
from firedoor.rollout.drilled import Drilled

WHY_CHARACTERS = 200
WORST: tuple[Shown, ...] = ("red", "unclear", "answered", "green")
"""Of several rows of one fault in one drill, which may differ in strength."""


class DrilledCells:
    """See ``ports.rollouts.Drills``. Used by one task at a time."""

    def __init__(self, project: Path, pipeline: str, service: str) -> None:
        """Read nothing yet; ``project`` is ``.firedoor``."""
        self._folder = drills_folder(project)
        self._pipeline, self._service = pipeline, service
        self._known: dict[str, dict[str, Drilled]] = {}
        """By drill, of those that were read: kept ones do not change."""

    async def last(self, faults: Sequence[str]) -> tuple[Drilled, ...]:
        """Return what the last drill of each fault showed; what was never drilled is left out."""
        return await asyncio.to_thread(self._last, faults) if faults else ()

    def _last(self, faults: Sequence[str]) -> tuple[Drilled, ...]:
        """Look through drills, the latest first, until each fault is found."""
        found: dict[str, Drilled] = {}
        unclear: dict[str, Drilled] = {}
        there = names(self._folder)
        for name in reversed(there):
            if len(found) == len(faults):
                break
            for fault, one in self._of(name).items():
                if fault in faults:
                    (unclear if one.shown == "unclear" else found).setdefault(fault, one)
        self._known = {name: self._known[name] for name in there if name in self._known}
        shown = unclear | found
        return tuple(shown[fault] for fault in faults if fault in shown)

    def _of(self, name: str) -> dict[str, Drilled]:
        """Return what one drill showed, by fault; of one that cannot be read, nothing."""
        if name not in self._known:
            try:
                report = read(self._folder / name / REPORT)
            except NotKnown:
                return {}
            mine = report.pipeline == self._pipeline
            self._known[name] = _drilled(report, self._service) if mine else {}
        return self._known[name]


def _drilled(report: Report, service: str) -> dict[str, Drilled]:
    """Return what a drill showed of faults in a service; of several rows of one, the worst."""
    found: dict[str, Drilled] = {}
    for row in report.rows:
        if row.zone != service:
            continue
        verdict, why = shown_by(row)
        one = Drilled(
            fault=row.fault, shown=verdict, at_s=row.began_s, drill=report.drill,
            why=shorten(why, WHY_CHARACTERS),
        )  # fmt: skip
        before = found.get(row.fault)
        if before is None or WORST.index(verdict) < WORST.index(before.shown):
            found[row.fault] = one
    return found
