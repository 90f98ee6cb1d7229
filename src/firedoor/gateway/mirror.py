"""Copies of requests for the other version, which nobody waits for.

In shadow the candidate is given the champion's requests; in a canary each is given the other's as
well, so that both have said something to the same request. Bounded in number; what finds no room is
dropped and counted, because a copy must never cost an answer.
"""

from __future__ import annotations

import asyncio
import random

from firedoor.gateway.attempt import Call, broke
from firedoor.gateway.versions import Held, Live
from firedoor.ports.clock import Clock
from firedoor.wire.serving import Ask, Outcome, Told

COPIES_MAX = 64
"""Copies under way at once."""
UNTOLD = frozenset({Outcome.REFUSED, Outcome.EXPIRED, Outcome.BUSY, Outcome.DIED})
"""What is not copied: no attempt was made, or a worker died of it."""


class Mirror:
    """Makes copies, while there is room."""

    __slots__ = ("_attempt_s", "_chance", "_clock", "copied", "dropped", "under_way")

    def __init__(self, clock: Clock, *, attempt_s: float, chance: random.Random) -> None:
        """Begin with none under way."""
        self._clock, self._attempt_s, self._chance = clock, attempt_s, chance
        self.copied = self.dropped = self.under_way = 0

    def other(self, live: Live, held: Held, outcome: Outcome, *, busy: bool) -> Held | None:
        """Return which version is given a copy of what ``held`` was asked; None: none is.

        ``busy``: the gateway is more than half full, and the champion has better things to do.
        """
        candidate, mode = live.candidate, live.route.mode
        if candidate is None or mode == "steady" or outcome in UNTOLD:
            return None
        to = candidate if held is live.champion else live.champion
        if held not in (live.champion, candidate) or (mode == "shadow" and to is not candidate):
            return None
        mirror = live.route.mirror
        if mirror <= 0 or (mirror < 1 and self._chance.random() >= mirror):
            return None
        if self.under_way >= COPIES_MAX or busy:
            self.dropped += 1
            return None
        return to

    async def copy(self, call: Call, to: Held) -> tuple[Told, float]:
        """Ask the other version; return what it says and how long that took."""
        request, now_s = call.request, self._clock.now_s()
        ask = Ask(
            request.form, request.body, request.json_bytes, now_s + self._attempt_s, call.extra
        )
        self.copied += 1
        try:
            told = await to.variant.ask(ask)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever breaks in a version stays there
            told = broke(error)
        return told, self._clock.now_s() - now_s
