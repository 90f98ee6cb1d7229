"""The matrix as one page of HTML that needs nothing else: a heat grid, and all that is behind it.

It reads without scripts and without colour: each cell has its letter, a link to its figures, and
the figures themselves for whoever points at it or reaches it by keyboard.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from firedoor.drill.cell import CODES, WORDS, Cell
from firedoor.drill.comparing import Comparison
from firedoor.drill.followups import follow_ups
from firedoor.drill.page_style import STYLE
from firedoor.drill.report import Report, Row
from firedoor.drill.stage import END_TO_END
from firedoor.drill.telling import (
    HEADS,
    books,
    clock_time,
    detail,
    figures,
    heading,
    seconds,
    share,
    strength,
)

MOMENTS_MAX = 200
_CLASSES = {"kept": "K", "degraded": "D", "expected": "E", "breach": "B", "no_evidence": "N"}


def page_of(report: Report, compared: Comparison | None = None) -> str:
    """Return the page of a report.

    Args:
        report: what was found.
        compared: with the drill before; None: there was none.
    """
    title = f"Containment of {report.pipeline}"
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_x(title)}: {_x(report.verdict[:80])}</title>",
            f"<style>{STYLE}</style></head><body><main>",
            *_banner(report),
            *_tiles(report),
            *_grid(report),
            *_legend(),
            *_compared(compared),
            *_proposals(report),
            "<h2>Row by row</h2>",
            *(line for number, row in enumerate(report.rows) for line in _row(number, row)),
            *_footer(report),
            "</main></body></html>",
            "",
        ]
    )  # fmt: skip


def _banner(report: Report) -> list[str]:
    """Return the verdict, large."""
    how = {0: "", 3: " open"}.get(report.exit_code, " bad")
    return [
        f'<div class="banner{how}">',
        f"<small>{_x(' · '.join(heading(report)))}</small>",
        f"<h1>{_x(report.verdict[:1].upper() + report.verdict[1:])}</h1>",
        *(f"<p>{_x(text)}</p>" for text in (*report.expired, *report.mended)),
        "</div>",
    ]


def _tiles(report: Report) -> list[str]:
    """Return the figures that people ask for first."""
    scored = report.score
    known = f" ({scored.known} known)" if scored.known else ""
    tiles = [
        ("containment", share(scored.containment)),
        ("breaches", f"{scored.breaches}{known}"),
        ("without evidence", str(scored.no_evidence)),
        ("flaky", str(scored.flaky)),
        ("cells judged", str(scored.judged)),
        ("worst row", scored.worst or "none"),
    ]
    items = (f"<li><b>{_x(value)}</b>{_x(name)}</li>" for name, value in tiles)
    return ['<ul class="tiles">', *items, "</ul>"]


def _grid(report: Report) -> list[str]:
    """Return the heat grid."""
    zones = "".join(
        f'<th class="zone" scope="col"><span>{_x(zone.replace("_", " "))}</span></th>'
        for zone in report.zones
    )
    heads = "".join(f'<th scope="col">{_x(head)}</th>' for head in HEADS[2:])
    lines = [
        '<div class="heat"><table class="grid">',
        "<caption class=soft>Rows: a fault in one zone. Columns: what it did to each.</caption>",
        f'<thead><tr><th scope="col">fault</th>{zones}{heads}</tr></thead><tbody>',
    ]
    for number, row in enumerate(report.rows):
        note = " · ".join(filter(None, (row.of, strength(row), seconds(row.for_s))))
        cells = "".join(_cell(number, row, row.cell(zone), zone) for zone in report.zones)
        told = "".join(f'<td class="num">{_x(value)}</td>' for value in figures(row))
        lines.append(
            f'<tr><th scope="row"><a href="#r{number}">{_x(row.name)}</a>'
            f"<small>{_x(note)}</small></th>{cells}{told}</tr>"
        )
    return [*lines, "</tbody></table></div>"]


def _cell(number: int, row: Row, cell: Cell | None, zone: str) -> str:
    """Return one cell, with what is shown of it to whoever points at it."""
    if cell is None:
        return "<td></td>"
    classes = ["cell", _CLASSES[cell.verdict]]
    classes += ["target"] if zone == row.zone else []
    classes += ["end"] if zone == END_TO_END else []
    known = "<sup>k</sup>" if cell.known else ""
    word = cell.verdict.replace("_", " ")
    told = "".join(f"<br>{_x(name)}: {_x(value)}" for name, value in detail(cell))
    label = f"{row.name}, {zone}: {word}{', flaky' if cell.flaky else ''}"
    return (
        f'<td class="{" ".join(classes)}"><a href="#r{number}-{_x(zone)}" '
        f'aria-label="{_x(label)}"><i>{_x(cell.code)}</i>{known}</a>'
        f'<div class="pop"><b>{_x(zone)}: {_x(word)}</b>{_x(cell.why)}{told}</div></td>'
    )


def _legend() -> list[str]:
    """Return what the letters mean."""
    items = (
        f'<li><i class="{_CLASSES[verdict]}">{CODES[verdict]}</i>{_x(words)}</li>'
        for verdict, words in WORDS.items()
    )
    return [
        '<ul class="legend">',
        *items,
        "<li><i>~</i>seeds disagree, the worst counts</li>",
        "<li><i>k</i>a known breach that somebody answers for</li>",
        "<li><i>dashed</i>the faulted zone itself</li></ul>",
    ]


def _compared(compared: Comparison | None) -> list[str]:
    """Return what is different from the drill before."""
    if compared is None:
        return []
    head = f"<h2>Since drill {_x(compared.before)}</h2>"
    other = "" if compared.same_matrix else "<p class=soft>It was asked for something else.</p>"
    if not compared.changes:
        return [head, other, "<p>Every cell is as it was.</p>"]
    items = (
        f"<li>{'<b>worse:</b> ' if change.worse else ''}{_x(change.in_words)}</li>"
        for change in compared.changes
    )
    return [head, other, "<ul>", *items, "</ul>"]


def _proposals(report: Report) -> list[str]:
    """Return what is proposed, each with what shows that it is done."""
    proposed = follow_ups(report)
    if not proposed:
        return []
    rows = (
        f"<tr><td>{_x(each.kind)}</td><td><code>{_x(each.check)}</code></td>"
        f"<td>{_x(each.text)}</td></tr>"
        for each in proposed
    )
    return ["<h2>Proposals</h2>", *_table(("kind", "what shows it", "what to do"), rows)]


def _row(number: int, row: Row) -> list[str]:
    """Return the section of one row."""
    lines = [
        f'<h3 id="r{number}">{_x(row.name)}</h3>',
        f"<p class=soft>{_x(_how(row))}</p>",
        *_table(
            ("zone", "", "why", "figures"),
            (
                f'<tr id="r{number}-{_x(cell.zone)}"><td>{_x(cell.zone)}</td>'
                f'<td class="code">{_x(cell.code)}</td><td class="wide">{_x(cell.why)}</td>'
                f"<td>{_x(', '.join(f'{name} {value}' for name, value in detail(cell)))}</td></tr>"
                for cell in row.cells
            ),
        ),
    ]
    if row.timeline:
        moments = (
            f"<tr><td>{_x(clock_time(one.at_s))}</td><td>{_x(one.zone)}</td><td>{_x(one.what)}</td>"
            f"<td>{_x(one.text)}</td></tr>"
            for one in row.timeline[:MOMENTS_MAX]
        )
        lines += [
            f"<details><summary>Timeline, {len(row.timeline)} entries</summary>",
            *_table(("UTC", "zone", "what", ""), moments),
            "</details>",
        ]
    return lines


def _how(row: Row) -> str:
    """Return how a row went, in a line."""
    others = ", ".join(zone for zone in row.may_hurt if zone != row.zone)
    starve = ", ".join(zone for zone in row.may_starve if zone not in row.may_hurt)
    parts = [
        f"may hurt {row.zone}" + (f", {others}" if others else " alone"),
        f"may starve {starve}" if starve else "",
        f"{row.hits:,} hits",
        f"rows: {books(row)}",
        f"taken back early: {row.aborted}" if row.aborted else "",
        *(f"not recovered: {each.in_words}" for each in row.unrecovered),
        row.why_void,
        row.because,
        f"seeds {', '.join(map(str, row.seeds))}",
    ]
    return "; ".join(filter(None, parts))


def _footer(report: Report) -> list[str]:
    """Return what it takes to do it again."""
    told = {**report.settings, **report.versions}
    pairs = ", ".join(f"{name} {value}" for name, value in told.items())
    chance = _x(share(report.doubt))
    return [
        "<footer>Any cell at all is wrongly called a breach with a chance of at most ",
        f"{chance}. Matrix {_x(report.matrix)}; {_x(pairs)}.</footer>",
    ]


def _table(heads: tuple[str, ...], rows: Iterable[str]) -> list[str]:
    """Return a table of lines that are made already."""
    head = "".join(f"<th scope=col>{_x(name)}</th>" for name in heads)
    return [f'<div class="scroll"><table class="list"><tr>{head}</tr>', *rows, "</table></div>"]


def _x(text: object) -> str:
    """Return a text that is no markup."""
    return escape(str(text), quote=True)
