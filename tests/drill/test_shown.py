"""What a row of the matrix shows of a fault."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from drilled import row, second
from firedoor.drill.report import Row
from firedoor.drill.shown import shown_by

SECONDS = 12
HURT = {"predict": [second(lost=30)] * SECONDS}
IDLE = {"store": [second(0, batches=0)] * 40}


def answered(made: Row) -> Row:
    """Return a row of whose breaches somebody answers."""
    cells = tuple(
        replace(cell, known="ann until 2027-01-01") if cell.verdict == "breach" else cell
        for cell in made.cells
    )
    return replace(made, cells=cells)


def test_a_row_in_which_nobody_was_hurt_is_green() -> None:
    assert shown_by(row()) == ("green", "")


def test_a_row_in_which_somebody_was_hurt_is_red_and_says_who() -> None:
    verdict, why = shown_by(row(HURT))
    assert verdict == "red"
    assert "predict was hurt: " in why


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (row(IDLE, well_s=1), "too little was seen of store"),
        (replace(row(), injected=False), "the fault hit nothing"),
        (replace(row(), why_void="it was refused"), "it was refused"),
        (replace(row(), cells=()), "too little was seen of any zone"),
    ],
)
def test_of_what_too_little_was_seen_is_neither(made: Row, told: str) -> None:
    verdict, why = shown_by(made)
    assert verdict == "unclear"
    assert told in why


def test_what_somebody_answers_for_is_not_red_and_not_green() -> None:
    verdict, why = shown_by(answered(row(HURT)))
    assert verdict == "answered"
    assert "predict was hurt, known to ann until 2027-01-01" in why
