"""Tell the ledger what a drill does, and read from it what happened meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from msgspec.structs import replace

from firedoor.control.ledger import LedgerReader, told_of
from firedoor.drill.report import Moment, Report, Row
from firedoor.errors import LedgerFull, StreamsUnavailable
from firedoor.events.bounded import bounded
from firedoor.events.happened import Happened, Kind
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams

PENDING_MAX = 1_000
"""Entries that wait for a broker that is away."""
MOMENTS_MAX = 500
"""Of a row that are kept; the others are in the ledger."""
SETTLE_S = 2.0
"""In which other processes tell what they noted last."""


@dataclass(slots=True, kw_only=True)
class Chronicle:
    """The entries of one drill."""

    streams: Streams
    clock: Clock
    drill: str
    by: str
    _sequence: int = 0
    _pending: list[Happened] = field(default_factory=list)

    async def note(
        self, kind: Kind, code: str, text: str, *, zone: str = "", because: str = "",
        cause: str = "", facts: dict[str, str | int | float] | None = None,
    ) -> None:  # fmt: skip
        """Tell what the drill does; what cannot be told now is told with the next.

        A drill goes on without the ledger: with a fault of the broker it has to.
        """
        self._sequence += 1
        happened = Happened(
            at_s=self.clock.utc_s(), kind=kind, zone=zone, text=text, code=code, cause=cause,
            by=self.by, because=because, about=self.drill, facts=facts or {},
            process=self._process, sequence=self._sequence,
        )  # fmt: skip
        self._pending = [*self._pending, bounded(happened)][-PENDING_MAX:]
        try:
            while self._pending:
                await self.streams.enter(self._pending[0])
                del self._pending[0]
        except (StreamsUnavailable, LedgerFull):
            return

    async def completed(self, report: Report) -> Report:
        """Return a report whose rows have in their timelines what the ledger knows."""
        if not report.rows:
            return report
        await self.clock.wait(SETTLE_S)
        try:
            found = await LedgerReader(streams=self.streams, since_s=report.began_s).fresh()
        except StreamsUnavailable:
            return report
        others = [moment_of(one) for one in found if one.process != self._process]
        return replace(report, rows=tuple(told(row, others) for row in report.rows))

    @property
    def _process(self) -> str:
        return f"drill-{self.drill}"


def moment_of(happened: Happened) -> Moment:
    """Return an entry of the ledger as a line of a timeline."""
    return Moment(
        at_s=happened.at_s, what=happened.kind, zone=happened.zone, text=told_of(happened),
        trace=happened.trace,
    )  # fmt: skip


def told(row: Row, others: Iterable[Moment]) -> Row:
    """Return a row with what happened while it was drilled, in order."""
    during = [moment for moment in others if row.began_s <= moment.at_s <= row.ended_s]
    moments = sorted((*row.timeline, *during), key=lambda moment: moment.at_s)
    first = moments[:1]
    distinct = [
        after
        for before, after in pairwise(moments)
        if (before.what, before.zone, before.text) != (after.what, after.zone, after.text)
    ]
    return replace(row, timeline=tuple((first + distinct)[:MOMENTS_MAX]))
