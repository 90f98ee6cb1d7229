"""Who answers instead, when the version that should have answered did not.

| Rung | Runs a model | Needs time | Degraded |
|---|---|---|---|
| the same version again, once | yes | yes | |
| the other version | yes | yes | ``previous_version`` |
| the answer to this very request, cached | no | no | ``cached`` |
| the declared constant | no | no | ``constant`` |
| the declared function | no | yes | ``function`` |

Below the last one nobody answers: 503, or 504 where the deadline is over, with what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from firedoor.errors import shorten
from firedoor.gateway.attempt import BREAKER, NO_TIME, NOT_ASKED, Attempts, Call
from firedoor.gateway.caching import AnswerCache, Cached
from firedoor.gateway.constant import constant, rows_of
from firedoor.gateway.exchange import ArmUsed, Request
from firedoor.gateway.trouble import told_to_callers
from firedoor.gateway.versions import Held, Live
from firedoor.guards import budget
from firedoor.guards.budget import BudgetPolicy
from firedoor.ports.clock import Clock
from firedoor.ports.variants import Variant
from firedoor.spec.service_plan import FallbackPlan
from firedoor.wire.route import Arm
from firedoor.wire.serving import FAILURES, Ask, Outcome, Told

FUNCTION_MIN_S = 0.005
AGAIN = frozenset({Outcome.DIED, Outcome.LATE})
"""What may end well in another worker of the same version: it need not be the model's doing."""


class Rung(NamedTuple):
    """An answer, and what it is."""

    told: Told
    arm: ArmUsed
    degraded: str = ""
    by: Arm | None = None
    """The version that it is of; None: of none."""


def asks_again(outcome: Outcome, *, candidate: bool, alternative: bool) -> bool:
    """Return whether the same version is asked once more.

    Not a candidate: its evidence is made, and the champion's answer is as good as any. What a model
    raises it raises again: where another version can be asked, that is asked instead.
    """
    if candidate:
        return False
    return outcome in AGAIN or (outcome in FAILURES and not alternative)


class Ladder:
    """The ladder of one service."""

    __slots__ = ("_attempts", "_budget", "_cache", "_clock", "_function", "_plan", "_tokens",
                 "broken", "function_because", "function_text")  # fmt: skip

    def __init__(
        self,
        plan: FallbackPlan,
        attempts: Attempts,
        *,
        clock: Clock,
        cache: AnswerCache | None,
        function: Variant | None,
        budget_policy: BudgetPolicy,
    ) -> None:
        """Begin with a full retry budget."""
        self._plan, self._attempts, self._clock = plan, attempts, clock
        self._cache, self._function = cache, function
        self._budget, self._tokens = budget_policy, budget_policy.tokens
        self.broken = 0
        """Calls of the declared function that brought no answer."""
        self.function_because = ""
        """What the last one did instead; empty: it brought one, or there was none."""
        self.function_text = ""
        """What its code said of it."""

    @property
    def tokens(self) -> int:
        """What is left of the retry budget."""
        return self._tokens

    def succeeded(self) -> None:
        """Take note of a request that succeeded at once, which fills the retry budget."""
        if self._tokens < self._budget.tokens:
            self._tokens, _ = budget.step(self._tokens, budget.Succeeded(), self._budget)

    async def by_versions(self, call: Call, first: Held, told: Told, *, retry: bool) -> Rung | None:
        """Ask the versions that are left, one after the other; ``told``: what the first said.

        Returns what a version answered, or that it refused the request; None: none of them did.
        """
        others = list(self._others(call, first))
        candidate = call.arm == "candidate"
        if retry and asks_again(told.outcome, candidate=candidate, alternative=bool(others)):
            told, cost = await self._again(call, first, told)
            if told.outcome in (Outcome.OK, Outcome.REFUSED):
                self._tokens, _ = budget.step(self._tokens, budget.Worked(cost), self._budget)
                return Rung(told, call.arm, by=first.arm)
        for held, arm in others:
            told = await self._attempts.make(call, held)
            if told.outcome in (Outcome.OK, Outcome.REFUSED):
                degraded = "" if self._is_due(call, held) else "previous_version"
                return Rung(told, arm, degraded, held.arm)
        return None

    async def without_model(self, call: Call, *, function: bool = True) -> Rung | None:
        """Return what is answered without any version; None: nothing. ``function``: if that may.

        Raises:
            ValueError: if the request has no rows that a constant could be given to.
        """
        cached = self.cached(call)
        if cached is not None:
            by = Arm(model=cached.model, version=cached.version, digest=cached.digest)
            return Rung(cached.told, "cached", "cached", by)
        return await self.declared(
            call.request, call.deadline_s, extra=call.extra, function=function
        )

    async def declared(
        self, request: Request, deadline_s: float, *, extra: bytes = b"", function: bool = True
    ) -> Rung | None:
        """Return what is declared as the answer; None: nothing is, or nothing in time.

        Raises:
            ValueError: if the request has no rows that a constant could be given to.
        """
        if self._plan.constant is not None:
            rows = rows_of(request.form, request.body, request.json_bytes)
            told = constant(request.form, self._plan.constant, rows)
            return Rung(told, "constant", "constant")
        if not function or self._function is None:
            return None
        ask = Ask(request.form, request.body, request.json_bytes, deadline_s, extra)
        return await self._by_function(ask, self._function)

    def cached(self, call: Call) -> Cached | None:
        """Return the answer to this very request, if there is one that is young enough."""
        return None if self._cache is None else self._cache.get(call.same, self._clock.now_s())

    async def _again(self, call: Call, held: Held, told: Told) -> tuple[Told, int]:
        """Ask the same version once more, if the retry budget has it."""
        kind: Literal["timeout", "transient"] = (
            "timeout" if told.outcome is Outcome.LATE else "transient"
        )
        self._tokens, cost = budget.step(self._tokens, budget.Wanted(kind), self._budget)
        if cost is None:
            return told, 0
        return await self._attempts.make(call, held), cost

    def _others(self, call: Call, first: Held) -> Iterator[tuple[Held, ArmUsed]]:
        """Yield the versions that may answer instead: the champion, then the one before it."""
        live = call.live
        if live.champion is not first:
            yield live.champion, "champion"
        previous = live.previous
        if self._plan.previous and previous is not None and previous is not first:
            yield previous, "previous"

    @staticmethod
    def _is_due(call: Call, held: Held) -> bool:
        """Return whether this is the version that the request was meant for all the same."""
        return held is call.live.champion and call.group != "candidate" and not call.tester

    async def _by_function(self, ask: Ask, function: Variant) -> Rung | None:
        """Have the declared function answer."""
        if self._clock.now_s() + FUNCTION_MIN_S > ask.deadline_s:
            return None
        try:
            told = await function.ask(ask)
        except Exception as error:  # noqa: BLE001 - the last rung; nobody answered
            name = type(error).__name__
            told = Told(Outcome.RAISED, message=shorten(str(error)), signature=name)
        if told.outcome in (Outcome.OK, Outcome.REFUSED):
            self.function_because = ""
            return Rung(told, "function", "function")
        self.broken += 1
        self.function_because, self.function_text = told_to_callers(told), told.message
        return None


def arm_of(live: Live, held: Held) -> ArmUsed:
    """Return which arm of the route a version is."""
    if held is live.champion:
        return "champion"
    return "candidate" if held is live.candidate else "previous"


def reason(told: Told) -> str:
    """Return in words why a version did not answer, as the log has it: callers are told less."""
    if told.signature in (BREAKER, NO_TIME):
        return told.message
    return f"{told.outcome.name.lower()}, {told.signature}: {told.message}".rstrip(": ,")


def nobody(
    call: Call, told: Told, service: str, now_s: float, *, function: str = ""
) -> tuple[int, str, float]:
    """Return status, message and time to wait, where nobody answered.

    What the code of a model says is not told: there may be rows in it, also of other requests.

    Args:
        call: what was tried.
        told: what came last of a version.
        service: its name.
        now_s: on the clock of the call.
        function: what the declared function did instead; empty: there is none.
    """
    live = call.live
    held = call.asked[-1] if call.asked else live.champion
    remedy = "declare fallback=fd.Fallback(constant=...) for an answer at such times"
    if function:
        remedy = f"nor did the fallback function ({function}): a constant always does"
    more = f" (request {call.id}: `firedoor events --zone {service}` tells more)"
    if told.signature == NOT_ASKED:
        return 503, f"no version of {service} may answer: {told.message}; {remedy}", 1.0
    if told.outcome is Outcome.DIED and call.repeat:
        said = f"workers of {held.name} die of this very request ({told_to_callers(told)})"
        return 500, f"{said}; do not send it again as it is; {remedy}{more}", 1.0
    if told.outcome is Outcome.EXPIRED or told.signature == NO_TIME or now_s >= call.deadline_s:
        waited_s = now_s - call.began_s
        return 504, f"no version of {service} answered within {waited_s:.3g} s; {remedy}", 1.0
    if told.outcome is Outcome.BUSY and told.signature != BREAKER:
        state = held.variant.facts.state
        said = "has no room" if state == "ready" else f"is {state}, and `firedoor status` says why"
        return 503, f"{held.name} {said}; {remedy}", 1.0
    wait_s = max(1.0, live.champion.circuit.retry_after_s(now_s))
    if told.signature == BREAKER:
        return 503, f"no version of {service} answered: {told.message}; {remedy}", wait_s
    said = f"{held.name} {told_to_callers(told)}"
    return 503, f"no version of {service} answered: {said}; {remedy}{more}", wait_s
