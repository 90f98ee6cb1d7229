"""The way of a request, in the order of ``gateway.order``."""

from __future__ import annotations

from typing import NamedTuple, cast

from firedoor.errors import Overloaded
from firedoor.gateway import split, telling
from firedoor.gateway.attempt import BREAKER, NOT_ASKED, Call
from firedoor.gateway.caching import Cached
from firedoor.gateway.constant import rows_of
from firedoor.gateway.exchange import ORDERED, Answer, Request
from firedoor.gateway.identity import clean
from firedoor.gateway.ladder import Rung, arm_of, nobody, reason
from firedoor.gateway.parts import Parts
from firedoor.gateway.recording import answer_of, record_of, unserved_record
from firedoor.gateway.trial import Trial
from firedoor.gateway.versions import Held, Live
from firedoor.guarding.fuse_async import wait_for_place
from firedoor.guards.shedding import PRIORITIES
from firedoor.wire import fetching
from firedoor.wire.columns import Columns
from firedoor.wire.payload import columns_of
from firedoor.wire.serving import Outcome, Told

RANK = {name: rank for rank, name in enumerate(PRIORITIES)}
OVERLOADED = frozenset({Outcome.LATE, Outcome.EXPIRED, Outcome.BUSY})
"""What the champion says when it is given more than it can do."""
AGAIN_S = 1.0


class First(NamedTuple):
    """The first attempt at a request, and what was in force when it was made."""

    live: Live
    held: Held
    told: Told
    trial: Trial


class Answering:
    """Answers requests with the parts of one service."""

    __slots__ = ("_keys", "_now", "_parts", "_plan", "_split_names", "_utc")

    def __init__(self, parts: Parts) -> None:
        """Begin; look-ups are among the parts by now."""
        plan, clock = parts.plan, parts.clock
        self._parts, self._plan = parts, plan
        self._now, self._utc = clock.now_s, clock.utc_s
        self._keys = () if parts.lookups is None else parts.lookups.keys
        named = (*self._keys, *plan.slices, *((plan.key,) if plan.key else ()))
        self._split_names = tuple(dict.fromkeys(named))

    async def answer(self, request: Request) -> Answer:
        """Have one request answered, always, within its deadline and a little."""
        parts, began_s = self._parts, self._now()
        timeout_s, longest_s = request.timeout_s, self._plan.limits.timeout_s
        if timeout_s is None or timeout_s > longest_s:
            timeout_s = longest_s
        live = parts.versions.live
        if live is None:
            return await self._unserved(request, began_s, began_s + timeout_s)
        prediction = parts.ids.make(self._utc())
        call = Call(request, live, prediction, began_s, began_s + timeout_s)
        slots, rank, good = parts.slots, RANK[request.priority], False
        free = slots.take(rank)
        try:
            if free is None:
                free = await wait_for_place(slots, rank, timeout_s)
                call.live = parts.versions.live or live
            answer, good = await self._serve(call)
        except Overloaded:
            roomy = rank > 0 and slots.inflight < slots.size
            more = ", or as more important (X-Firedoor-Priority)" if rank else ""
            said = (
                f"{self._plan.name} has no room for a {request.priority} request: of "
                f"{slots.size} at once, {slots.inflight} are under way and {slots.waiting} wait; "
                f"send it again after {AGAIN_S:g} s{more}"
            )
            return _not(429 if roomy else 503, call.id, said, AGAIN_S)
        else:
            return answer
        finally:
            if free is not None:
                slots.give(free, good=good)

    async def _unserved(self, request: Request, began_s: float, deadline_s: float) -> Answer:
        """Answer by what is declared, where no version has ever been there."""
        parts, because = self._parts, telling.not_begun(self._parts)
        prediction = parts.ids.make(self._utc())
        known = clean(request.id) or prediction
        try:
            rung = await parts.ladder.declared(request, deadline_s)
        except ValueError as error:
            return _not(400, known, str(error))
        if rung is None:
            return _not(503, known, telling.not_begun(parts, plainly=True), AGAIN_S)
        told = rung.told
        if told.outcome is Outcome.REFUSED:
            return _not(400, known, told.message)
        answer = Answer(200, known, prediction, told.rows, told.fragment, told.tail)
        answer = answer._replace(arm=rung.arm, degraded=rung.degraded)
        if parts.log is not None and not parts.killed("log"):
            parts.log.put(
                unserved_record(
                    request, rung, answer, plan=self._plan, gateway=parts.gateway, because=because,
                    utc_s=self._utc(), seconds=self._now() - began_s,
                )
            )  # fmt: skip
        return answer

    async def _serve(self, call: Call) -> tuple[Answer, bool]:
        """Answer a request that has a place; return whether the champion did it at once."""
        parts = self._parts
        if parts.lookups is not None or (self._split_names and call.live.candidate is not None):
            refused = await self._prepare(call)
            if refused is not None:
                return refused, False
        held = self._choose(call)
        if held is None:
            return self._no_version(call), False
        live, trial = call.live, parts.trial
        call.arm = arm_of(live, held)
        suspicions = parts.attempts.suspicions
        call.suspect = bool(suspicions) and suspicions.suspect(call.mark, call.began_s)
        killed = bool(parts.switches)
        no_worker = killed and parts.killed("model", call.subject)
        if call.abstain or no_worker or (killed and parts.killed("route", call.subject)):
            why = call.abstain or "; ".join(parts.switches.told())
            call.because = why
            told = Told(Outcome.BUSY, message=call.abstain_told or why, signature=NOT_ASKED)
            rung = await self._without_model(call, function=not no_worker)
            return self.finish(call, First(live, held, told, trial), rung)
        first = First(live, held, await parts.attempts.make(call, held), trial)
        if call.asked:
            self.judge(call, first)
        elif first.told.signature == BREAKER and not call.tester:
            trial.turned_away(call, call.group, cutoffs=live.route.cutoffs)
        return self.finish(call, first, await self.fall(call, first))

    def finish(self, call: Call, first: First, rung: Rung | None) -> tuple[Answer, bool]:
        """Say what came of it, and record that; return as well whether all went well at once."""
        live, held, told, _ = first
        if rung is None:
            status, said, wait_s = nobody(
                call, call.told or told, self._plan.name, self._now(),
                function=self._parts.ladder.function_because,
            )  # fmt: skip
            cause = call.blamed or (ORDERED if told.signature == NOT_ASKED else "")
            answer = _not(status, call.id, said, wait_s)
            return answer._replace(cause=cause, ran=call.ran), False
        if rung.told.outcome is Outcome.REFUSED:
            return _not(400, call.id, rung.told.message), False
        answer = answer_of(call, rung)
        self._copy_or_record(call, first, rung, answer)
        return answer, held is live.champion and told.outcome is Outcome.OK

    async def _prepare(self, call: Call) -> Answer | None:
        """Read columns and look features up; return an answer where that cannot be done."""
        request, live, lookups = call.request, call.live, self._parts.lookups
        names = self._keys if live.candidate is None else self._split_names
        columns: Columns = {}
        try:
            if names:
                columns = columns_of(request.form, request.body, request.json_bytes, names)
        except ValueError as error:
            if lookups is not None:
                return _not(400, call.id, str(error))
            return None  # the version says better what is wrong with it
        if live.candidate is not None:
            call.slices = split.slices_of(columns, self._plan.slices)
            call.key = split.key_of(columns, self._plan.key) if self._plan.key else b""
        if lookups is None:
            return None
        try:
            first = next(iter(columns.values()), None)
            rows = len(first or ()) or rows_of(request.form, request.body, request.json_bytes)
        except ValueError as error:
            return _not(400, call.id, str(error))
        found = await lookups.look_up(cast("fetching.Columns", columns), rows, call.deadline_s)
        if found.refused:
            return _not(400, call.id, found.refused)
        call.extra, call.features = found.extra, found.features
        call.abstain, call.abstain_told = found.abstain, found.abstain_told
        call.worse, call.quality = found.degraded or bool(found.abstain), found.said
        call.live = self._parts.versions.live or live  # it may have changed meanwhile
        return None

    def _choose(self, call: Call) -> Held | None:
        """Return the version that is to answer; None: the caller names one that is not here."""
        live, request = call.live, call.request
        candidate = live.candidate
        if candidate is not None and not self._usable(live, call.subject):
            candidate = None
        if live.route.candidate is not None:  # else there is nobody to be compared with
            rule = live.unsplit if candidate is None else live.split
            call.group = split.choose(call.subject, rule, call.slices)
        if request.version:
            named = (live.champion, candidate, live.previous)
            return next((h for h in named if h and str(h.arm.version) == request.version), None)
        if request.tester:
            wanted = candidate if request.tester == "candidate" else None
            return wanted or live.champion
        return candidate if call.group == "candidate" and candidate else live.champion

    def _usable(self, live: Live, key: bytes) -> bool:
        """Return whether the candidate may be given anything."""
        parts, lease_s = self._parts, live.route.lease_s
        if parts.trial.trips.tripped and parts.trial.candidate == live.route.candidate:
            return False
        if lease_s is not None and parts.lease.lapsed(lease_s, self._now()):
            return False
        return not parts.killed("candidate", key)

    def judge(self, call: Call, first: First) -> None:
        """Take the first attempt as evidence, and for the limit."""
        live, held, told, trial = first
        parts, took_s, tester = self._parts, call.took_s, call.tester
        if held is live.champion:
            if told.outcome is Outcome.OK:
                parts.latency.add(took_s)
                parts.ladder.succeeded()
                if parts.cache is not None and not tester:
                    arm = held.arm
                    kept = Cached(told, arm.model, arm.version, arm.digest, call.began_s)
                    parts.cache.put(call.same, kept)
            overloaded = told.outcome in OVERLOADED and held.state == "ready"
            if (overloaded or took_s > parts.slow_s) and not self._relieved(live, told):
                parts.slots.cut()
        if not tester and not call.repeat:
            trial.saw(call, call.group, told, took_s, cutoffs=live.route.cutoffs, at_s=self._utc())
        if held is live.candidate and told.outcome is Outcome.DIED:
            parts.look_for_trips()

    def _relieved(self, live: Live, told: Told) -> bool:
        """Return whether the version before takes what the champion is too late with.

        Then the champion's breaker is all that it needs. A lower limit, besides, would refuse what
        the version before has room for, over and over while the breaker opens and closes.
        """
        before = live.previous
        if told.outcome is not Outcome.LATE or before is None or not self._plan.fallback.previous:
            return False
        return before.admitted and before.circuit.closed

    async def fall(self, call: Call, first: First) -> Rung | None:
        """Find who answers: whoever was asked, or else another; a refusal is the caller's own."""
        held, told = first.held, first.told
        if told.outcome is Outcome.OK:
            return Rung(told, call.arm, by=held.arm)
        call.because = reason(told)
        if told.outcome is Outcome.REFUSED:
            return Rung(told, "none")
        parts = self._parts
        call.live = parts.versions.live or call.live  # it may have changed meanwhile
        retry = not parts.killed("retry")
        rung = await parts.ladder.by_versions(call, held, told, retry=retry)
        return rung or await self._without_model(call)

    async def _without_model(self, call: Call, *, function: bool = True) -> Rung | None:
        """Return what is answered without any version; a body without rows is the caller's."""
        try:
            return await self._parts.ladder.without_model(call, function=function)
        except ValueError as error:
            return Rung(Told(Outcome.REFUSED, message=str(error)), "none")

    def _copy_or_record(self, call: Call, first: First, rung: Rung, answer: Answer) -> None:
        """Give the other version a copy, and the log one: the latter when the former is done."""
        parts, live = self._parts, first.live
        if live.candidate is not None and call.asked and not call.tester:
            usable = self._usable(live, call.mark) and not parts.killed("mirror")
            usable = usable and not parts.attempts.suspicions.suspect(call.mark, self._now())
            busy = 2 * parts.slots.inflight > parts.slots.size
            outcome = first.told.outcome
            if first.held is live.candidate and outcome is not Outcome.OK:
                usable = False  # the champion has answered it already
            to = parts.mirror.other(live, first.held, outcome, busy=busy) if usable else None
            if to is not None:
                parts.mirror.under_way += 1
                parts.spawn(self._copy(call, first, to, rung, answer))
                return
        self.record(call, rung, answer)

    async def _copy(self, call: Call, first: First, to: Held, rung: Rung, answer: Answer) -> None:
        """Have a copy answered, compare, and record."""
        live, _, told, trial = first
        parts, shadow = self._parts, b""
        seconds = self._now() - call.began_s
        try:
            said, took_s = await parts.mirror.copy(call, to)
            if to is live.candidate:
                cutoffs = live.route.cutoffs
                trial.saw(call, "shadow", said, took_s, cutoffs=cutoffs, at_s=self._utc())
            if said.outcome is Outcome.DIED:
                parts.attempts.suspicions.died(to.name, call.mark, self._now())
                parts.look_for_trips()
            if said.outcome is Outcome.OK:
                shadow = said.scores
                if told.outcome is Outcome.OK:
                    both = (shadow, told.scores) if to is live.candidate else (told.scores, shadow)
                    trial.pairing.compared(call.prediction, *both, call.slices)
        finally:
            parts.mirror.under_way -= 1
            self.record(call, rung, answer, seconds=seconds, shadow=shadow)

    def record(
        self, call: Call, rung: Rung, answer: Answer, *, seconds: float | None = None,
        shadow: bytes = b"",
    ) -> None:  # fmt: skip
        """Give the log a copy of an answer."""
        parts = self._parts
        if parts.log is None or parts.killed("log"):
            return
        if seconds is None:
            seconds = self._now() - call.began_s
        record = record_of(
            call, rung, answer, plan=self._plan, gateway=parts.gateway,
            utc_s=self._utc(), seconds=seconds, shadow=shadow,
        )  # fmt: skip
        parts.log.put(record)

    def _no_version(self, call: Call) -> Answer:
        """Refuse a version that is not here."""
        live = call.live
        here = ", ".join(
            str(held.arm.version) for held in (live.champion, live.candidate, live.previous) if held
        )
        said = f"version {call.request.version!r} of {self._plan.name} is not served: {here} are"
        return _not(404, call.id, said)


def _not(status: int, request_id: str, message: str, retry_after_s: float | None = None) -> Answer:
    """Return what is said to a request that is not answered."""
    return Answer(status, request_id, message=message, retry_after_s=retry_after_s)
