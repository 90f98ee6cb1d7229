"""Read the books of a pipeline before and after a fault."""

from __future__ import annotations

from dataclasses import dataclass, field

from firedoor.control.accounts import Accounts, gather
from firedoor.drill.books import Conservation, Rows, conserved
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan

READS_MAX = 3
"""How often books are read that do not add up, or cannot be read."""
WAIT_S = 2.0


@dataclass(slots=True, kw_only=True)
class Books:
    """The books of one pipeline, and what they said last."""

    streams: Streams
    plan: Plan
    clock: Clock
    _rows: Rows = field(default_factory=Rows)
    _problems: frozenset[str] = frozenset()
    _count: int = 0
    """Of all problems; those that are named are the first."""

    async def begin(self) -> bool:
        """Read them, to compare with later; return whether that could be done."""
        accounts = await self._read()
        if accounts is None:
            return False
        self._remember(accounts)
        return True

    async def check(self) -> Conservation:
        """Return whether every row is accounted for that came since; and compare from here on."""
        found = Conservation(checked=False)
        for attempt in range(READS_MAX):
            if attempt:
                await self.clock.wait(WAIT_S)
            accounts = await self._read()
            if accounts is None:
                continue
            found = conserved(
                self._rows, self._problems, rows_of(accounts), accounts.problems,
                known_count=self._count, count=accounts.problem_count,
            )  # fmt: skip
            if found.holds or attempt == READS_MAX - 1:
                self._remember(accounts)
                break
        return found

    def _remember(self, accounts: Accounts) -> None:
        """Keep what the books say, to compare with."""
        self._rows = rows_of(accounts)
        self._problems, self._count = frozenset(accounts.problems), accounts.problem_count

    async def _read(self) -> Accounts | None:
        """Return the books of now; None if the broker does not give them."""
        try:
            return await gather(self.streams, self.plan, at_s=self.clock.utc_s())
        except StreamsUnavailable:
            return None


def rows_of(accounts: Accounts) -> Rows:
    """Return the sums of some books."""
    zones = accounts.zones
    return Rows(
        came_in=sum(zone.rows_in for zone in zones if zone.kind == "source"),
        went_out=sum(zone.passed for zone in zones if zone.kind == "sink"),
        dead=sum(zone.dead for zone in zones),
        dropped=sum(sum(zone.dropped.values()) for zone in zones),
        shed=sum(zone.shed for zone in zones),
        missed=sum(zone.missed for zone in zones),
        in_flight=accounts.in_flight,
        lost=accounts.lost_rows,
        doubled=accounts.doubled_rows,
    )
