"""Numbers of a report as a person reads them."""

from __future__ import annotations

import datetime as dt

from firedoor.drill.cell import Cell
from firedoor.drill.report import Report, Row

MINUTE_S = 60.0
SHORT_S = 1.0
HEADS = ("fault", "in", "hit", "contained", "recovered", "dead rows", "books")


def seconds(value: float | None) -> str:
    """Return a duration.

    >>> seconds(0.0123), seconds(4.2), seconds(75), seconds(None)
    ('12 ms', '4.2 s', '75 s', '-')
    """
    if value is None:
        return "-"
    if value == 0:
        return "0 s"
    if value < SHORT_S:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 10 * SHORT_S else f"{value:.0f} s"


def share(value: float | None) -> str:
    """Return a share in percent, with as many digits as nines.

    >>> share(0.99987), share(1.0), share(0.5), share(None)
    ('99.987 %', '100 %', '50 %', '-')
    """
    if value is None:
        return "-"
    return f"{value * 100:.5g} %"


def strength(row: Row) -> str:
    """Return how strong a fault was: ``0.5 seconds, 20 % of the messages``."""
    parts = []
    if row.unit:
        parts.append(f"{row.intensity:g} {row.unit}")
    if row.of_what:
        parts.append(f"{share(row.share)} of the {row.of_what}")
    if row.column:
        parts.append(f"column {row.column}")
    return ", ".join(parts)


def figures(row: Row) -> tuple[str, ...]:
    """Return the figures of a row, under ``HEADS`` from the third on."""
    dead = sum(each.rows.dead for each in row.conservation)
    contained = "-" if row.contained_s is None else seconds(row.contained_s)
    return (
        f"{row.hits:,}" if row.hits else "-",
        contained,
        _recovered(row),
        f"{dead:,}",
        books(row),
    )


def _recovered(row: Row) -> str:
    """Return how long it took until all was well."""
    if row.why_void:
        return "-"
    return "not" if row.recovered_s is None else seconds(row.recovered_s)


def books(row: Row) -> str:
    """Return whether every row is accounted for, in a word or a few."""
    if not all(each.checked for each in row.conservation):
        return "not read"
    lost = sum(each.rows.lost for each in row.conservation)
    doubled = sum(each.rows.doubled for each in row.conservation)
    if lost or doubled:
        return f"{lost:,} lost, {doubled:,} doubled"
    uneven = sum(len(each.problems) for each in row.conservation)
    return f"{uneven} uneven" if uneven else "exact"


def detail(cell: Cell) -> list[tuple[str, str]]:
    """Return the figures of a cell, with what each is."""
    pairs = [
        ("availability", share(cell.availability)),
        ("p95", seconds(cell.p95_s)),
        ("p99", seconds(cell.p99_s)),
        ("not fresh", f"{cell.stale_s} s" if cell.stale_s else ""),
        ("by something worse", share(cell.degraded) if cell.degraded else ""),
        ("dead rows", f"{cell.dead:,}" if cell.dead else ""),
        ("most waiting", f"{cell.waiting_max:,}" if cell.waiting_max else ""),
        ("hurt after", seconds(cell.hurt_s)),
        ("last hurt after", seconds(cell.well_s)),
        ("spent of the budget of 30 days", f"{cell.spent * 100:.2g} %" if cell.spent else ""),
        ("whose fault", cell.cause),
        ("known", cell.known),
    ]
    return [(name, value) for name, value in pairs if value not in {"", "-"}]


def heading(report: Report) -> list[str]:
    """Return what was drilled, in a few lines."""
    took_s = report.ended_s - report.began_s
    began = utc(report.began_s)
    what = (
        f"{report.pipeline}: drill {report.drill}, {began}, {took_s / MINUTE_S:.1f} min, "
        f"{len(report.rows)} rows x {len(report.zones)} zones, {report.environment}"
    )
    lines = [what]
    if report.because:
        lines.append(f"because: {report.because} ({report.by})")
    return lines


def utc(at_s: float) -> str:
    """Return an instant.

    >>> utc(0)
    '1970-01-01 00:00:00 UTC'
    """
    return f"{_utc(at_s):%Y-%m-%d %H:%M:%S} UTC"


def clock_time(at_s: float) -> str:
    """Return an instant of a day.

    >>> clock_time(0.25)
    '00:00:00.2'
    """
    return f"{_utc(at_s):%H:%M:%S.%f}"[:10]


def _utc(at_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_s, dt.UTC)
