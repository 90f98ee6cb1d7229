"""Whether every row was accounted for after a fault, and what became of rows meanwhile. Exact."""

from __future__ import annotations

import msgspec

PROBLEMS_SHOWN = 10


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over the books of a pipeline at one moment, in rows; all but the last only rise."""

    came_in: int = 0
    """At its sources."""
    went_out: int = 0
    """At its sinks."""
    dead: int = 0
    dropped: int = 0
    """As declared."""
    shed: int = 0
    missed: int = 0
    """Not published because an edge was cut."""
    in_flight: int = 0
    lost: int = 0
    """Published, and neither in an inbox nor in any record."""
    doubled: int = 0
    """Recorded more than once."""


class Conservation(msgspec.Struct, frozen=True, kw_only=True):
    """What the books say after an exercise."""

    checked: bool
    """False: they could not be read, so that nothing is known."""
    holds: bool = False
    problems: tuple[str, ...] = ()
    """What does not add up that did before, with batch ids."""
    rows: Rows = Rows()
    """Since before the fault; ``in_flight`` is of now."""

    @property
    def in_words(self) -> str:
        """Return what it says in a sentence."""
        if not self.checked:
            return "the books could not be read"
        rows = self.rows
        if not self.problems and not self.holds:
            return f"{rows.lost:,} rows more are lost, and {rows.doubled:,} doubled"
        if not self.holds:
            return f"{len(self.problems)} accounts do not add up: {self.problems[0]}"
        return (
            f"every row is accounted for: {rows.came_in:,} in, {rows.went_out:,} out, "
            f"{rows.dead:,} dead-lettered, {rows.in_flight:,} under way"
        )


def since(before: Rows, now: Rows) -> Rows:
    """Return what became of rows between two moments."""
    return Rows(
        came_in=now.came_in - before.came_in,
        went_out=now.went_out - before.went_out,
        dead=now.dead - before.dead,
        dropped=now.dropped - before.dropped,
        shed=now.shed - before.shed,
        missed=now.missed - before.missed,
        in_flight=now.in_flight,
        lost=now.lost - before.lost,
        doubled=now.doubled - before.doubled,
    )


def conserved(
    before: Rows,
    known: frozenset[str],
    now: Rows,
    problems: tuple[str, ...],
    *,
    known_count: int,
    count: int,
) -> Conservation:
    """Return whether the books hold after a fault.

    Args:
        before: what they said before it.
        known: the first of the problems that were there before.
        now: what they say after it.
        problems: the first of those that are there after it.
        known_count: how many there were before.
        count: how many there are after it.
    """
    fresh = tuple(problem for problem in problems if problem not in known)
    more = count - known_count
    if more > 0 and not fresh:
        fresh = (f"{more} more accounts than before do not add up",)
    rows = since(before, now)
    return Conservation(
        checked=True,
        holds=not fresh and rows.lost <= 0 and rows.doubled <= 0,
        problems=fresh[:PROBLEMS_SHOWN],
        rows=rows,
    )
