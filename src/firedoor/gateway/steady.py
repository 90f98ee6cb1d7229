"""The way of a request in steady times: ``answering`` without a task, in one call and one callback.

It is taken while nothing special holds: no candidate, no look-ups, no switch thrown, no request
that a worker died of, a closed breaker, a free place, and no version or arm asked for by name. What
is left of ``gateway.order`` then stands in ``begin`` and ``_told``, in its order, and each step is
the very function that ``answering`` calls; whatever then comes out otherwise than well goes on
there. A task and the coroutines in it cost as much as all the rest: hence two ways.

Nobody can cancel it: a caller who hangs up is still answered, within the deadline, and counted.
"""

from __future__ import annotations

from functools import partial

from firedoor.errors import shorten
from firedoor.gateway.answering import RANK, Answering, First
from firedoor.gateway.attempt import TIME_MIN_S, Call, broke
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.ladder import Rung
from firedoor.gateway.parts import Parts
from firedoor.gateway.services import Answered
from firedoor.gateway.trial import Trial
from firedoor.gateway.versions import Live
from firedoor.guarding.slots import Free
from firedoor.wire.serving import Ask, Outcome, Told


class Steady:
    """Answers requests with the parts of one service, while it is steady."""

    __slots__ = ("_answering", "_attempt_s", "_now", "_parts", "_timeout_s", "_utc")

    def __init__(self, parts: Parts, answering: Answering) -> None:
        """Begin; look-ups are among the parts by now."""
        self._parts, self._answering = parts, answering
        self._now, self._utc = parts.clock.now_s, parts.clock.utc_s
        self._timeout_s = parts.plan.limits.timeout_s
        self._attempt_s = min(parts.plan.limits.attempt_s, self._timeout_s)

    def begin(self, request: Request, answered: Answered) -> bool:
        """Begin to answer a request; False: nothing was done, for something special holds."""
        parts = self._parts
        live = parts.versions.live
        if live is None or request.version or request.tester or not self._holds(live):
            return False
        now_s, timeout_s = self._now(), request.timeout_s
        if timeout_s is None or timeout_s > self._timeout_s:
            timeout_s = self._timeout_s
        if timeout_s < TIME_MIN_S:
            return False
        free = parts.slots.take(RANK[request.priority])
        if free is None:
            return False
        held, attempt_s = live.champion, min(timeout_s, self._attempt_s)
        call = Call(request, live, parts.ids.make(self._utc()), now_s, now_s + timeout_s)
        call.arm, call.asked = "champion", (held,)
        ask = Ask(request.form, request.body, request.json_bytes, now_s + attempt_s)
        told = partial(self._told, call, parts.trial, held.circuit.generation, free, answered)
        try:
            held.variant.post(ask, told)
        except Exception as error:  # noqa: BLE001 - whatever breaks in a version stays there
            told(broke(error))
        return True

    def _holds(self, live: Live) -> bool:
        """Return whether these are steady times."""
        parts = self._parts
        return not (
            live.route.candidate is not None
            or parts.lookups is not None
            or parts.switches
            or parts.attempts.suspicions
            or not live.champion.circuit.closed
        )

    def _told(
        self, call: Call, trial: Trial, ticket: int, free: Free, answered: Answered, told: Told
    ) -> None:
        """Take what the champion says."""
        parts, answering, good = self._parts, self._answering, False
        first = First(call.live, call.live.champion, told, trial)
        try:
            call.told = told
            parts.attempts.judge(call, first.held, told, ticket, call.began_s)
            answering.judge(call, first)
            if told.outcome is not Outcome.OK:
                parts.spawn(self._fall(call, first, free, answered))
                return
            rung = Rung(told, "champion", by=first.held.arm)
            answer, good = answering.finish(call, first, rung)
        except Exception as error:  # noqa: BLE001 - a fault here costs one request
            answer = self._failed(call, error)
        parts.slots.give(free, good=good)
        answered(answer)

    async def _fall(self, call: Call, first: First, free: Free, answered: Answered) -> None:
        """Find who answers instead."""
        answering = self._answering
        try:
            answer, _ = answering.finish(call, first, await answering.fall(call, first))
        except Exception as error:  # noqa: BLE001 - a fault here costs one request
            answer = self._failed(call, error)
        finally:
            self._parts.slots.give(free, good=False)
        answered(answer)

    def _failed(self, call: Call, error: Exception) -> Answer:
        """Return what is said where the gateway itself is wrong; facts say how."""
        self._parts.broken = shorten(f"{type(error).__name__}: {error}")
        said = "the gateway failed at this request; GET /readyz says how"
        return Answer(500, call.id, message=said)
