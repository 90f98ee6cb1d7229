"""How a run goes, for a person: a table that changes in place on a terminal, plain lines else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from firedoor.control.harm import ZoneView, view_zones
from firedoor.control.status import Snapshot
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.units import format_bytes, format_seconds
from firedoor.wire.records import ZoneStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

LINE_S = 5.0
"""Time between two plain lines about one zone whose state does not change."""
PROCESSES_MAX = 64
"""Processes of a zone whose counts are kept apart."""
COUNTED = ("rows_in", "rows_out", "dead", "dropped")
COLOURS = {
    "halted": "red", "crash loop": "red", "gone": "red", "paused": "yellow", "drained": "yellow",
    "throttled": "yellow", "blocked": "yellow",
}  # fmt: skip
HEAD = ("zone", "in", "out", "dead", "dropped", "rows/s", "inbox", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One zone, as it is shown. Counts are of this run, over all processes that the zone had."""

    zone: str
    rows_in: int
    rows_out: int
    dead: int
    dropped: int
    rows_a_s: float
    inbox: str
    state: str
    cause: str = ""


@dataclass(slots=True)
class Totals:
    """Counts over all processes of a zone: each begins at 0, and those that died count on."""

    _now: dict[str, dict[str, ZoneStatus]] = field(default_factory=dict)
    _over: dict[str, Counter[str]] = field(default_factory=dict)
    """Of processes that are remembered no more, by zone."""

    def rows(self, plan: Plan, snapshot: Snapshot) -> list[Row]:
        """Return a row for each zone of a snapshot."""
        for beat in snapshot.zones:
            processes = self._now.setdefault(beat.zone, {})
            processes[beat.replica] = beat
            if len(processes) > PROCESSES_MAX:
                self._forget(processes)
        views = {view.zone: view for view in view_zones(plan, snapshot)}
        return [self._row(zone, views[zone.name], plan, snapshot) for zone in plan.zones]

    def _forget(self, processes: dict[str, ZoneStatus]) -> None:
        """Count the oldest process of a zone as over: a run may see very many."""
        oldest = min(processes.values(), key=lambda beat: beat.at_s)
        del processes[oldest.replica]
        counts = {name: getattr(oldest, name) for name in COUNTED}
        self._over.setdefault(oldest.zone, Counter()).update(counts)

    def _row(self, zone: ZonePlan, view: ZoneView, plan: Plan, snapshot: Snapshot) -> Row:
        """Return the row of a zone."""
        total = Counter(self._over.get(zone.name, {}))
        for beat in self._now.get(zone.name, {}).values():
            total.update({name: getattr(beat, name) for name in COUNTED})
        latest = max(
            (beat for beat in snapshot.zones if beat.zone == zone.name),
            key=lambda beat: beat.at_s,
            default=None,
        )
        inboxes = [
            snapshot.depths[edge.name]
            for edge in plan.inboxes(zone.name)
            if edge.name in snapshot.depths
        ]
        waiting = sum(depth.messages for depth in inboxes)
        size = sum(depth.bytes for depth in inboxes)
        return Row(
            zone=zone.name,
            rows_in=total["rows_in"],
            rows_out=total["rows_out"],
            dead=total["dead"],
            dropped=total["dropped"],
            rows_a_s=latest.rows_a_s if latest is not None and not view.at_fault else 0.0,
            inbox=f"{waiting} ({format_bytes(size)})" if waiting else "",
            state=view.condition,
            cause=view.cause,
        )


class Lines:
    """Plain lines: one a zone when its state changes, and every few seconds while rows flow."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        """Write to a stream."""
        self._out = out
        self._clock = clock
        self._totals = Totals()
        self._shown: dict[str, tuple[float, Row]] = {}

    def show(self, plan: Plan, snapshot: Snapshot) -> None:
        """Say what has changed."""
        now_s = self._clock.now_s()
        for row in self._totals.rows(plan, snapshot):
            shown_s, before = self._shown.get(row.zone, (-LINE_S, None))
            changed = before is None or before.state != row.state
            moved = before is not None and (before.rows_in, before.dead) != (row.rows_in, row.dead)
            if changed or (moved and now_s - shown_s >= LINE_S):
                self._shown[row.zone] = now_s, row
                self.tell(plain(row))

    def tell(self, line: str) -> None:
        """Say what happened."""
        self._out.write(f"{line}\n")
        self._out.flush()

    def close(self) -> None:
        """Nothing is left to clear away."""


class LiveTable:
    """A table on a terminal, drawn again at each look."""

    def __init__(self, console: Console, clock: Clock) -> None:
        """Prepare; the first picture starts it."""
        self._console = console
        self._clock = clock
        self._began_s = clock.now_s()
        self._totals = Totals()
        self._live: Live | None = None

    def show(self, plan: Plan, snapshot: Snapshot) -> None:
        """Draw a picture."""
        from rich.live import Live  # noqa: PLC0415 - not needed where nobody looks

        table = self._table(plan, snapshot)
        if self._live is None:
            self._live = Live(table, console=self._console, auto_refresh=False)
            self._live.start()
        self._live.update(table, refresh=True)

    def tell(self, line: str) -> None:
        """Say what happened, above the table."""
        self._console.print(line, markup=False, highlight=False)

    def close(self) -> None:
        """Leave the last picture where it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _table(self, plan: Plan, snapshot: Snapshot) -> Table:
        """Return the table of a snapshot."""
        from rich.table import Table  # noqa: PLC0415 - see above
        from rich.text import Text  # noqa: PLC0415

        passed = format_seconds(round(self._clock.now_s() - self._began_s))
        broker = ""
        if snapshot.broker_fault:
            broker = f"   the broker waits: {snapshot.broker_fault}"
        elif snapshot.broker == "down":
            broker = "   the broker is away: nothing is lost"
        table = Table(
            box=None, title=f"{plan.pipeline}   {passed}{broker}", title_justify="left",
            pad_edge=False, header_style="dim",
        )  # fmt: skip
        for name in HEAD:
            table.add_column(name, justify="left" if name in {"zone", "state"} else "right")
        for row in self._totals.rows(plan, snapshot):
            state = f"{row.state}: {row.cause}" if row.cause else row.state
            table.add_row(
                row.zone,
                f"{row.rows_in:,}",
                f"{row.rows_out:,}",
                Text(f"{row.dead:,}", style="red" if row.dead else "dim"),
                f"{row.dropped:,}",
                f"{row.rows_a_s:,.0f}",
                row.inbox,
                Text(" ".join(state.split())[:60], style=COLOURS.get(row.state, "green")),
            )
        return table


def plain(row: Row) -> str:
    """Return a zone as one line."""
    parts = [f"{row.zone}: {row.state}", f"{row.rows_in:,} in", f"{row.rows_out:,} out"]
    parts += [f"{row.dead:,} dead"] if row.dead else []
    parts += [f"{row.dropped:,} dropped"] if row.dropped else []
    parts += [f"{row.rows_a_s:,.0f} rows/s"] if row.rows_a_s else []
    parts += [f"inbox {row.inbox}"] if row.inbox else []
    return ", ".join(parts) + (f"; {' '.join(row.cause.split())[:300]}" if row.cause else "")


def screen_for(out: TextIO, clock: Clock) -> Lines | LiveTable:
    """Return what shows a run on a stream."""
    if not out.isatty():
        return Lines(out, clock)
    from rich.console import Console  # noqa: PLC0415 - see above

    return LiveTable(Console(file=out), clock)
