"""A source that waits for rows notices by its orders that the broker is away, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from control.world import make_plan
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.data.conduct import Conduct
from firedoor.data.duties import Duties
from firedoor.flow.zone import BrokerAway
from firedoor.testing.loop import VirtualClock, run


class Idle:
    """A source that has nothing to do but its duties."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.conduct = Conduct(make_plan().zone("flights"), self.clock, replica="here-1")
        self.duties = Duties(
            MemoryStreams(self.store, self.clock), self.clock, conduct=self.conduct,
            replica="here-1", status=self.conduct.status, refresh=self._refresh,
        )  # fmt: skip

    async def _refresh(self) -> None:
        await self.clock.wait(0)

    def said(self) -> tuple[str, str]:
        """Return state and code, as its readiness is told."""
        status = self.conduct.status()
        return status.state, status.code


def played(story: Callable[[Idle], Awaitable[None]]) -> None:
    """Follow orders in virtual time while a story happens."""

    async def main() -> None:
        idle = Idle()
        following = asyncio.ensure_future(idle.duties.follow_orders())
        await idle.clock.wait(2)
        assert idle.said() == ("running", "")
        await story(idle)
        following.cancel()

    run(main())


def test_an_idle_source_is_blocked_while_its_broker_is_away() -> None:
    async def story(idle: Idle) -> None:
        idle.store.down()
        await idle.clock.wait(5)
        assert idle.said() == ("blocked", "broker_away")
        idle.store.up()
        await idle.clock.wait(1)
        assert idle.said() == ("running", "")
        assert [step.state for step in idle.conduct.status().transitions] == [
            "running", "blocked", "running",
        ]  # fmt: skip

    played(story)


def test_what_a_failed_write_has_told_is_not_over_because_a_read_is_answered() -> None:
    async def story(idle: Idle) -> None:
        idle.conduct.tell(BrokerAway("it does not store"))
        await idle.clock.wait(60)
        assert idle.said() == ("blocked", "broker_away")

    played(story)
