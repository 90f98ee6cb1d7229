"""Add rows up: seeds to one row, rows to a score, the score to an exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from firedoor.drill.cell import ORDER, Cell
from firedoor.drill.matrix import Known
from firedoor.drill.report import Row, Score, Unrecovered
from firedoor.drill.stage import END_TO_END

Exit = Literal[0, 1, 2, 3, 4, 5]
OK: Exit = 0
BREACH: Exit = 1
USAGE: Exit = 2
NO_EVIDENCE: Exit = 3
SAFETY: Exit = 4
CLEANUP: Exit = 5


def worst_of(cells: Sequence[Cell]) -> Cell:
    """Return the worst of one zone's cells, one a seed, with the verdicts of all."""
    assert cells
    assert len({cell.zone for cell in cells}) == 1
    worst = max(cells, key=lambda cell: ORDER.index(cell.verdict))
    if len(cells) == 1:
        return worst
    return replace(worst, seeds=tuple(cell.verdict for cell in cells))


def joined(rows: Sequence[Row]) -> Row:
    """Return one row of all its seeds: of each cell, of each figure, the worst counts."""
    first = rows[0]
    assert {row.name for row in rows} == {first.name}
    zones = dict.fromkeys(cell.zone for row in rows for cell in row.cells)
    cells = [[cell for row in rows if (cell := row.cell(zone)) is not None] for zone in zones]
    contained = [row.contained_s for row in rows]
    recovered = [row.recovered_s for row in rows]
    return replace(
        first,
        seeds=tuple(seed for row in rows for seed in row.seeds),
        injected=all(row.injected for row in rows),
        why_void=next((row.why_void for row in rows if row.why_void), ""),
        hits=sum(row.hits for row in rows),
        aborted=next((row.aborted for row in rows if row.aborted), ""),
        cleaned=all(row.cleaned for row in rows),
        ended_s=max(row.ended_s for row in rows),
        contained_s=_worst(contained),
        recovered_s=_worst(recovered),
        unrecovered=_once(each for row in rows for each in row.unrecovered),
        conservation=tuple(each for row in rows for each in row.conservation),
        cells=tuple(worst_of(group) for group in cells),
        timeline=tuple(moment for row in rows for moment in row.timeline),
    )


def _once(unrecovered: Iterable[Unrecovered]) -> tuple[Unrecovered, ...]:
    """Return each zone once, as it was seen last."""
    return tuple({each.zone: each for each in unrecovered}.values())


def _worst(seconds: Iterable[float | None]) -> float | None:
    """Return the longest; None if one of them is not known."""
    known: list[float] = []
    for each in seconds:
        if each is None:
            return None
        known.append(each)
    return max(known, default=None)


def mark_known(
    rows: Sequence[Row], known: Sequence[Known], today: str
) -> tuple[tuple[Row, ...], tuple[str, ...], tuple[str, ...]]:
    """Return rows whose known breaches say who answers for them, what has expired, what is mended.

    Args:
        rows: of the matrix.
        known: breaches that somebody answers for.
        today: ``2026-11-29``, UTC.
    """
    expired, mended = [], []
    marked = list(rows)
    for each in known:
        told = f"{each.fault} in {each.zone} hurts {each.hurts}"
        found = False
        for place, row in enumerate(marked):
            if (row.fault, row.zone) != (each.fault, each.zone):
                continue
            cell = row.cell(each.hurts)
            if cell is None or cell.verdict != "breach":
                continue
            found = True
            if each.holds(today):
                owner = f"{each.owner} until {each.until}: {each.because}"
                marked[place] = _with(row, replace(cell, known=owner))
        ran = any((row.fault, row.zone) == (each.fault, each.zone) for row in rows)
        if found and not each.holds(today):
            expired.append(f"{told}: {each.owner} was to mend it until {each.until}")
        elif ran and not found and _was_judged(rows, each):
            mended.append(f"{told} no more: drop it from the known ones")
    return tuple(_end_known(row) for row in marked), tuple(expired), tuple(mended)


def _end_known(row: Row) -> Row:
    """Return a row whose last column is known as well, if nothing but known breaches made it so."""
    cell = row.cell(END_TO_END)
    others = [each for each in row.cells if each.verdict == "breach" and each is not cell]
    if cell is None or cell.verdict != "breach" or cell.known or not others:
        return row
    if not all(each.holds for each in row.conservation) or not all(each.known for each in others):
        return row
    return _with(row, replace(cell, known=others[0].known))


def _was_judged(rows: Sequence[Row], known: Known) -> bool:
    """Return whether enough was seen to say that a known breach is none any more."""
    cells = [
        row.cell(known.hurts) for row in rows if (row.fault, row.zone) == (known.fault, known.zone)
    ]
    return all(cell is not None and cell.verdict != "no_evidence" for cell in cells)


def _with(row: Row, cell: Cell) -> Row:
    """Return a row with one cell replaced."""
    cells = tuple(cell if each.zone == cell.zone else each for each in row.cells)
    return replace(row, cells=cells)


def score(rows: Sequence[Row]) -> Score:
    """Return how well faults were contained. The faulted zones themselves do not count."""
    judged = breaches = known = silent = flaky = 0
    worst, most = "", (0, 0)
    for row in rows:
        outside = [cell for cell in row.cells if cell.zone not in row.may_hurt]
        bad = sum(cell.verdict == "breach" for cell in row.cells)
        open_ones = sum(cell.verdict == "no_evidence" for cell in row.cells)
        judged += sum(cell.verdict != "no_evidence" for cell in outside)
        judged += sum(cell.verdict == "breach" for cell in row.cells if cell not in outside)
        breaches += bad
        known += sum(cell.verdict == "breach" and bool(cell.known) for cell in row.cells)
        silent += open_ones
        flaky += sum(cell.flaky for cell in row.cells)
        if (bad, open_ones) > most:
            worst, most = row.name, (bad, open_ones)
    return Score(
        judged=judged, breaches=breaches, known=known, no_evidence=silent, flaky=flaky, worst=worst
    )


def exit_code(rows: Sequence[Row], scored: Score, *, stopped: str = "") -> Exit:
    """Return with what a gate ends: the gravest that there is.

    5: a fault could not be taken back. 1: a zone was not well again in time, the faulted one
    included: that is graver than any stop, since it goes on. 4: the drill was stopped for safety.
    1: a breach that nobody answers for. 3: too little was seen to say. 0: the hypothesis held.
    """
    if not all(row.cleaned for row in rows):
        return CLEANUP
    if any(row.unrecovered for row in rows):
        return BREACH
    if stopped:
        return SAFETY
    if scored.breaches > scored.known:
        return BREACH
    if scored.no_evidence or not rows or not scored.judged:
        return NO_EVIDENCE
    return OK


def in_words(rows: Sequence[Row], scored: Score, code: Exit, stopped: str) -> str:
    """Return what came of it in a sentence."""
    share = scored.containment
    score = "nothing could be judged" if share is None else f"containment {share * 100:.4g} %"
    match code:
        case 0:
            noted = f", {scored.known} known" if scored.known else ""
            return f"contained: {scored.judged} cells judged, no breach{noted} ({score})"
        case 1:
            ended = f"; stopped: {stopped}" if stopped else ""
            return f"{_breached(rows, scored)} ({score}){ended}"
        case 3:
            return f"not proven: {scored.no_evidence} cells without evidence ({score})"
        case 4:
            return f"stopped: {stopped}"
        case 5:
            names = ", ".join(row.name for row in rows if not row.cleaned)
            return f"not cleaned up: {names} may still be injected; see firedoor drill stop"
        case 2:
            return "nothing was run"


def _breached(rows: Sequence[Row], scored: Score) -> str:
    """Return who is not well again, or else the first breach, in words."""
    for row in rows:
        if row.unrecovered:
            told = "; ".join(each.in_words for each in row.unrecovered)
            return f"not recovered from {row.name}: {told}"
    more = scored.breaches - scored.known - 1
    return f"not contained: {_first(rows)}" + (f", and {more} more" if more > 0 else "")


def _first(rows: Sequence[Row]) -> str:
    """Return the first breach in words."""
    for row in rows:
        for cell in row.cells:
            if cell.verdict == "breach" and not cell.known:
                where = "rows" if cell.zone == END_TO_END else cell.zone
                return f"{row.name} hurt {where}: {cell.why}"
    return ""
