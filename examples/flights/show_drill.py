"""What `drill.py` prints beside what the commands say themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from load import told
from show import act, console, error
from show_training import typed
from year import ROOT

if TYPE_CHECKING:
    from drill import Exercise
    from load import Seen

COLUMNS = "150"
"""Of a matrix that goes to a file."""

__all__ = ["COLUMNS", "closing_lines", "error", "prepared", "typed"]


def prepared(took_s: float) -> None:
    """Print that all is there that the drill needs."""
    console.print(f"the flights of January, and a model that was learnt from them ({took_s:.0f} s)")


def closing_lines(exercise: Exercise, seen: Seen, took_s: float, project: Path) -> None:
    """Print what clients saw meanwhile, and where to look further."""
    act("What clients saw meanwhile")
    console.print(told(seen))
    books = "every row is accounted for" if exercise.run_code == 0 else "see its log"
    console.print(f"firedoor up ended with {exercise.run_code}: {books}")
    console.print(f"took       {took_s:.0f} s, the drill {exercise.took_s:.0f} s of it")
    where = str(project).removeprefix(f"{ROOT}/")
    tries = [
        f"try: firedoor drill show --project {where}",
        f"     firedoor events --project {where} --kind drill",
    ]
    console.print("\n" + "\n".join(tries))
