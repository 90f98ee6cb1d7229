"""One attempt of one version at one request: behind its breaker, within its time, judged."""

from __future__ import annotations

import asyncio

from firedoor.errors import shorten
from firedoor.events.work import Ran
from firedoor.gateway.caching import Same, mark, same
from firedoor.gateway.exchange import ArmUsed, Request
from firedoor.gateway.identity import clean
from firedoor.gateway.split import Group
from firedoor.gateway.suspicions import Suspicions
from firedoor.gateway.versions import Held, Live
from firedoor.ports.clock import Clock
from firedoor.wire.prediction import Feature
from firedoor.wire.serving import FAILURES, Ask, Outcome, Told

TIME_MIN_S = 0.002
"""Time left below which no version is asked."""
BREAKER, NO_TIME, NOT_ASKED = "breaker", "no time", "not asked"
"""Signatures of attempts that were not made."""


class Call:
    """One request on its way: what is known of it so far.

    What most requests never learn is not set in each of them, but stands here.
    """

    extra, key = b"", b""
    features: tuple[Feature, ...] = ()
    quality = abstain = abstain_told = because = ""
    """``because``: why the version that was asked first did not answer. ``abstain_told``: what
    callers are told of ``abstain``."""
    worse = suspect = repeat = False
    slices: tuple[str, ...] = ()
    group: Group = "baseline"
    arm: ArmUsed = "none"
    """Which arm the version was that was asked first."""
    asked: tuple[Held, ...] = ()
    took_s = 0.0
    told: Told | None = None
    """What the latest attempt brought, made or not."""
    ran: tuple[Ran, ...] = ()
    """What ran in workers, where somebody wants to see it."""
    _mark = b""

    def __init__(
        self, request: Request, live: Live, prediction: str, began_s: float, deadline_s: float
    ) -> None:
        """Begin: nothing was looked up or asked."""
        self.request, self.live = request, live
        self.prediction = prediction
        self.id = (clean(request.id) or prediction) if request.id else prediction
        self.began_s, self.deadline_s = began_s, deadline_s

    @property
    def mark(self) -> bytes:
        """What stands for the request, made when it is wanted: see ``caching.mark``."""
        if not self._mark:
            request = self.request
            self._mark = mark(request.form, request.body, request.json_bytes, self.extra)
        return self._mark

    @property
    def subject(self) -> bytes:
        """What a split sticks to: the caller's key, or the declared column's value, or itself."""
        return self.request.key.encode() or self.key or self.mark

    @property
    def same(self) -> Same:
        """The request, for the same one to be found by."""
        request = self.request
        return same(request.form, request.body, request.json_bytes, self.extra)

    @property
    def blamed(self) -> str:
        """Whose fault it is that no version may answer; empty: they may."""
        if not self.abstain:
            return ""
        worse = (f"dependency:{one.group}" for one in self.features if one.code != "live")
        return next(worse, "")

    @property
    def tester(self) -> bool:
        """Whether it is no evidence: it says itself which version it wants."""
        return bool(self.request.tester or self.request.version)


class Attempts:
    """Makes attempts. The same for every version and every rung."""

    __slots__ = ("_attempt_s", "_clock", "_now", "suspicions")

    def __init__(self, clock: Clock, *, attempt_s: float) -> None:
        """Begin. An answer that comes in time is good for the breaker, however slow it is.

        Who is slow has too much to do, which the limit sees to, or is a worse version, which its
        rollout sees to: a breaker would take away the answers that still come.
        """
        self._clock, self._now = clock, clock.now_s
        self._attempt_s = attempt_s
        self.suspicions = Suspicions()

    async def make(self, call: Call, held: Held) -> Told:
        """Return what a version says, or why it was not asked: ``BUSY``, with a signature."""
        call.told = told = await self._make(call, held)
        return told

    async def _make(self, call: Call, held: Held) -> Told:
        """Ask, unless there is no time or the breaker is open; judge the answer."""
        now_s = self._now()
        if now_s + TIME_MIN_S > call.deadline_s:
            return Told(Outcome.EXPIRED, message="the deadline is over", signature=NO_TIME)
        circuit = held.circuit
        ticket = circuit.admit(now_s)
        if ticket is None:
            why = f"the breaker of {held.name} is open: {circuit.cause}"
            return Told(Outcome.BUSY, message=why, signature=BREAKER)
        request = call.request
        until_s = min(now_s + self._attempt_s, call.deadline_s)
        call.asked = (*call.asked, held)
        ask = Ask(
            request.form, request.body, request.json_bytes, until_s, call.extra, call.suspect,
            bool(request.trace),
        )  # fmt: skip
        try:
            told = await held.variant.ask(ask)
        except asyncio.CancelledError:
            circuit.neutral(ticket, self._now())
            raise
        except Exception as error:  # noqa: BLE001 - whatever breaks in a version stays there
            told = broke(error)
        self.judge(call, held, told, ticket, now_s)
        return told

    def judge(self, call: Call, held: Held, told: Told, ticket: int, began_s: float) -> None:
        """Tell the breaker how an attempt ended that was made, and whom a worker died of."""
        circuit, end_s = held.circuit, self._now()
        call.took_s = end_s - began_s
        outcome = told.outcome
        held.trouble.outcomes[outcome] += 1
        if call.request.trace:
            call.ran += (ran_of(told, self._clock.utc_s() - call.took_s),)
        if outcome is Outcome.OK:
            if call.suspect:
                self.suspicions.cleared(held.name, call.mark)
            circuit.good(ticket, end_s)
        elif outcome in FAILURES:
            self._failed(call, held, told, ticket, end_s)
        else:
            circuit.neutral(ticket, end_s)

    def _failed(self, call: Call, held: Held, told: Told, ticket: int, now_s: float) -> None:
        """Note it, and tell the breaker, unless it is known that it is the request that kills."""
        held.trouble.failed(told, now_s, call.id)
        died = told.outcome is Outcome.DIED
        if died:
            call.suspect = True
            call.repeat = self.suspicions.known(held.name, call.mark, now_s)
            self.suspicions.died(held.name, call.mark, now_s)
        if died and call.repeat:
            held.circuit.neutral(ticket, now_s)
        else:
            held.circuit.bad(ticket, now_s, told.signature or told.outcome.name)


def ran_of(told: Told, began_s: float) -> Ran:
    """Return an attempt as it is told; ``began_s`` is UTC."""
    died = told.signature if told.outcome is Outcome.DIED else ""
    return Ran(told.pid, began_s, told.seconds, told.rows, died)


def broke(error: Exception) -> Told:
    """Return what is taken to have been said by a version that raised, as none should."""
    name = type(error).__name__
    return Told(Outcome.RAISED, message=shorten(f"{name}: {error}"), signature=name)
