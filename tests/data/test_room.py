"""A room that batches share or have alone: visitors come, stay and give up as they are drawn to."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from firedoor.data.room import Room
from firedoor.testing.loop import VirtualClock, run
from flow.drawn import many

CLOCK = VirtualClock()
moments = st.integers(0, 6).map(float)


@dataclass(frozen=True)
class Visitor:
    """A batch: when it comes, whether it must be alone, how long it stays, when it gives up."""

    comes_s: float
    alone: bool
    stays_s: float
    gives_up_s: float | None
    """After so long, wherever it is then; None: never."""


visitors = st.lists(
    st.builds(Visitor, moments, st.booleans(), moments, st.none() | st.none() | moments), max_size=8
)


@dataclass
class Door:
    """Writes down who is where, and holds the room to its word."""

    room: Room = field(default_factory=Room)
    shared: int = 0
    lone: int = 0
    wanting: int = 0
    """Those who wait to be alone."""
    served: int = 0

    async def visit(self, visitor: Visitor) -> None:
        await CLOCK.wait(visitor.comes_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(visitor.gives_up_s):
                await (self.alone(visitor) if visitor.alone else self.with_others(visitor))

    async def with_others(self, visitor: Visitor) -> None:
        async with self.room.entered(alone=False):
            assert not self.lone, "somebody is alone inside"
            assert not self.wanting, "somebody wants to be alone, and goes first"
            self.shared += 1
            try:
                await CLOCK.wait(visitor.stays_s)
                self.served += 1
            finally:
                self.shared -= 1

    async def alone(self, visitor: Visitor) -> None:
        self.wanting += 1
        waiting = True
        try:
            async with self.room.entered(alone=True):
                self.wanting -= 1
                waiting = False
                assert not self.shared + self.lone, "it is not alone"
                self.lone += 1
                try:
                    await CLOCK.wait(visitor.stays_s)
                    self.served += 1
                finally:
                    self.lone -= 1
        finally:
            self.wanting -= waiting


@many
@given(visitors, st.integers(0, 1_000))
def test_who_is_alone_is_alone_and_goes_first_and_nobody_waits_for_ever(
    visitors: list[Visitor], seed: int
) -> None:
    async def main() -> None:
        door = Door()
        async with asyncio.TaskGroup() as group:
            for visitor in visitors:
                group.create_task(door.visit(visitor))
        assert (door.shared, door.lone, door.wanting) == (0, 0, 0)
        assert door.served >= sum(visitor.gives_up_s is None for visitor in visitors)
        async with asyncio.timeout(0.0), door.room.entered(alone=True):
            pass

    run(main(), seed=seed)  # one that hangs is a Deadlock


def test_many_are_inside_at_once() -> None:
    async def main() -> None:
        door = Door()
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(door.visit(Visitor(0.0, False, 3.0, None)))  # noqa: FBT003
            await CLOCK.wait(1.0)
            assert door.shared == 5
        assert CLOCK.now_s() == 3.0

    run(main())


def test_who_gives_up_waiting_to_be_alone_lets_the_others_in_at_once() -> None:
    async def main() -> None:
        door = Door()
        async with asyncio.TaskGroup() as group:
            group.create_task(door.visit(Visitor(0.0, False, 9.0, None)))  # noqa: FBT003
            group.create_task(door.visit(Visitor(1.0, True, 9.0, 1.0)))  # noqa: FBT003
            group.create_task(door.visit(Visitor(1.5, False, 9.0, None)))  # noqa: FBT003
            await CLOCK.wait(1.9)
            assert (door.shared, door.wanting) == (1, 1)
            await CLOCK.wait(0.2)
            assert (door.shared, door.wanting) == (2, 0)

    run(main())
