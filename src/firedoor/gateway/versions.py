"""The versions that a route names: opened, kept warm, put in place of one another, closed.

What answers changes in one assignment, and only to a version that was ready: so a swap fails no
request. A version that is held already (a rollback, a promotion) takes over at once, whatever the
others do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from firedoor.errors import shorten
from firedoor.gateway.circuit import Circuit
from firedoor.gateway.split import Rule
from firedoor.gateway.trouble import Trouble
from firedoor.guards.breaker import BreakerPolicy
from firedoor.ports.clock import Clock
from firedoor.ports.variants import Variant, VariantState
from firedoor.wire.route import Arm, Route

CANDIDATE_NICE = 19
"""By how much a worker of a candidate yields to others once it takes more than it may."""
READY_LOOK_S = 30.0
REOPEN_S = 5.0
"""Time before one that failed is opened again; doubled each time, up to a minute."""
REOPEN_MAX_S = 60.0


class OpenVariant(Protocol):
    """Begins to make a version ready, and returns at once."""

    def __call__(self, arm: Arm, *, nice: int) -> Variant:
        """Open it; ``nice``: by how much its workers yield."""
        ...


class Held:
    """One version that is held, with its breaker."""

    __slots__ = ("admitted", "arm", "circuit", "name", "nice", "trouble", "variant", "version")

    def __init__(self, arm: Arm, variant: Variant, circuit: Circuit, *, nice: int) -> None:
        """Begin; not admitted before it was ready once."""
        self.arm, self.variant, self.circuit, self.nice = arm, variant, circuit, nice
        self.name, self.version = arm.name, str(arm.version)
        self.admitted = False
        self.trouble = Trouble()

    @property
    def state(self) -> VariantState:
        """How it is, in a word."""
        return self.variant.facts.state


@dataclass(frozen=True, slots=True)
class Live:
    """What answers now: replaced whole, never changed."""

    route: Route
    champion: Held
    candidate: Held | None
    """None as well while it is not ready."""
    previous: Held | None
    split: Rule
    unsplit: Rule
    """The same, with nothing for the candidate."""
    pending: str = ""
    """Why the champion is not the one that the route names; empty: it is."""


class Versions:
    """Everything that is held, and what of it answers."""

    def __init__(
        self,
        open_variant: OpenVariant,
        *,
        clock: Clock,
        breaker: BreakerPolicy,
        probe_s: float,
        grace_s: float,
        chance: random.Random,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Begin with nothing.

        Args:
            open_variant: begins to make a version ready.
            clock: the time.
            breaker: of each version.
            probe_s: longest time of a breaker's probe.
            grace_s: time in which a version that is let go finishes what it holds.
            chance: the jitter of breakers.
            spawn: runs what is waited for beside requests.
        """
        self._open_variant, self._clock, self._spawn = open_variant, clock, spawn
        self._breaker, self._probe_s, self._chance = breaker, probe_s, chance
        self._grace_s = grace_s
        self._held: list[Held] = []
        self.route: Route | None = None
        """The latest one."""
        self._refused: dict[Arm, tuple[str, float, float]] = {}
        """Why one could not be opened, when it is tried again, and how long that was waited."""
        self.live: Live | None = None
        self.followed = 0
        """Generation of the latest route whose champion answers."""

    @property
    def held(self) -> tuple[Held, ...]:
        """Everything that is held."""
        return tuple(self._held)

    def follow(self, route: Route) -> None:
        """Do as a route says."""
        before, self.route = self.route, route
        if route.candidate is not None and (before is None or before.candidate != route.candidate):
            self._refused.pop(route.candidate, None)  # of another time: it is tried anew
        self.reconsider()

    def failure(self, arm: Arm) -> str:
        """Return why a version cannot be opened; empty: nothing is known against it."""
        for held in self._held:
            if held.arm == arm and held.state == "failed":
                return held.variant.facts.because or "it failed"
        return self._refused[arm][0] if arm in self._refused else ""

    def reconsider(self) -> None:
        """Open what is missing, put in place what is ready, let go what nobody needs."""
        route = self.route
        if route is None:
            return
        self._admit()
        self._renew_failed(route)
        self._open_missing(route)
        wanted = self._best(route.champion)
        before = self.live
        pending = ""
        if wanted is None:
            pending = self._pending(route.champion)
            wanted = before.champion if before else self._any(route.champion)
        if wanted is None:
            return  # nothing could be opened, ever: ``failure`` says why
        candidate = previous = None
        if wanted.arm == route.champion and route.candidate is not None:
            candidate = self._best(route.candidate)
        if route.previous is not None and route.previous != wanted.arm:
            previous = self._best(route.previous)
        salt, held = route.salt.encode(), frozenset(route.held_slices)
        weight = route.weight if route.mode == "canary" and candidate is not None else 0.0
        rules, nothing = Rule(salt, weight, held), Rule(salt, 0.0, held)
        self.live = Live(route, wanted, candidate, previous, rules, nothing, pending)
        if not pending:
            self.followed = route.generation
        self._let_go(route, wanted)

    def close(self, grace_s: float) -> None:
        """End everything, within the grace."""
        held, self._held, self.route = self._held, [], None
        for one in held:
            self._spawn(one.variant.close(grace_s))

    # ---- steps of reconsidering

    def _admit(self) -> None:
        """Note what has become ready."""
        for held in self._held:
            if held.state == "ready":
                held.admitted = True
                self._refused.pop(held.arm, None)

    def _best(self, arm: Arm) -> Held | None:
        """Return the one to use of a version: ready before not, and one that yields to nobody."""
        ones = [held for held in self._held if held.arm == arm and held.admitted]
        return min(ones, key=lambda held: (held.state != "ready", held.nice), default=None)

    def _any(self, arm: Arm) -> Held | None:
        """Return one of a version, ready or not."""
        return next((held for held in self._held if held.arm == arm), None)

    def _pending(self, arm: Arm) -> str:
        """Return why a champion is not in place yet."""
        because = self.failure(arm)
        return f"{arm.name} cannot be opened: {because}" if because else f"{arm.name} is loading"

    def _open_missing(self, route: Route) -> None:
        """Open what the route names and nobody holds.

        A worker of a candidate yields once it takes more than its processors, and not before: how
        slow it is is compared with the champion's. A candidate that was promoted answers at once,
        and again by workers that yield to nobody as soon as there are such.
        """
        wanted = [(route.champion, 0)]
        if route.candidate is not None:
            wanted.append((route.candidate, CANDIDATE_NICE))
        if route.previous is not None:
            wanted.append((route.previous, 0))
        for arm, nice in wanted:
            exact = arm == route.champion
            if not any(one.arm == arm and (one.nice == 0 or not exact) for one in self._held):
                self._open(arm, nice)

    def _open(self, arm: Arm, nice: int) -> None:
        """Begin to hold a version."""
        now_s = self._clock.now_s()
        _, again_s, waited_s = self._refused.get(arm, ("", 0.0, 0.0))
        if now_s < again_s:
            return
        try:
            variant = self._open_variant(arm, nice=nice)
        except Exception as error:  # noqa: BLE001 - one version must not take the others along
            self._refuse(arm, shorten(f"{type(error).__name__}: {error}"), waited_s)
            return
        circuit = Circuit(self._breaker, now_s, lease_s=self._probe_s, chance=self._chance)
        held = Held(arm, variant, circuit, nice=nice)
        self._held.append(held)
        self._spawn(self._watch(held))

    def _refuse(self, arm: Arm, because: str, waited_s: float) -> None:
        """Note that a version cannot be opened, and when it is tried again."""
        wait_s = min(max(REOPEN_S, 2 * waited_s), REOPEN_MAX_S)
        if len(self._refused) > 100:  # noqa: PLR2004 - arms of routes that are long gone
            self._refused.clear()
        self._refused[arm] = (because, self._clock.now_s() + wait_s, wait_s)

    def _renew_failed(self, route: Route) -> None:
        """Let go what failed, to open it again after a while.

        A candidate stays failed: it trips, and its successor is another version.
        """
        for held in list(self._held):
            if held.state == "failed" and held.arm != route.candidate:
                _, _, waited_s = self._refused.get(held.arm, ("", 0.0, 0.0))
                self._refuse(held.arm, held.variant.facts.because or "it failed", waited_s)
                self._drop(held)

    def _let_go(self, route: Route, champion: Held) -> None:
        """Close what neither the route names nor answers, and what another one replaces."""
        named = {route.champion, route.candidate, route.previous}
        for held in list(self._held):
            replaced = held.nice > 0 and champion.nice == 0 and held.arm == champion.arm
            if held is not champion and (replaced or held.arm not in named):
                self._drop(held)

    def _drop(self, held: Held) -> None:
        """Close one; what it holds is finished within the grace."""
        self._held.remove(held)
        self._spawn(held.variant.close(self._grace_s))

    async def _watch(self, held: Held) -> None:
        """Reconsider once it is ready, or will never be."""
        while held in self._held:
            if await held.variant.ready(READY_LOOK_S) or held.state in ("failed", "closed"):
                if held in self._held:
                    self.reconsider()
                return
