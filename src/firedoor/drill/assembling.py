"""Make a row of the matrix of what was seen in an exercise."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from firedoor.drill.books import Conservation
from firedoor.drill.catalogue import fault_kind
from firedoor.drill.cell import ORDER, Cell, Verdict, judge_cell
from firedoor.drill.following import Following
from firedoor.drill.job_runs import RunsSeen
from firedoor.drill.judging import Doubt
from firedoor.drill.report import Moment, Row, Unrecovered
from firedoor.drill.stage import END_TO_END, Stage
from firedoor.events.objective import INDICATORS


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """How an exercise went, besides what zones did. Times are UTC or durations."""

    began_s: float
    ended_s: float
    lasted_s: float
    """From the injection until it was taken back."""
    hits: int = 0
    heard: bool = False
    """Whether anybody said that they inject it."""
    refused: str = ""
    """Why it was not injected; empty: it was, or nobody said anything."""
    aborted: str = ""
    cleaned: bool = True
    recovered_s: float | None = None
    unrecovered: tuple[Unrecovered, ...] = ()
    conservation: Conservation
    timeline: tuple[Moment, ...] = ()


def doubt_for(*, doubt: float, cells: int, units_min: int) -> Doubt:
    """Return how sure is sure for one promise: the doubt is shared by all of all cells."""
    return Doubt(chance=doubt / max(1, cells) / len(INDICATORS), units_min=units_min)


def make_row(
    following: Following, course: Course, doubt: Doubt, runs: RunsSeen | None = None
) -> Row:
    """Return the row of one exercise.

    Args:
        following: what was seen of zones.
        course: how it went.
        doubt: how sure is sure.
        runs: what was seen of jobs; None: nothing was looked at.
    """
    exercise, stage = following.exercise, following.stage
    fault, kind = exercise.fault, fault_kind(exercise.fault.name)
    void = _why_void(course, fault.zone)
    cells = [
        judge_cell(stage.seat(name), following.seen(name), exercise, doubt, why_void=void)
        for name in following.observed
    ]
    cells += [] if runs is None else runs.cells(void)
    cells.append(_end_to_end(cells, course.conservation, stage, void))
    return Row(
        name=exercise.row,
        fault=fault.name,
        of=fault.of,
        zone=fault.zone,
        intensity=fault.intensity,
        unit=kind.unit,
        share=fault.share,
        of_what=kind.of_what,
        column=fault.column,
        because=exercise.because,
        for_s=round(course.lasted_s, 3),
        seeds=(fault.seed,),
        may_hurt=tuple(sorted(exercise.may_hurt)),
        may_starve=tuple(sorted(exercise.may_starve)),
        injected=not void,
        why_void=void,
        hits=course.hits,
        aborted=course.aborted,
        cleaned=course.cleaned,
        began_s=course.began_s,
        ended_s=course.ended_s,
        contained_s=None if void else following.contained_s(),
        recovered_s=course.recovered_s,
        unrecovered=course.unrecovered,
        conservation=(course.conservation,),
        cells=tuple(cells),
        timeline=course.timeline,
    )


def _why_void(course: Course, zone: str) -> str:
    """Return why an exercise proves nothing; empty: it does."""
    if course.refused:
        return f"it was not injected: {course.refused}"
    if not course.heard:
        return f"nobody injected it: no process of {zone} said that it does"
    if not course.hits:
        return f"it was injected in {zone} and hit nothing: there was too little to hit"
    return ""


def _end_to_end(cells: Sequence[Cell], conservation: Conservation, stage: Stage, void: str) -> Cell:
    """Return the cell of all that leaves the pipeline, and of its books."""
    ends = [cell for cell in cells if stage.seat(cell.zone).ends]
    worst = max(ends, key=lambda cell: ORDER.index(cell.verdict), default=None)
    rows = conservation.rows
    verdict: Verdict
    if conservation.checked and not conservation.holds:
        verdict, why = "breach", conservation.in_words  # whatever else is so
    elif void:
        verdict, why = "no_evidence", void
    elif not conservation.checked:
        verdict, why = "no_evidence", conservation.in_words
    elif worst is None:
        verdict, why = "no_evidence", "none of what is observed leaves the pipeline"
    else:
        verdict = worst.verdict
        why = f"{conservation.in_words}; worst end: {worst.zone}, {worst.why}"
    return Cell(
        zone=END_TO_END,
        verdict=verdict,
        why=why,
        availability=min(
            (c.availability for c in ends if c.availability is not None), default=None
        ),
        p99_s=max((cell.p99_s for cell in ends if cell.p99_s is not None), default=None),
        stale_s=max((cell.stale_s for cell in ends), default=0),
        dead=rows.dead,
        hurt_s=min((cell.hurt_s for cell in ends if cell.hurt_s is not None), default=None),
        well_s=max((cell.well_s for cell in ends if cell.well_s is not None), default=None),
        spent=max((cell.spent for cell in ends), default=0.0),
        cause=worst.cause if worst else "",
    )
