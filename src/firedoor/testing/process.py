"""A simulated process: its way to the broker, its clock, and its end at any ``await``.

After ``kill`` nothing that it does reaches the world: every call, wait and step of work ends it
there, and whatever its code does in ``finally`` meets the same. So clean-up that a SIGKILL would
not run does not count.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from firedoor.adapters.memory.store import Call
from firedoor.testing.loop import VirtualClock

Trace = Callable[[str, str], None]
"""Called with the process and what it does."""


class Process:
    """One process. It is its own ``Link`` to the broker and its own ``Clock``."""

    def __init__(
        self, name: str, chance: random.Random, trace: Trace, *, calls: int | None
    ) -> None:
        """Start; after so many calls it dies, or never if ``calls`` is None."""
        self.name = name
        self.dead = False
        self._clock = VirtualClock()
        self._chance = chance
        self._trace = trace
        self._calls = calls
        self._stalled_until_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def runs(self, task: asyncio.Task[None]) -> None:
        """Say which task is the process."""
        self._task = task

    def kill(self) -> None:
        """End at once."""
        self._trace(self.name, "killed")
        self.dead = True
        if self._task is not None:
            self._task.cancel()

    def stall(self, seconds: float) -> None:
        """Stand still, as after SIGSTOP."""
        self._stalled_until_s = max(self._stalled_until_s, self.now_s() + seconds)

    async def pause(self, seconds: float) -> None:
        """Spend time, and find out whether the process still runs."""
        self.check()
        await self._clock.wait(seconds)
        while self._stalled_until_s > self.now_s():
            await self._clock.wait(self._stalled_until_s - self.now_s())
        self.check()

    def check(self) -> None:
        """End here if the process was killed."""
        if self.dead:
            raise asyncio.CancelledError(f"{self.name} was killed")

    # ---- the way to the broker

    async def ask(self, call: Call) -> None:
        """Carry a question."""
        await self._travel(f"asks {call}")

    async def answer(self, call: Call) -> None:
        """Carry an answer."""
        await self._travel(f"hears {call}")

    async def _travel(self, what: str) -> None:
        """Take some time, or be the place where the process ends."""
        self.check()
        self._trace(self.name, what)
        if self._calls is not None:
            self._calls -= 1
            if self._calls <= 0:
                self.kill()
        slow = self._chance.random()
        await self.pause(0.0 if slow < 0.7 else slow / 50)  # noqa: PLR2004

    # ---- the clock

    def now_s(self) -> float:
        """Return virtual seconds."""
        return self._clock.now_s()

    def utc_s(self) -> float:
        """Return virtual seconds since 1970."""
        return self._clock.utc_s()

    async def wait(self, seconds: float) -> None:
        """Return after so many virtual seconds, if the process still runs."""
        await self.pause(seconds)
