"""What `train.py` prints: the commands as they are typed, then tables, then what it comes to."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from firedoor.evaluation.metrics import Unknown
from show import act, console, error, plain_table
from year import ROOT

if TYPE_CHECKING:
    from train import Candidate, Season

__all__ = ["act", "closing_lines", "error", "season", "typed"]

MIB = 2**20


def typed(arguments: Sequence[str]) -> None:
    """Print a command as a person types it."""
    named = [argument.removeprefix(f"{ROOT}/") for argument in arguments]
    console.print(f"\n$ firedoor {' '.join(named)}", style="bold", soft_wrap=True)


def season(found: Season) -> None:
    """Print how the scores held up."""
    act("6. How the scores held up")
    months = plain_table("month", "part", "flights", "late", "foretold", "auc", "psi")
    for row in found.months.iter_rows(named=True):
        months.add_row(
            f"{row['month']:%B}",
            part_of(row["month"].month),
            f"{row['flights']:,}",
            f"{row['late']:.1%}",
            f"{row['foretold']:.1%}",
            f"{row['auc']:.3f}",
            f"{row['psi']:.3f}",
        )
    console.print(months)
    weekly = sorted(found.weeks["auc"].drop_nans().to_list())
    console.print(
        f"\nauc {found.auc:.3f}; by the week {weekly[0]:.3f} to {weekly[-1]:.3f}, "
        f"in the middle {median(weekly):.3f} ({len(weekly)} weeks)"
    )
    console.print(f"probabilities are off by {off(found)}; psi: scores against those of training")


def part_of(month: int) -> str:
    """Return which part of the dataset a month is."""
    names = ["train", "tune", "test", "later"]
    return names[bisect([6, 7, 9], month)]


def off(found: Season) -> str:
    """Say how far probabilities are off."""
    if isinstance(found.calibration, Unknown):
        return f"nobody knows what: {found.calibration.why}"
    rmsce = found.calibration.rmsce
    return f"{rmsce.value:.3f} ({rmsce.low:.3f} to {rmsce.high:.3f})"


def closing_lines(
    candidates: Sequence[Candidate], found: Season, *, took_s: float, peak_bytes: int
) -> None:
    """Print what it comes to."""
    console.print()
    for one in candidates:
        auc, low, high = one.figures["roc_auc"]
        loss, _, _ = one.figures["log_loss"]
        labels = f"{one.permuted:.0%} of labels permuted" if one.permuted else "labels as they are"
        console.print(
            f"{one.version}   {labels:<24}auc {auc:.3f} ({low:.3f} to {high:.3f})   "
            f"log loss {loss:.4f}   {one.verdict}, {'promoted' if one.live else 'not promoted'}",
            soft_wrap=True,
        )
    by_model = ", ".join(f"{rows:,} by {version}" for version, rows in found.by_model.items())
    console.print(
        f"scored     {found.scored:,} of {found.due:,} flights of September to December, "
        f"{found.doubled} twice: {by_model}",
        soft_wrap=True,
    )
    learnt = max(one.peak_bytes for one in candidates) / MIB
    console.print(
        f"took       {took_s:.0f} s; largest process {peak_bytes / MIB:,.0f} MiB, "
        f"training {learnt:,.0f} MiB"
    )
    tries = ["try: firedoor models show delays@champion", "     firedoor models rollback delays"]
    console.print("\n" + "\n".join(tries))
