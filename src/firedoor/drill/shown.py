"""Whether a row of the matrix shows that a fault stays where it is injected."""

from __future__ import annotations

from typing import Literal

from firedoor.drill.report import Row

Shown = Literal["green", "red", "answered", "unclear"]


def shown_by(row: Row) -> tuple[Shown, str]:
    """Return what a row shows, and of whom where it is not green.

    ``green``: each cell was judged, and none is a breach. ``red``: one is. ``answered``: one is,
    and somebody answers for all of them. ``unclear``: too little was seen of one.
    """
    breaches = [cell for cell in row.cells if cell.verdict == "breach"]
    hurt = [cell for cell in breaches if not cell.known]
    if hurt:
        return "red", "; ".join(f"{cell.zone} was hurt: {cell.why}" for cell in hurt)
    if breaches:
        answered = (f"{cell.zone} was hurt, known to {cell.known}" for cell in breaches)
        return "answered", "; ".join(answered)
    if row.why_void or not row.injected:
        return "unclear", row.why_void or "the fault hit nothing"
    open_ones = [cell.zone for cell in row.cells if cell.verdict == "no_evidence"]
    if open_ones or not row.cells:
        return "unclear", f"too little was seen of {', '.join(open_ones) or 'any zone'}"
    return "green", ""
