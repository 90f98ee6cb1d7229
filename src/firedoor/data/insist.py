"""Ask the broker until it answers."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from firedoor.data.conduct import Conduct
from firedoor.errors import StreamsUnavailable
from firedoor.flow.zone import BrokerAway, BrokerBack
from firedoor.ports.clock import Clock

T = TypeVar("T")
RETRY_MIN_S = 0.1
RETRY_MAX_S = 5.0
LEAVE_S = 5.0
"""How long a zone that drains waits for a broker that is away."""


class Insist:
    """Repeats calls while the broker is away, and has the zone's state say so."""

    def __init__(self, conduct: Conduct, clock: Clock, chance: random.Random) -> None:
        """Take whom to tell, and what to wait and draw by."""
        self._conduct = conduct
        self._clock = clock
        self._chance = chance

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a call, which must be safe to repeat.

        Raises:
            StreamsUnavailable: only when the zone drains and the broker stays away.
        """
        tries, leaving_since_s = 0, None
        while True:
            try:
                result = await call()
            except StreamsUnavailable as error:
                self._conduct.tell(BrokerAway(str(error)))
                if self._conduct.leaving:
                    now_s = self._clock.now_s()
                    leaving_since_s = now_s if leaving_since_s is None else leaving_since_s
                    if now_s - leaving_since_s >= LEAVE_S:
                        raise
                await self.back_off(tries)
                tries += 1
            else:
                self.answered()
                return result

    async def few(self, call: Callable[[], Awaitable[None]], *, times: int = 3) -> bool:
        """Try a call a few times whose failure does no harm; return whether it succeeded."""
        for tries in range(times):
            try:
                await call()
            except StreamsUnavailable as error:
                self._conduct.tell(BrokerAway(str(error)))
                if tries + 1 < times:
                    await self.back_off(tries)
            else:
                self.answered()
                return True
        return False

    def answered(self) -> None:
        """Note that the broker answers."""
        if self._conduct.state.away:
            self._conduct.tell(BrokerBack())

    async def back_off(self, tries: int) -> None:
        """Wait before the next try: longer each time, and not in step with others."""
        wait_s = min(RETRY_MIN_S * 2 ** min(tries, 30), RETRY_MAX_S)
        await self._clock.wait(wait_s * (0.5 + self._chance.random() / 2))
