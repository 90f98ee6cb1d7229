"""Everything of one guard that changes, and the only place where it does.

Decisions are made by the pure functions of ``guards``, under one lock; nobody's code (the work, a
listener, a classifier, a lease) is ever called while it is held. Calls that are well take no lock:
they read ``good`` (None: something is the matter) and count with it.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from typing import TypeGuard

from firedoor.errors import GuardOpen, RateExceeded
from firedoor.guarding.marking import mark
from firedoor.guarding.policies import Listener, Policies, ProbeLease
from firedoor.guarding.registry import SWITCH, enrol
from firedoor.guarding.slots import Slots
from firedoor.guarding.tally import Askers, Tally
from firedoor.guards import breaker as breakers
from firedoor.guards import budget as budgets
from firedoor.guards import deadline as deadlines
from firedoor.guards import events, rate, retry
from firedoor.guards.breaker import Breaker, BreakerPolicy
from firedoor.guards.classify import Classifier, ErrorClass, classify, describe, retry_after_s
from firedoor.guards.deadline import Passage
from firedoor.guards.window import Window

Told = tuple[events.Event, ...]
NOTHING: Told = ()
Count = Callable[[], int]
Ticket = Count | int
"""What a call was let in with: the count of its generation, or the generation of a probe."""
OFF = -1
"""The ticket of a call that nobody judges."""
RECENT_MAX = 5
"""Latest bad calls that are kept for the explanation."""
WINDOW_S = 10.0
"""What a guard without a breaker looks back, for its explanation."""


class Edge:
    """The state of one guard, shared by every function that it guards."""

    __slots__ = ("__weakref__", "_bad_total", "_bucket", "_classify", "_closed", "_dice",
                 "_filled", "_good_before", "_listener", "_lock", "_neutral", "_probe_lease",
                 "_tally", "_utc", "_window", "askers", "breaker", "clock", "degraded", "edge_s",
                 "fault", "good", "last_bad", "listener_error", "name", "policies", "retries",
                 "shut_from_s", "shut_until_s", "sleep", "slots", "slow_s", "tokens", "turned",
                 "typical_s", "why")  # fmt: skip

    def __init__(
        self,
        name: str,
        policies: Policies,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        dice: random.Random,
        classifier: Classifier | None,
        listener: Listener | None,
        probe_lease: ProbeLease | None,
        utc: Callable[[], float] | None,
    ) -> None:
        """Begin closed, with nothing known."""
        self.name, self.policies = name, policies
        self.clock, self.sleep, self._dice, self._utc = clock, sleep, dice, utc
        self._classify, self._listener, self._probe_lease = classifier, listener, probe_lease
        self.breaker: Breaker | None = None if policies.breaker is None else Breaker()
        self.slow_s = policies.slow_s
        self.fault: Callable[[], object] | None = None
        self.why = self.listener_error = ""
        self.last_bad: tuple[tuple[str, float], ...] = ()
        self.turned = Tally()
        self.askers = Askers()
        self._neutral = self.retries = self.degraded = self._good_before = self._bad_total = 0
        self.tokens = 0 if policies.budget is None else policies.budget.tokens
        self._filled = 0
        self.typical_s = 0.0
        now_s = clock()
        self._bucket = None if policies.rate is None else rate.begin(policies.rate, now_s)
        self.slots: Slots | None = None
        if policies.limit is not None:
            self.slots = Slots(name, policies.limit, policies.shedding, clock, self.tell)
        self._lock = threading.RLock()
        self._renew(now_s)
        self.settle()
        enrol(self)

    # ---- calls

    def admit(self, caller: str) -> Ticket:
        """Let a call in that found something the matter.

        Raises:
            GuardOpen: if it may not be made.
        """
        breaker, policy = self.breaker, self.policies.breaker
        if SWITCH.off:
            return OFF
        if breaker is None or policy is None:
            return self._tally.good
        now_s = self.clock()
        if self.shut_from_s <= now_s < self.shut_until_s:
            raise self._turn(caller, self.shut_until_s - now_s)
        with self._lock:
            self.breaker, answer, told = breakers.ask(
                self.breaker or breaker, policy, now_s,
                lease_s=self.policies.lease_s, chance=self._dice.random(),
            )  # fmt: skip
            ticket: Ticket = self.breaker.generation
            if isinstance(self.breaker.mode, breakers.Closed | breakers.Disabled):
                ticket = self._tally.good
        if isinstance(answer, breakers.Turned):
            self.tell(told)
            raise self._turn(caller, answer.retry_after_s)
        if answer.probe:
            self._lease(answer.generation, policy, caller)
        self.tell(told)
        return ticket

    def finished(self, ticket: Ticket, begun_s: float, end_s: float) -> bool:
        """Take a result; return whether it came in time. A slow one is bad."""
        took_s = end_s - begun_s
        slow = took_s > self.slow_s
        with self._lock:
            if slow:
                cause = f"took {took_s:.3g} s, slow is {self.slow_s:.3g} s"
                told = self._bad(ticket, end_s, cause, slow=True)
            else:
                told = self._good(ticket, end_s)
            self.typical_s = deadlines.typical(self.typical_s, took_s)
        self.tell(told)
        if slow and self.slots is not None:
            self.slots.cut()
        return not slow

    def failed(
        self, ticket: Ticket, error: BaseException, begun_s: float, *, caller_gone: bool = False
    ) -> ErrorClass | None:
        """Take a failure, and return its class; None: it is none (a cancellation, an exit).

        ``caller_gone``: the caller's own deadline is over, so that a timeout may be its doing.
        """
        kind = self.kind(error)
        now_s, told = self.clock(), NOTHING
        cut_early = caller_gone and kind == "timeout" and now_s - begun_s <= self.slow_s
        if kind in retry.PASSES and not cut_early:
            cause = describe(error)
            mark(error, self.name)
            asked_s = retry_after_s(error, None if self._utc is None else self._utc())
            with self._lock:
                told = self._bad(ticket, now_s, cause, asked_s=asked_s)
            if kind == "timeout" and self.slots is not None:
                self.slots.cut()
        else:
            with self._lock:
                self._neutral += 1
                if isinstance(ticket, int):
                    told = self._step(breakers.Neutral(ticket), now_s)
        self.tell(told)
        return kind

    def kind(self, error: BaseException) -> ErrorClass | None:
        """Return the class of a failure; a classifier that raises has no opinion."""
        if not isinstance(error, Exception):
            return None
        if self._classify is not None:
            try:
                own = self._classify(error)
            except Exception as broken:  # noqa: BLE001 - a guard does not fail by its accessories
                self.listener_error = f"classify: {describe(broken)}"
            else:
                if own is not None:
                    return own
        return classify(error)

    def again(
        self, attempt: int, error: BaseException, kind: ErrorClass, outer: Passage
    ) -> tuple[float, int] | None:
        """Return how long to wait before another attempt and what it costs; None: no other."""
        policy, bucket = self.policies.retry, self.policies.budget
        if policy is None or self._shut():
            return None
        asked_s = retry_after_s(error, None if self._utc is None else self._utc())
        verdict = retry.judge(
            attempt, kind, policy, retry_after_s=asked_s,
            remaining_s=deadlines.remaining_s(outer, self.clock()),
            outer_retries=outer.outer_retries, chance=self._dice.random(),
        )  # fmt: skip
        cost: int | None = 0
        if isinstance(verdict, retry.Again) and bucket is not None:
            with self._lock:
                cost = self._spend(kind, bucket)
        if isinstance(verdict, retry.Stop) or cost is None:
            why = verdict.why if isinstance(verdict, retry.Stop) else "the retry budget is spent"
            if cost is None or (isinstance(verdict, retry.Stop) and verdict.told):
                self.tell((events.GaveUp(attempts=attempt, cause=describe(error), why=why),))
            return None
        self.retries += 1
        wait_s = 0.0 if SWITCH.instant else verdict.wait_s
        told = events.Retried(attempt=attempt + 1, cause=describe(error), wait_s=wait_s)
        self.tell((told,))
        return wait_s, cost

    def refund(self, cost: int) -> None:
        """Give a retry that succeeded its tokens back."""
        if self.policies.budget is not None:
            with self._lock:
                self._filled += 1  # the retry was counted as a good call, and is no first success
                worked = budgets.Worked(cost)
                self.tokens, _ = budgets.step(self.tokens, worked, self.policies.budget)

    def draw_rate(self) -> None:
        """Take a token of the rate limit.

        Raises:
            RateExceeded: if there is none.
        """
        policy = self.policies.rate
        assert policy is not None
        with self._lock:
            assert self._bucket is not None
            self._bucket, wait_s = rate.step(self._bucket, policy, self.clock())
        if wait_s > 0:
            self.turned.good()
            raise RateExceeded(self.name, wait_s, f"more than {policy.per_s:g} calls a second")

    def tell(self, told: Told) -> None:
        """Tell the listener; one that raises is not let into the call."""
        for event in told:
            if isinstance(event, events.BreakerOpened):
                self.why = event.why
            if self._listener is not None:
                try:
                    self._listener(self.name, event)
                except Exception as error:  # noqa: BLE001 - see above; explain() shows it
                    self.listener_error = describe(error)

    # ---- orders

    def order(self, order: breakers.Order, by: str, because: str) -> None:
        """Do as a person says."""
        event = breakers.Ordered(order, by, because)
        with self._lock:
            told = self._step(event, self.clock())
        self.tell(told)

    def restore(self, breaker: Breaker | None) -> None:
        """Go on as things were before an order that was none of a person's."""
        with self._lock:
            self.breaker = breaker
            self.settle()

    def begin_anew(self) -> None:
        """Begin in a forked child: what is under way there is not ours."""
        self._lock = threading.RLock()
        if self.slots is not None:
            self.slots.begin_anew()
        if self.breaker is not None and isinstance(self.breaker.mode, breakers.HalfOpen):
            self._step(breakers.Neutral(self.breaker.generation), self.clock())

    def settle(self) -> None:
        """Let calls take the short way, or not, as things are now."""
        passing = breakers.Closed | breakers.Disabled
        self._closed = self.breaker is None or isinstance(self.breaker.mode, passing)
        quiet = self._closed and self.fault is None and not SWITCH.off
        self.good: Count | None = self._tally.good if quiet else None
        # Between these a call is refused without asking the breaker, and without the lock.
        self.shut_from_s, self.shut_until_s = math.inf, -math.inf
        if self.breaker is None or SWITCH.off:
            return
        match self.breaker.mode:
            case breakers.Open(since_s=since_s, until_s=until_s):
                self.shut_from_s, self.shut_until_s = since_s, until_s
            case breakers.Forced():
                self.shut_from_s, self.shut_until_s = -math.inf, math.inf
            case _:
                pass

    def read(self, now_s: float) -> tuple[Window, int, int, int, int]:
        """Return the window, its good calls, and totals of good, bad and neutral calls."""
        with self._lock:
            good = self._tally.total()
            self._window.advance(now_s, good)
            return self._window, good, self._good_before + good, self._bad_total, self._neutral

    # ---- under the lock

    def _good(self, ticket: Ticket, now_s: float) -> Told:
        """Count a good call of this generation, or take a probe's."""
        if ticket is self._tally.good:
            self._window.advance(now_s, self._tally.total())
            self.edge_s = self._window.edge_s
            self._tally.good()
        elif self._is_probe(ticket):
            self._good_before += 1
            return self._step(breakers.Good(ticket), now_s)
        return ()

    def _is_probe(self, ticket: Ticket) -> TypeGuard[int]:
        """Return whether a result is that of the probe that is under way."""
        return self.breaker is not None and ticket == self.breaker.generation

    def _bad(
        self, ticket: Ticket, now_s: float, cause: str, *, slow: bool = False,
        asked_s: float | None = None,
    ) -> Told:  # fmt: skip
        """Count a bad call, and judge."""
        if ticket is self._tally.good and self._closed:
            generation = 0 if self.breaker is None else self.breaker.generation
            counts = self._window.add_bad(now_s, self._tally.total(), slow=slow)
            self.edge_s = self._window.edge_s
        elif self._is_probe(ticket):
            generation, counts = ticket, self._window.counts(self._tally.total())
        else:
            return ()  # late: of an earlier generation
        self._bad_total += 1
        self.last_bad = ((cause, now_s), *self.last_bad[: RECENT_MAX - 1])
        return self._step(
            breakers.Bad(
                generation=generation, counts=counts, cause=cause, retry_after_s=asked_s,
                chance=self._dice.random(),
            ),
            now_s,
        )  # fmt: skip

    def _step(self, event: breakers.Event, now_s: float) -> Told:
        """Move the breaker on; a breaker that closes begins a new window."""
        policy = self.policies.breaker
        if self.breaker is None or policy is None:
            return ()
        before = self.breaker
        self.breaker, told = breakers.step(before, event, policy, now_s)
        if self.breaker is not before:
            if isinstance(self.breaker.mode, breakers.Closed | breakers.Disabled):
                self._renew(now_s)
                self.askers.forget()
            self.settle()
        return told

    def _renew(self, now_s: float) -> None:
        """Begin a new window and a new count: results of earlier calls go nowhere."""
        tally = getattr(self, "_tally", None)
        if tally is not None:
            self._fill(tally.total())
            self._good_before += tally.total()
        self._filled = 0
        policy = self.policies.breaker
        self._window = Window(WINDOW_S if policy is None else policy.window_s, now_s)
        self._tally = Tally()
        # The first call takes the long way, where a coroutine from a plain function is found.
        self.edge_s = -math.inf

    def _fill(self, good: int) -> None:
        """Bring the retry budget what calls brought that succeeded since the last time."""
        bucket = self.policies.budget
        if bucket is not None:
            fresh = budgets.Succeeded(max(0, good - self._filled))
            self.tokens, _ = budgets.step(self.tokens, fresh, bucket)
        self._filled = good

    def _spend(self, kind: ErrorClass, bucket: budgets.BudgetPolicy) -> int | None:
        """Take the tokens of a retry."""
        self._fill(self._tally.total())
        self.tokens, cost = budgets.step(self.tokens, budgets.Wanted(kind), bucket)
        return cost

    # ---- without it

    def _shut(self) -> bool:
        """Return whether another attempt would be refused."""
        mode = self.breaker.mode if self.breaker is not None else None
        return isinstance(mode, breakers.Open | breakers.HalfOpen | breakers.Forced)

    def _turn(self, caller: str, after_s: float | None) -> GuardOpen:
        """Count a refusal, and return the error: a fresh one, since a kept one would grow."""
        self.askers.of(caller)()
        return GuardOpen(self.name, after_s)

    def _lease(self, generation: int, policy: BreakerPolicy, caller: str) -> None:
        """Ask whoever coordinates whether this process makes the probe."""
        if self._probe_lease is None:
            return
        try:
            wait_s = self._probe_lease(self.name, self.policies.lease_s)
        except Exception as error:  # noqa: BLE001 - who cannot ask goes on by itself
            self.listener_error = f"probe_lease: {describe(error)}"
            return
        if wait_s > 0:
            wait_s = min(wait_s, policy.open_max_s)
            denied = breakers.Denied(generation=generation, wait_s=wait_s)
            with self._lock:
                told = self._step(denied, self.clock())
            self.tell(told)
            raise self._turn(caller, wait_s)
