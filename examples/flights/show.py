"""What the example prints: a line for each batch as it ends, then tables, then two lines."""

import sys
from collections.abc import Iterable

import polars as pl
from rich.console import Console
from rich.status import Status
from rich.table import Table

from check import Verdict
from data import Fault
from stream import Streamed
from year import Place

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
    table = plain_table("batch", "row", "planted", "field")
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
    table = plain_table("batch", "row", "planted", "code", "reason")
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
    _claims(
        {
            "every good row came through once": every_row_once,
            "what came through is what the bare function makes of the good rows": verdict.equal,
            "each planted row is a dead letter with its row and reason": verdict.named
            == verdict.planted,
            "no other row is dead": verdict.dead == verdict.named,
        }
    )


def year(streamed: Streamed, verdict: Verdict, planted: list[Place]) -> None:
    """Print what came of the year: its dead letters, and what was held against the truth."""
    act("Dead letters of the year")
    labels = {(place.batch, place.row): place.fault.label for place in planted}
    table = plain_table("batch/row", "planted", "zone", "code", "reason")
    for letter in streamed.dead.sort("dead_batch", "dead_row").iter_rows(named=True):
        batch, row = letter["dead_batch"], letter["dead_row"]
        reason = letter["dead_message"].splitlines()[0]
        label = labels.get((batch, row), "nothing")
        table.add_row(f"{batch}/{row}", label, letter["dead_zone"], letter["dead_code"], reason)
    console.print(table)
    act("Checks")
    killed = streamed.killed
    every_row_once = verdict.delivered == verdict.good and verdict.doubled == 0
    _claims(
        {
            f"the runner of {killed.zone} was killed after {killed.batches} batches, and another "
            "took its place": killed.back_s is not None,
            "the pipeline's own books balance (`firedoor run` ended with 0)": streamed.code == 0,
            "every good row is stored once": every_row_once,
            "what is stored is what the bare functions make of the good rows": verdict.equal,
            "each planted row is a dead letter with its zone, batch, row and reason": verdict.named
            == verdict.planted,
            "no other row is dead": verdict.dead == verdict.named,
        }
    )


def _claims(claims: dict[str, bool]) -> None:
    """Print each claim, and whether it holds."""
    for claim, holds in claims.items():
        console.print(f"{'ok' if holds else 'FAILED':<7}{claim}", style=None if holds else "red")


def closing_lines(
    plain_ended: str, plain_delivered: int, verdict: Verdict, of_year: Verdict
) -> None:
    """Print the three lines that everything above comes down to, and what to try next."""
    through = _through(verdict)
    stored = _through(of_year)
    width = max(len(plain_ended), len(through), len(stored))
    delivered = f"{plain_delivered:,} of {verdict.good:,} good rows delivered"
    lines = [
        f"plain loop   {plain_ended:<{width}}   {delivered}",
        f"firedoor     {through:<{width}}   {_died(verdict, 'row')}",
        f"the year     {stored:<{width}}   {_died(of_year, 'zone, batch, row')}",
    ]
    console.print()
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print("\ntry: firedoor dlq\n     firedoor trace flights-000003/4711")


def _through(verdict: Verdict) -> str:
    """Say how many good rows came through."""
    return f"{verdict.delivered:,} of {verdict.good:,} good rows, {verdict.doubled} doubled"


def _died(verdict: Verdict, what: str) -> str:
    """Say how many rows are dead, and whether each is named."""
    all_named = verdict.named == verdict.dead
    reasons = f"each with {what} and reason" if all_named else f"{verdict.named} as planted"
    return f"{verdict.dead} dead, {reasons}"


def plain_table(*columns: str) -> Table:
    """Return an empty table without lines."""
    return Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
