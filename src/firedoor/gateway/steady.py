"""The way of a request in steady times: ``answering`` without a task, in one call and one callback.

It is taken while nothing special holds: no candidate, no look-ups, no switch thrown, no request
that a worker died of, a closed breaker, a free place, and no version or arm asked for by name. What
is left of ``gateway.order`` then stands in ``begin`` and ``_told``, in its order, with the same
breakers, counts and caches; whatever comes out otherwise than well goes on in ``answering``. A task
and the coroutines in it cost as much as all the rest: hence two ways, which a test compares.

Nobody can cancel it: a caller who hangs up is still answered, within the deadline, and counted.
"""

from __future__ import annotations

from functools import partial

from firedoor.errors import shorten
from firedoor.gateway.answering import RANK, Answering, First
from firedoor.gateway.attempt import TIME_MIN_S, Call, broke, ran_of
from firedoor.gateway.caching import Cached
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.ladder import Rung
from firedoor.gateway.parts import Parts
from firedoor.gateway.services import Answered
from firedoor.gateway.trial import Trial
from firedoor.guarding.slots import Free
from firedoor.wire.serving import Ask, Outcome, Told

OK = Outcome.OK


class Flight(Call):
    """A request on this way: besides, what it has to give back, and to whom."""

    arm = "champion"
    trial: Trial
    ticket: int
    """Of the champion's breaker."""
    free: Free
    answered: Answered


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
        if live is None or live.route.candidate is not None or request.version or request.tester:
            return False
        held = live.champion
        if (
            parts.lookups is not None
            or parts.switches.thrown
            or parts.attempts.suspicions.died_of
            or not held.circuit.closed
        ):
            return False
        now_s, timeout_s = self._now(), request.timeout_s
        if timeout_s is None or timeout_s > self._timeout_s:
            timeout_s = self._timeout_s
        if timeout_s < TIME_MIN_S:
            return False
        free = parts.slots.take(RANK[request.priority])
        if free is None:
            return False
        call = Flight(request, live, parts.ids.make(self._utc()), now_s, now_s + timeout_s)
        call.trial, call.ticket = parts.trial, held.circuit.generation
        call.free, call.answered = free, answered
        until_s = now_s + min(timeout_s, self._attempt_s)
        ask = Ask(request.form, request.body, request.json_bytes, until_s)
        if request.trace:
            ask = ask._replace(traced=True)
        told = partial(self._told, call)
        try:
            held.variant.post(ask, told)
        except Exception as error:  # noqa: BLE001 - whatever breaks in a version stays there
            told(broke(error))
        return True

    def _told(self, call: Flight, told: Told) -> None:
        """Take what the champion says."""
        good = told.outcome is OK
        try:
            if not good:
                self._otherwise(call, told)
                return
            answer = self._well(call, told)
        except Exception as error:  # noqa: BLE001 - a fault here costs one request
            good, answer = False, self._failed(call, error)
        self._parts.slots.give(call.free, good=good)
        call.answered(answer)

    def _well(self, call: Flight, told: Told) -> Answer:
        """Return the answer to a request that went well; see ``judge`` of attempt and answering."""
        parts, live, end_s = self._parts, call.live, self._now()
        held, took_s = live.champion, end_s - call.began_s
        arm, trial = held.arm, call.trial
        held.trouble.outcomes[OK] += 1
        held.circuit.good(call.ticket, end_s)
        parts.latency.add(took_s)
        parts.ladder.succeeded()
        if parts.cache is not None:
            kept = Cached(told, arm.model, arm.version, arm.digest, call.began_s)
            parts.cache.put(call.same, kept)
        if took_s > parts.slow_s:
            parts.slots.cut()
        if trial.candidate is None:
            trial.tally.well("baseline", took_s, live.route.cutoffs)
        else:
            cutoffs = live.route.cutoffs
            trial.saw(call, "baseline", told, took_s, cutoffs=cutoffs, at_s=self._utc())
        answer = Answer(
            200, call.id, call.prediction, told.rows, told.fragment, told.tail, arm.model,
            held.version, "champion",
        )  # fmt: skip
        if call.request.trace:
            answer = answer._replace(ran=(ran_of(told, self._utc() - took_s),))
        if parts.log is not None:
            self._answering.record(call, Rung(told, "champion", by=arm), answer)
        return answer

    def _otherwise(self, call: Flight, told: Told) -> None:
        """Judge what did not go well, and find who answers instead."""
        parts, held = self._parts, call.live.champion
        first = First(call.live, held, told, call.trial)
        call.told, call.asked = told, (held,)
        parts.attempts.judge(call, held, told, call.ticket, call.began_s)
        self._answering.judge(call, first)
        parts.spawn(self._fall(call, first))

    async def _fall(self, call: Flight, first: First) -> None:
        """Find who answers instead."""
        answering = self._answering
        try:
            answer, _ = answering.finish(call, first, await answering.fall(call, first))
        except Exception as error:  # noqa: BLE001 - a fault here costs one request
            answer = self._failed(call, error)
        finally:
            self._parts.slots.give(call.free, good=False)
        call.answered(answer)

    def _failed(self, call: Call, error: Exception) -> Answer:
        """Return what is said where the gateway itself is wrong; facts say how."""
        self._parts.broken = shorten(f"{type(error).__name__}: {error}")
        said = "the gateway failed at this request; GET /readyz says how"
        return Answer(500, call.id, message=said)
