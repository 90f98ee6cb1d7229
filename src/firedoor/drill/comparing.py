"""What is different between two drills: which cells got worse, which better, which are new."""

from __future__ import annotations

import msgspec

from firedoor.drill.cell import Verdict
from firedoor.drill.report import Report

GRAVITY: dict[Verdict, int] = {
    "kept": 0, "expected": 0, "degraded": 1, "no_evidence": 2, "breach": 3,
}  # fmt: skip
"""What the hypothesis allows is no worse than what was kept: chance decides between the two."""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell that is not as it was."""

    row: str
    zone: str
    before: Verdict | None = None
    """None: it was not there."""
    after: Verdict | None = None
    """None: it is not there any more."""

    @property
    def worse(self) -> bool:
        """Whether it got worse, or is new and bad."""
        if self.after is None:
            return False
        return GRAVITY[self.after] > (1 if self.before is None else GRAVITY[self.before])

    @property
    def in_words(self) -> str:
        """Return what changed: ``kill in enrich, score: kept -> breach``."""
        return f"{self.row}, {self.zone}: {_word(self.before)} -> {_word(self.after)}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All that is different, the worse first."""

    before: str
    """The drill that is compared with."""
    same_matrix: bool
    """Whether both were asked for the same."""
    changes: tuple[Change, ...]

    @property
    def worse(self) -> tuple[Change, ...]:
        """Return what got worse."""
        return tuple(change for change in self.changes if change.worse)


def compare(before: Report, after: Report) -> Comparison:
    """Return what is different in ``after``."""
    then = {(row.name, cell.zone): cell.verdict for row in before.rows for cell in row.cells}
    now = {(row.name, cell.zone): cell.verdict for row in after.rows for cell in row.cells}
    changes = [
        Change(row=key[0], zone=key[1], before=then.get(key), after=now.get(key))
        for key in dict.fromkeys((*now, *then))
        if then.get(key) != now.get(key)
    ]
    return Comparison(
        before=before.drill,
        same_matrix=before.matrix == after.matrix,
        changes=tuple(sorted(changes, key=lambda change: not change.worse)),
    )


def _word(verdict: Verdict | None) -> str:
    """Return a verdict as a person reads it."""
    return "not there" if verdict is None else verdict.replace("_", " ")
