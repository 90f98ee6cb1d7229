"""The retrospective of a drill, in Markdown: what was predicted, what was seen, what to do."""

from __future__ import annotations

from collections.abc import Iterable

from firedoor.drill.cell import CODES, WORDS, Cell
from firedoor.drill.followups import follow_ups
from firedoor.drill.report import Moment, Report, Row
from firedoor.drill.telling import (
    HEADS,
    books,
    clock_time,
    detail,
    figures,
    heading,
    seconds,
    strength,
)

MOMENTS_MAX = 40
"""Of a row that are shown; the others are in the ledger."""


def retrospective(report: Report) -> str:
    """Return the retrospective of a report. Nothing in it is guessed: questions are left open."""
    lines = [
        f"# Drill {report.drill} of {report.pipeline}",
        "",
        f"**{_cap(report.verdict)}.**",
        "",
        *(f"{line}  " for line in heading(report)),
        "",
        "## The containment matrix",
        "",
        *matrix_lines(report),
        "",
        "; ".join(f"**{CODES[verdict]}** {words}" for verdict, words in WORDS.items())
        + ". `~`: seeds disagree, the worst counts; `(k)`: known.",
        "",
    ]
    lines += _list("Breaches that are overdue", report.expired)
    lines += _list("Breaches that are mended", report.mended)
    for row in report.rows:
        lines += _row(row)
    lines += _proposals(report)
    lines += [
        "## To be answered by people",
        "",
        "- What surprised us, and who knew it already?",
        "- What went well that nobody had planned?",
        "- Where were we lucky?",
        "- Which of the proposals do we take, by when, and who?",
        "",
    ]
    return "\n".join(lines)


def matrix_lines(report: Report) -> list[str]:
    """Return the matrix as a table of Markdown."""
    heads = [*HEADS[:2], *report.zones, *HEADS[2:]]
    lines = [_cells(heads), _cells("---" for _ in heads)]
    for row in report.rows:
        codes = [_code(row.cell(zone), row) for zone in report.zones]
        lines.append(_cells([row.fault, row.zone, *codes, *figures(row)]))
    return lines


def _code(cell: Cell | None, row: Row) -> str:
    """Return the letter of a cell; of the faulted zone in brackets."""
    if cell is None:
        return ""
    code = cell.code + (" (k)" if cell.known else "")
    code = f"**{code}**" if cell.verdict == "breach" else code
    return f"[{code}]" if cell.zone == row.zone else code


def _row(row: Row) -> list[str]:
    """Return the section of one row."""
    lines = [f"## {row.name}", ""]
    strong = strength(row)
    lines += [
        f"*Injected:* {row.fault}" + (f" ({strong})" if strong else "")
        + f" for {seconds(row.for_s)}, {row.hits:,} hits"
        + (f"; because {row.because}" if row.because else "") + ".",
        f"*Predicted:* {_predicted(row)}",
        f"*Observed:* {_observed(row)}",
        f"*Rows:* {books(row)}; "
        + "; ".join(each.in_words for each in row.conservation) + ".",
        "",
    ]  # fmt: skip
    if row.aborted:
        lines += [f"The fault was taken back early: {row.aborted}.", ""]
    lines += [f"**Not recovered**: {each.in_words}." for each in row.unrecovered]
    lines += [""] if row.unrecovered else []
    leaked = [cell for cell in row.cells if cell.verdict in {"breach", "no_evidence"}]
    for cell in leaked:
        lines.append(f"- **{CODES[cell.verdict]} {cell.zone}**: {cell.why}")
        told = ", ".join(f"{name} {value}" for name, value in detail(cell))
        lines += [f"  ({told})"] if told else []
    lines += [""] if leaked else []
    lines += _timeline(row)
    return lines


def _predicted(row: Row) -> str:
    """Return the hypothesis in words."""
    others = [zone for zone in row.may_hurt if zone != row.zone]
    hurt = " and ".join([f"only {row.zone}", *others]) if others else f"only {row.zone}"
    starve = [zone for zone in row.may_starve if zone not in row.may_hurt]
    wait = f"; {', '.join(starve)} may wait for what it does not make" if starve else ""
    return f"{hurt} may miss its objectives{wait}; no row is lost or doubled."


def _observed(row: Row) -> str:
    """Return what came of it in words."""
    if row.why_void:
        return f"nothing can be said: {row.why_void}."
    by = {
        word: [cell.zone for cell in row.cells if cell.verdict == word]
        for word in ("breach", "no_evidence", "degraded", "expected")
    }
    said = []
    if by["breach"]:
        said.append(f"it leaked: {', '.join(by['breach'])} hurt")
    if by["no_evidence"]:
        said.append(f"no evidence of {', '.join(by['no_evidence'])}")
    if by["degraded"]:
        said.append(f"{', '.join(by['degraded'])} kept by something worse")
    if by["expected"]:
        said.append(f"{', '.join(by['expected'])} as expected")
    if not by["breach"] and not by["no_evidence"]:
        said.insert(0, "it was contained")
    contained = row.contained_s
    when = "no other zone was hurt" if not contained else f"contained after {seconds(contained)}"
    again = (
        f"well again {seconds(row.recovered_s)} after its end"
        if row.recovered_s is not None
        else "not well again in time"
    )
    return f"{'; '.join(said)}; {when}; {again}."


def _timeline(row: Row) -> list[str]:
    """Return what happened, from the ledger."""
    if not row.timeline:
        return []
    shown = _most_telling(row.timeline)
    lines = ["| UTC | zone | what | |", "|---|---|---|---|"]
    lines += [
        f"| {clock_time(one.at_s)} | {one.zone or '-'} | {one.what} | {_plain(one.text)}"
        + (f" (because of {one.cause})" if one.cause else "") + " |"
        for one in shown
    ]  # fmt: skip
    left = len(row.timeline) - len(shown)
    if left:
        lines += ["", f"{left} more: `firedoor events`."]
    return [*lines, ""]


def _most_telling(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Return the first half and the last half of what may be shown."""
    if len(moments) <= MOMENTS_MAX:
        return moments
    half = MOMENTS_MAX // 2
    return (*moments[:half], *moments[-half:])


def _proposals(report: Report) -> list[str]:
    """Return what is to be done, as a list to tick off."""
    proposed = follow_ups(report)
    if not proposed:
        whole = report.rows and not report.stopped
        why = "nothing leaked" if whole else "it did not run to its end, and shows nothing"
        return ["## Proposals", "", f"None: {why}.", ""]
    lines = ["## Proposals", ""]
    lines += [f"- [ ] **{each.kind}** `{each.check}`: {each.text}." for each in proposed]
    return [*lines, ""]


def _list(head: str, items: tuple[str, ...]) -> list[str]:
    """Return a section of items, nothing if there are none."""
    return [f"## {head}", "", *(f"- {item}" for item in items), ""] if items else []


def _cells(values: Iterable[str]) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(values) + " |"


def _plain(text: str) -> str:
    """Return a text that breaks no table."""
    return " ".join(text.replace("|", "/").split())


def _cap(text: str) -> str:
    """Return a text that begins a sentence."""
    return text[:1].upper() + text[1:]
