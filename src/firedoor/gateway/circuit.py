"""The breaker around one version of a model: ``guards.breaker`` for one event loop, without locks.

A call that is well costs one comparison before and one count after.
"""

from __future__ import annotations

import random

from firedoor.guards import breaker as breakers
from firedoor.guards.breaker import Breaker, BreakerPolicy, Word
from firedoor.guards.window import Window

POLICY = BreakerPolicy(open_max_s=2.0)
"""Somebody else answers meanwhile, so a probe that fails costs little; a version that is well again
and not asked costs an answer that is as good as it could be."""
TURN_S = 1.0
"""What a refused caller is told to wait where nobody knows better."""


class Circuit:
    """One breaker, and the window of calls that it judges."""

    __slots__ = ("_breaker", "_chance", "_good", "_lease_s", "_policy", "_window", "cause",
                 "closed", "generation", "openings", "turned")  # fmt: skip

    def __init__(
        self, policy: BreakerPolicy, now_s: float, *, lease_s: float, chance: random.Random
    ) -> None:
        """Begin closed. A probe has ``lease_s`` to end."""
        self._policy, self._lease_s, self._chance = policy, lease_s, chance
        self._breaker = Breaker()
        self._window, self._good = Window(policy.window_s, now_s), 0
        self.closed = True
        """Whether every call may be made."""
        self.generation = self.turned = self.openings = 0
        self.cause = ""

    @property
    def word(self) -> Word:
        """How it is, in one word."""
        return breakers.word(self._breaker)

    def retry_after_s(self, now_s: float) -> float:
        """Return how long it goes on refusing, about."""
        match self._breaker.mode:
            case breakers.Open(until_s=until_s) | breakers.HalfOpen(until_s=until_s):
                return max(until_s - now_s, 0.0)
            case _:
                return TURN_S

    def admit(self, now_s: float) -> int | None:
        """Return the ticket of a call that may be made; None: it may not."""
        if self.closed:
            return self.generation
        self._breaker, answer, _ = breakers.ask(
            self._breaker, self._policy, now_s, lease_s=self._lease_s, chance=self._chance.random()
        )
        self.generation = self._breaker.generation
        if isinstance(answer, breakers.Turned):
            self.turned += 1
            return None
        return answer.generation

    def good(self, ticket: int, now_s: float) -> None:
        """Take a call that was well."""
        if ticket != self.generation:
            return
        if not self.closed:
            self._step(breakers.Good(ticket), now_s)
            return
        self._good += 1
        if now_s >= self._window.edge_s:
            self._window.advance(now_s, self._good)

    def bad(self, ticket: int, now_s: float, cause: str) -> None:
        """Take a call that failed."""
        if ticket != self.generation:
            return
        if self.closed:
            counts = self._window.add_bad(now_s, self._good, slow=False)
        else:
            counts = self._window.counts(self._good)
        event = breakers.Bad(
            generation=ticket, counts=counts, cause=cause, chance=self._chance.random()
        )
        self._step(event, now_s)

    def neutral(self, ticket: int, now_s: float) -> None:
        """Take a call that told nothing: refused, cancelled, or of a request that kills."""
        if ticket == self.generation and not self.closed:
            self._step(breakers.Neutral(ticket), now_s)

    def _step(self, event: breakers.Event, now_s: float) -> None:
        """Move on; one that closes begins a new window."""
        before = self._breaker
        self._breaker, _ = breakers.step(before, event, self._policy, now_s)
        if self._breaker is before:
            return
        self.generation = self._breaker.generation
        self.closed = isinstance(self._breaker.mode, breakers.Closed)
        if self.closed:
            self._window, self._good = Window(self._policy.window_s, now_s), 0
        elif isinstance(event, breakers.Bad):
            self.openings += isinstance(before.mode, breakers.Closed)
            self.cause = event.cause
