"""What the example prints: a line for each batch as it ends, then tables, then two lines."""

import sys
from collections.abc import Iterable

import polars as pl
from rich.console import Console
from rich.status import Status
from rich.table import Table

from check import Verdict
from data import Fault

WIDTH_OF_A_FILE = 110

console = Console(
    highlight=False, markup=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE
)


def error(message: str) -> None:
    """Print what went wrong, and what to do."""
    Console(stderr=True, highlight=False, markup=False).print(
        f"error: {message}", style="red", soft_wrap=True
    )


def introduction(flights: pl.DataFrame, weather: pl.DataFrame, planted: dict[Fault, int]) -> None:
    """Print what will be run, and what was planted where."""
    console.print(
        f"{flights.height:,} flights of January 2013, each to be joined to one of "
        f"{weather.height:,} hourly observations of the weather.\n"
        f"{len(planted)} of them are overwritten with a fault:\n"
    )
    table = _table("batch", "row", "planted", "field")
    for fault, row in planted.items():
        field = f"{fault.column} = {fault.value!r}"
        table.add_row(str(fault.batch), str(row), fault.label, field)
    console.print(table)


def act(title: str) -> None:
    """Print a heading."""
    console.print()
    console.rule(title, align="left", characters="-")


def waiting(text: str) -> Status:
    """Return a line that moves on a terminal while there is nothing to say."""
    return console.status(text)


def good_batch(number: int, rows: int, dead: Iterable[str] = ()) -> None:
    """Print that a batch was delivered, and what the rows that were not died of."""
    causes = "".join(f", 1 dead ({code})" for code in dead)
    console.print(f"batch {number}  {rows:>5,} good{causes}")


def lost_batch(number: int, reason: str) -> None:
    """Print that a batch was lost as a whole."""
    console.print(f"batch {number}  lost whole: {' '.join(reason.split())}", style="red")


def end_of_plain_loop(ended: str, *, batches_left: int) -> None:
    """Print how it ended."""
    console.print(f"{ended}: {batches_left} batches are not delivered", style="red")


def dead_letters(dead: pl.DataFrame, planted: dict[Fault, int]) -> None:
    """Print each dead letter, with what was planted there."""
    act("Dead letters")
    labels = {(fault.batch, row): fault.label for fault, row in planted.items()}
    table = _table("batch", "row", "planted", "code", "reason")
    for letter in dead.iter_rows(named=True):
        batch, row = letter["batch"], letter["dead_row"]
        what, *frames = letter["dead_message"].splitlines()
        places = [frame.strip().partition(": ")[0] for frame in frames]
        reason = "\n".join([what, *places[-1:]])
        label = labels.get((batch, row), "nothing")
        table.add_row(str(batch), str(row), label, letter["dead_code"], reason)
    console.print(table)


def report(text: str) -> None:
    """Print what the wall says of itself."""
    act("The wall's report")
    console.print(text)


def checks(verdict: Verdict) -> None:
    """Print what was held against the truth."""
    act("Checks")
    every_row_once = verdict.delivered == verdict.good and verdict.doubled == 0
    claims = {
        "every good row came through once": every_row_once,
        "what came through is what the bare function makes of the good rows": verdict.equal,
        "each planted row is a dead letter with its row and reason": verdict.named
        == verdict.planted,
        "no other row is dead": verdict.dead == verdict.named,
    }
    for claim, holds in claims.items():
        console.print(f"{'ok' if holds else 'FAILED':<7}{claim}", style=None if holds else "red")


def closing_lines(plain_ended: str, plain_delivered: int, verdict: Verdict) -> None:
    """Print what to read next, and the two lines that everything above comes down to."""
    console.print(
        "\nNext: `firedoor doctor`, which says what is in force on this machine; docs/.\n"
    )
    all_named = verdict.named == verdict.dead
    reasons = "each with row and reason" if all_named else f"{verdict.named} as planted"
    through = f"{verdict.delivered:,} of {verdict.good:,} good rows, {verdict.doubled} doubled"
    width = max(len(plain_ended), len(through))
    dead = f"{verdict.dead} dead, {reasons}"
    delivered = f"{plain_delivered:,} of {verdict.good:,} good rows delivered"
    console.print(f"plain loop   {plain_ended:<{width}}   {delivered}", soft_wrap=True)
    console.print(f"firedoor     {through:<{width}}   {dead}", soft_wrap=True)


def _table(*columns: str) -> Table:
    """Return an empty table without lines."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
