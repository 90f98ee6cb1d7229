"""Of several control processes one drives, and another takes over when that is gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.control_lease import STALE_S, ControlLease
from firedoor.testing.loop import VirtualClock, run

CLOCK = VirtualClock()
ABSENT = 2**22 + 1
"""No process of this machine has this id."""


def told(story: Callable[[MemoryStreams], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(MemoryStreams(MemoryStore(), CLOCK))

    run(main())


def lease(host: str = "elsewhere", pid: int = 1) -> ControlLease:
    return ControlLease(clock=CLOCK, host=host, pid=pid)


def test_the_first_drives_and_the_second_waits_as_long_as_that_speaks() -> None:
    async def story(streams: MemoryStreams) -> None:
        first, second = lease(), lease("other")
        for _ in range(30):
            assert await first.claim(streams)
            assert not await second.claim(streams)
            await CLOCK.wait(1)

    told(story)


def test_the_second_takes_over_once_the_first_says_nothing_and_the_first_steps_down() -> None:
    async def story(streams: MemoryStreams) -> None:
        first, second = lease(), lease("other")
        assert await first.claim(streams)
        began_s = CLOCK.now_s()
        while not await second.claim(streams):
            await CLOCK.wait(1)
        assert STALE_S <= CLOCK.now_s() - began_s <= STALE_S + 2
        assert not await first.claim(streams)
        assert not first.held

    told(story)


def test_one_that_is_dead_on_this_machine_is_replaced_at_once() -> None:
    async def story(streams: MemoryStreams) -> None:
        assert await lease("here", ABSENT).claim(streams)
        assert await lease("here", 1).claim(streams)

    told(story)


def test_nonsense_under_the_key_holds_nobody_up_for_long() -> None:
    async def story(streams: MemoryStreams) -> None:
        await streams.beat("control", b"\xff")
        one = lease()
        for _ in range(int(STALE_S) + 1):
            if await one.claim(streams):
                return
            await CLOCK.wait(1)
        raise AssertionError

    told(story)
