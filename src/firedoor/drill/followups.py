"""What to do after a drill: each proposal names something that a machine can check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from firedoor.drill.cell import Cell
from firedoor.drill.report import Report, Row
from firedoor.drill.stage import BROKER, CONTROL, END_TO_END

SILENT, UNEXPLAINED = "FiredoorZoneSilent", "FiredoorUnexplained"
What = Literal["lint", "drill", "gate", "alert"]


class FollowUp(msgspec.Struct, frozen=True, kw_only=True):
    """One proposal."""

    kind: What
    check: str
    """What shows that it is done: a rule of ``firedoor check``, a cell, a gate, an alert."""
    text: str


def follow_ups(report: Report) -> tuple[FollowUp, ...]:
    """Return what a report proposes, without repetitions; people decide what is done."""
    made: dict[tuple[str, str], FollowUp] = {}
    for row in report.rows:
        for each in (*_of_row(row), *(one for cell in row.cells for one in _of_cell(row, cell))):
            made.setdefault((each.check, each.text), each)
    return tuple(made.values())


def _of_row(row: Row) -> list[FollowUp]:
    """Return what a row proposes as a whole."""
    made = []
    if not row.cleaned:
        text = f"find out why {row.fault} was not taken back in {row.zone}"
        made.append(FollowUp(kind="drill", check=f"{row.name}: cleaned", text=text))
    for each in row.unrecovered:
        text = (
            f"{each.in_words}; then have it recover by itself, or write into its runbook what to do"
        )
        check = f"{row.name}: {each.zone} is well within {each.waited_s:.0f} s"
        made.append(FollowUp(kind="drill", check=check, text=text))
    if row.recovered_s is None and row.injected and not row.unrecovered:
        text = f"have {row.zone} recover by itself, or write into its runbook what to do"
        made.append(FollowUp(kind="alert", check=_alert_of(row.zone), text=text))
    dead = sum(each.rows.dead for each in row.conservation)
    if dead:
        text = (
            f"{dead:,} rows died of this drill: `firedoor dlq replay --zone {row.zone}` brings "
            "back those of which nothing was wrong"
        )
        made.append(FollowUp(kind="gate", check=f"dlq of {row.zone} is empty", text=text))
    return made


def _of_cell(row: Row, cell: Cell) -> list[FollowUp]:
    """Return what a cell proposes."""
    named = f"cell ({row.name}, {cell.zone})"
    if cell.flaky:
        text = f"find out what {cell.zone} depends on: verdicts under seeds were {_list(cell)}"
        return [FollowUp(kind="drill", check=named, text=text)]
    if cell.verdict == "no_evidence":
        text = f"give {cell.zone} enough to do while it is drilled: {cell.why}"
        return [FollowUp(kind="drill", check=named, text=text)]
    if cell.verdict != "breach":
        return []
    keep = FollowUp(
        kind="drill", check=named,
        text=f"keep this row in drills.yaml until {cell.zone} is not hurt by it any more",
    )  # fmt: skip
    return [*_causes(row, cell), keep]


def _causes(row: Row, cell: Cell) -> Sequence[FollowUp]:
    """Return what would have kept a fault where it was, by how it came to be felt."""
    if cell.zone == END_TO_END:
        if all(each.checked and each.holds for each in row.conservation):
            return ()  # the end that is hurt has a cell of its own
        text = "rows were lost or doubled: have effects keyed by (zone, batch) at every sink"
        return [FollowUp(kind="lint", check="FD114, FD115", text=text)]
    hurt = {each.indicator for each in cell.findings if each.judgement == "hurt"}
    own = cell.cause in {"own", ""}
    made = []
    if "availability" in hurt and not own:
        text = (
            f"{cell.zone} took what {cell.cause} should not have let out: declare an out schema of "
            f"{cell.cause}, or a demand of {cell.zone}"
        )
        made.append(FollowUp(kind="gate", check=f"quality gate of {cell.cause}", text=text))
    if "availability" in hurt and own:
        text = (
            f"{cell.zone} fails by itself while {row.zone} is faulted: what they share (a process, "
            "a pool, retries without a budget) carries the fault over"
        )
        made.append(FollowUp(kind="lint", check="FD116, FD101", text=text))
    if "latency" in hurt:
        text = (
            f"{cell.zone} waits for what {row.zone} delays: give the call a deadline, and a "
            "fallback"
        )
        made.append(FollowUp(kind="lint", check="FD102, FD104", text=text))
    if "freshness" in hurt:
        made.append(_of_freshness(row, cell, own=own))
    return made


def _of_freshness(row: Row, cell: Cell, *, own: bool) -> FollowUp:
    """Return what would have kept a zone at work."""
    if row.zone == BROKER:
        text = f"{cell.zone} cannot be without the broker for so long: run a cluster of three"
        return FollowUp(kind="alert", check=f'{UNEXPLAINED}{{zone="{cell.zone}"}}', text=text)
    if own:
        text = f"{cell.zone} stood still while {row.zone} was faulted: look what it waits for"
        return FollowUp(kind="lint", check="FD105, FD116", text=text)
    text = (
        f"{cell.zone} stood still because of {cell.cause}: a larger inbox there, or "
        'when_full="detach", lets it go on'
    )
    return FollowUp(kind="lint", check="FD105, FD106", text=text)


def _alert_of(zone: str) -> str:
    """Return the alert that tells of a zone that stands still, as rules for Prometheus have it.

    Broker and control promise nothing: whoever inherits from them is paged.
    """
    return UNEXPLAINED if zone in {BROKER, CONTROL} else f'{SILENT}{{zone="{zone}"}}'


def _list(cell: Cell) -> str:
    """Return the verdicts of the seeds."""
    return ", ".join(verdict.replace("_", " ") for verdict in cell.seeds)
