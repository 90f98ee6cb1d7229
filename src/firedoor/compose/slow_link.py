"""A way to a version of a model on which some requests take longer: put there by a drill.

What would come after the time of its attempt is late at that time, as on a network that is slow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from firedoor.ports.clock import Clock
from firedoor.wire.serving import Ask, Outcome, Told

LATE = Told(
    Outcome.LATE,
    message="no answer within the time of one attempt (a drill has its way take longer)",
    signature="late",
)
Delay = Callable[[Ask], float]
"""Returns by how many seconds a request takes longer."""


class Asked(Protocol):
    """What requests come to: the part of ``ports.variants.Variant`` that they see."""

    def ask(self, ask: Ask) -> Awaitable[Told]:
        """Have one request answered."""
        ...

    def post(self, ask: Ask, told: Callable[[Told], None]) -> None:
        """Have one request answered, and call ``told`` with that."""
        ...


class SlowLink:
    """The way to one version."""

    def __init__(self, to: Asked, delay_s: Delay, clock: Clock) -> None:
        """Lead to a version; ``clock``: what deadlines are on."""
        self._to, self._delay_s, self._clock = to, delay_s, clock

    def ask(self, ask: Ask) -> Awaitable[Told]:
        """Have one request answered, later."""
        future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()

        def told(answer: Told) -> None:
            if not future.done():  # whoever asked may have left
                future.set_result(answer)

        self.post(ask, told)
        return future

    def post(self, ask: Ask, told: Callable[[Told], None]) -> None:
        """Have one request answered, later."""
        delay_s = self._delay_s(ask)
        if delay_s <= 0:
            self._to.post(ask, told)
            return
        loop = asyncio.get_running_loop()
        left_s = ask.deadline_s - self._clock.now_s() if ask.deadline_s else math.inf
        if delay_s < left_s:
            loop.call_later(delay_s, self._to.post, ask, told)
        else:
            loop.call_later(max(0.0, left_s), told, LATE)
