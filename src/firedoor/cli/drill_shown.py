"""A containment matrix on a terminal: a letter a cell, figures a row, and why where it matters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from firedoor.cli.asking import one_line
from firedoor.drill.cell import CODES, WORDS, Cell, Verdict
from firedoor.drill.comparing import Comparison
from firedoor.drill.report import Moment, Report, Row
from firedoor.drill.telling import HEADS, clock_time, figures, heading, share, strength

if TYPE_CHECKING:
    from rich.console import Console

STYLES: dict[Verdict, str] = {
    "kept": "black on green", "degraded": "black on yellow", "expected": "white on blue",
    "no_evidence": "black on bright_white", "breach": "bold white on red",
}  # fmt: skip
WHY_CHARACTERS = 300
SHORT: dict[Verdict, str] = {
    "kept": "kept", "degraded": "kept by a fallback", "expected": "may be hurt, or starve",
    "no_evidence": "no evidence: never passes", "breach": "hurt, and should not be",
}  # fmt: skip
assert SHORT.keys() == WORDS.keys()


def show(report: Report, console: Console) -> None:
    """Print a report: the matrix first, the verdict last."""
    for line in heading(report):
        console.print(line, markup=False, highlight=False)
    console.print()
    if report.rows:
        console.print(_table(report))
        console.print(_legend())
    for line in (*_whys(report), *_notes(report)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(_verdict(report), highlight=False, soft_wrap=True)


def _table(report: Report) -> Table:
    """Return the matrix."""
    table = Table(box=None, pad_edge=False, header_style="bold", collapse_padding=True)
    table.add_column("fault", no_wrap=True)
    table.add_column("in", no_wrap=True)
    for zone in report.zones:
        table.add_column(zone.replace("_", "\n"), justify="center", vertical="bottom")
    for head in HEADS[2:]:
        table.add_column(head, justify="right", no_wrap=True)
    for row in report.rows:
        cells = [_cell(row.cell(zone), row) for zone in report.zones]
        strong = strength(row)
        fault = Text(row.fault) + Text(f"  {strong}" if strong else "", style="dim")
        table.add_row(fault, row.zone, *cells, *figures(row))
    return table


def _cell(cell: Cell | None, row: Row) -> Text:
    """Return one cell: its letter; the faulted zone in brackets."""
    if cell is None:
        return Text("")
    code = cell.code + ("k" if cell.known else "")
    shown = f"[{code}]" if cell.zone == row.zone else f" {code} "
    return Text(shown, style=STYLES[cell.verdict])


def _legend() -> Text:
    """Return what the letters mean, in a line or two."""
    text = Text("\n")
    for verdict, words in SHORT.items():
        text.append(f" {CODES[verdict]} ", style=STYLES[verdict])
        text.append(f" {words}   ")
    text.append("[ ] the faulted zone   ~ seeds disagree   k known", style="dim")
    return text


def _whys(report: Report) -> Iterator[str]:
    """Yield what every bad cell has to say; what one row has in common is said once."""
    for row in report.rows:
        bad = [cell for cell in row.cells if cell.verdict in {"breach", "no_evidence"}]
        if not bad and not row.aborted and row.recovered_s is not None:
            continue
        yield ""
        yield row.name + (f": {row.because}" if row.because else "")
        if row.why_void:
            yield f"  ? {one_line(row.why_void, WHY_CHARACTERS)}"
        for cell in bad:
            if cell.why == row.why_void:
                continue
            known = f" (known: {cell.known})" if cell.known else ""
            why = one_line(cell.why, WHY_CHARACTERS)
            yield f"  {cell.code} {cell.zone}: {why}{known}"
        if row.aborted:
            yield f"  the fault was taken back after {row.for_s:.0f} s: {row.aborted}"
        for each in row.unrecovered:
            yield f"  not recovered: {one_line(each.in_words, WHY_CHARACTERS)}"
        if row.recovered_s is None and row.injected and not row.unrecovered:
            yield "  it was not seen that all is well again"


def _notes(report: Report) -> Iterator[str]:
    """Yield what became of known breaches."""
    if report.expired or report.mended:
        yield ""
    for text in report.expired:
        yield f"overdue: {text}"
    for text in report.mended:
        yield f"mended: {text}"


def _verdict(report: Report) -> Text:
    """Return the last line."""
    style = {0: "bold green", 3: "bold yellow"}.get(report.exit_code, "bold red")
    return Text(report.verdict, style=style)


def tell_moment(moment: Moment) -> str:
    """Return what happens now in a line, for whoever waits."""
    zone = f"{moment.zone}: " if moment.zone else ""
    return f"{clock_time(moment.at_s)}  {moment.what:<6} {zone}{moment.text}"


def comparison_lines(compared: Comparison) -> Iterator[str]:
    """Yield what is different from a drill before; of what only one has, what is bad alone."""
    told = [
        change
        for change in compared.changes
        if change.worse or (change.before is not None and change.after is not None)
    ]
    if not told:
        common = "" if compared.same_matrix else " that both have"
        yield f"every cell{common} is as it was in drill {compared.before}"
    for change in told:
        word = "worse" if change.worse else "other"
        yield f"{word}: {change.in_words} (since drill {compared.before})"


def score_line(report: Report) -> str:
    """Return one drill in a line, for a list of them."""
    scored = report.score
    return (
        f"{report.drill}  {share(scored.containment):>9}  {scored.breaches:>3} breaches  "
        f"{scored.no_evidence:>3} without evidence  {report.verdict}"
    )
