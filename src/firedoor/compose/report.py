"""The end of a run in words and figures: what came in, where it went, and whether all is there."""

from __future__ import annotations

import msgspec

from firedoor.compose.run_outcome import Outcome
from firedoor.control.accounts import Accounts, ZoneAccount
from firedoor.spec.plan import Plan
from firedoor.units import format_seconds

DONE = 0
NOT_DONE = 1
INTERRUPTED = 130
"""Asked to end before it was through; the next run goes on."""


class StuckFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A zone that waits for a person."""

    zone: str
    state: str
    why: str
    next_command: str


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--json`` writes."""

    pipeline: str
    ended: str
    """``through``, ``stuck`` or ``asked``."""
    exit_code: int
    seconds: float
    rows_in: int
    """That sources read, over all runs in this folder."""
    rows_a_s: float
    """That sources read in this run, by its seconds."""
    sinks: dict[str, int]
    """Rows stored, by sink."""
    dead: int
    dropped: int
    in_flight: int
    conservation: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    stuck: tuple[StuckFigures, ...]
    deaths: dict[str, int]
    accounts: Accounts | None


def figures_of(plan: Plan, outcome: Outcome, *, bounded: bool) -> Figures:
    """Return the figures of a run."""
    accounts = outcome.accounts
    zones: tuple[ZoneAccount, ...] = () if accounts is None else accounts.zones
    rows_in = sum(zone.rows_in for zone in zones if zone.kind == "source")
    holds = accounts is not None and accounts.holds
    return Figures(
        pipeline=plan.pipeline,
        ended=outcome.why,
        exit_code=exit_code(outcome, bounded=bounded, holds=holds),
        seconds=round(outcome.seconds, 3),
        rows_in=rows_in,
        rows_a_s=round(outcome.rows_read / max(outcome.seconds, 0.001), 1),
        sinks={zone.zone: zone.passed for zone in zones if zone.kind == "sink"},
        dead=sum(zone.dead for zone in zones),
        dropped=sum(sum(zone.dropped.values()) for zone in zones),
        in_flight=0 if accounts is None else accounts.in_flight,
        conservation=holds,
        problems=() if accounts is None else accounts.problems,
        notes=() if accounts is None else accounts.notes,
        stuck=tuple(
            StuckFigures(zone=hit.zone, state=hit.state, why=hit.why, next_command=hit.next_command)
            for hit in outcome.stuck
        ),
        deaths={zone: deaths for zone, deaths in outcome.deaths.items() if deaths},
        accounts=accounts,
    )


def exit_code(outcome: Outcome, *, bounded: bool, holds: bool) -> int:
    """Return 0 only if every row is accounted for, and what was to be done is done."""
    if outcome.why == "asked" and bounded:
        return INTERRUPTED
    return DONE if holds and not outcome.stuck else NOT_DONE


def report_lines(figures: Figures) -> list[str]:
    """Return the report as text."""
    lines = ["", _first_line(figures)]
    if figures.accounts is None:
        return [*lines, "the books were not read: the next run, or `firedoor status`, tells more"]
    rate = f", {figures.rows_a_s:,.0f} rows/s" if figures.rows_a_s > 0 else ""
    lines.append(f"  in       {figures.rows_in:>12,} rows{rate}")
    for sink, rows in figures.sinks.items():
        lines.append(f"  {'out':<8} {rows:>12,} rows in {sink}")
    for zone in figures.accounts.zones:
        if zone.dead:
            settled = zone.replayed + zone.discarded
            since = f", {settled:,} of them replayed or discarded since" if settled else ""
            lines.append(f"  {'dead':<8} {zone.dead:>12,} rows in {zone.zone}{since}")
        for reason, rows in sorted(zone.dropped.items()):
            lines.append(f"  {'dropped':<8} {rows:>12,} rows in {zone.zone}: {reason}")
        if zone.shed:
            lines.append(f"  {'shed':<8} {zone.shed:>12,} rows by {zone.zone}")
    if figures.in_flight:
        lines.append(f"  {'waiting':<8} {figures.in_flight:>12,} rows in inboxes")
    for zone_name, deaths in figures.deaths.items():
        lines.append(f"  {'restarts':<8} {deaths:>12,} of {zone_name}")
    if figures.conservation:
        lines.append("  every row is accounted for")
    else:
        lines.append("  ROWS ARE NOT ACCOUNTED FOR:")
        lines += [f"    {problem}" for problem in figures.problems]
    lines += [f"  note: {note}" for note in figures.notes]
    return [*lines, *_tries(figures)]


def _first_line(figures: Figures) -> str:
    """Return how it ended."""
    took = format_seconds(figures.seconds)
    match figures.ended:
        case "through":
            return f"{figures.pipeline} is through after {took}"
        case "stuck":
            many = len(figures.stuck)
            waits = "a zone waits" if many == 1 else f"{many} zones wait"
            told = [
                f"{hit.zone} is in a state of {hit.state!r}: {hit.why}\n  next: {hit.next_command}"
                for hit in figures.stuck
            ]
            return "\n".join(
                (
                    f"{figures.pipeline} came to rest after {took}: {waits} for a person",
                    *told,
                    "what is not done waits, and the next run goes on with it",
                )
            )
        case _:
            return f"{figures.pipeline} was asked to end after {took}; the next run goes on"


def _tries(figures: Figures) -> list[str]:
    """Return what a person may run next."""
    tries = []
    if figures.dead:
        tries.append("try: firedoor dlq")
    assert figures.accounts is not None, "it is told before where there are none"
    source = next((z for z in figures.accounts.zones if z.kind == "source" and z.batches), None)
    if source is not None:
        tries.append(f"try: firedoor trace {source.zone}-{'0' * 6}/0")
    return tries
