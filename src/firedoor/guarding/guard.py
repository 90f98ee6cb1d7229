"""``Guard``: all protection of one edge to a dependency, as one object."""

from __future__ import annotations

import functools
import inspect
import operator
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, cast

from firedoor.errors import DeclarationError
from firedoor.guarding import fuse, section
from firedoor.guarding.edge import Edge
from firedoor.guarding.ladder import Memory
from firedoor.guarding.policies import (
    Declared,
    Listener,
    ProbeLease,
    check_callable,
    check_name,
    check_previous,
)
from firedoor.guarding.registry import DICE
from firedoor.guarding.waiting import pass_time
from firedoor.guards import breaker as breakers
from firedoor.guards.breaker import BreakerPolicy, Word
from firedoor.guards.budget import BudgetPolicy
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.classify import Classifier
from firedoor.guards.fallback import Answer, Rung
from firedoor.guards.limit import LimitPolicy
from firedoor.guards.rate import RatePolicy
from firedoor.guards.retry import RetryPolicy
from firedoor.guards.shedding import Priority, SheddingPolicy

if TYPE_CHECKING:
    from firedoor.guards.explain import Explanation
    from firedoor.spec.plan import GuardPlan

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")


class Guard:
    """All protection of one edge, from a caller to a dependency, as one object.

    Decorate a function with it, call through it, or use it as a context manager; sync and async.
    The mechanisms stand around the call in a fixed order (``firedoor.guards.order``). By itself a
    guard is a breaker; everything else is asked for. One guard may be shared by any number of
    functions, threads and event loops; it should be one a dependency, not one a call.
    """

    __slots__ = ("__weakref__", "_calls", "_edge", "_lean", "_memory")

    def __init__(
        self,
        name: str,
        *,
        timeout_s: float | None = None,
        breaker: BreakerPolicy | bool = True,
        retry: RetryPolicy | int | bool = False,
        budget: BudgetPolicy | bool = True,
        limit: LimitPolicy | BulkheadPolicy | int | bool = False,
        shedding: SheddingPolicy | bool = False,
        rate: RatePolicy | float | None = None,
        fallback: Rung | Sequence[Rung] = (),
        priority: Priority = "default",
        classify: Classifier | None = None,
        listener: Listener | None = None,
        probe_lease: ProbeLease | None = None,
        clock: Callable[[], float] | None = None,
        utc: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
        dice: random.Random | None = None,
    ) -> None:
        """Declare what protects the edge.

        Args:
            name: who calls whom, such as ``"serve->features"``; in every event and error.
            timeout_s: longest time of one attempt. An async attempt is cancelled then; a plain one
                is told (``fd.remaining_s()``), since nothing can end a thread.
            breaker: whether failures and slow calls open a breaker, or its policy.
            retry: attempts in all, or the policy. Only for calls that may be made twice.
            budget: the bucket that pays for retries; False: retries are free.
            limit: calls at once: True for an adaptive limit, a number or policy for a fixed one.
            shedding: whether classes of calls share the limit unequally and may wait for room.
            rate: calls a second, or the policy.
            fallback: rungs of the ladder that answers when the call cannot.
            priority: class of the calls, unless the caller says another (``fd.priority``).
            classify: says of which class an exception is; None from it: as usual.
            listener: called with the name and each event, outside of all locks.
            probe_lease: asked before a probe, so that one process of many probes for all.
            clock: seconds that do not jump, for tests.
            utc: seconds since 1970; only to understand a ``Retry-After`` that is a date.
            sleep: waits between two attempts of a plain function, for tests.
            dice: the chance in waits; a seeded one makes them repeatable.

        Raises:
            DeclarationError: with field, value, range and remedy.
        """
        declared = Declared(
            timeout_s=timeout_s, breaker=breaker, retry=retry, budget=budget, limit=limit,
            shedding=shedding, rate=rate, fallback=fallback, priority=priority,
        )  # fmt: skip
        check_callable("listener", listener)
        check_callable("probe_lease", probe_lease)
        check_callable("classify", classify)
        policies = declared.check()
        self._edge = Edge(
            check_name(name),
            policies,
            clock=clock or time.monotonic,
            sleep=sleep or pass_time,
            dice=dice or DICE,
            classifier=classify,
            listener=listener,
            probe_lease=probe_lease,
            utc=utc,
        )
        needed = Memory.needed(policies.fallback)
        self._memory = Memory(policies.fallback) if needed else None
        lean = policies.deadline.attempt_s is None and not any(
            (policies.retry, policies.limit, policies.rate, policies.fallback)
        )
        self._lean = lean
        self._calls: dict[str, Callable[..., Any]] = {}

    @property
    def name(self) -> str:
        """Who calls whom."""
        return self._edge.name

    @property
    def state(self) -> Word:
        """``closed``, ``open``, ``half-open``, ``forced-open`` or ``disabled``."""
        breaker = self._edge.breaker
        return "closed" if breaker is None else breakers.word(breaker)

    def explain(self) -> Explanation:
        """Return why the guard does what it does, in numbers, as plain data."""
        from firedoor.guarding.explaining import explain  # noqa: PLC0415 - asked for seldom

        return explain(self._edge)

    def plan(self) -> GuardPlan:
        """Return its numbers as plain values, for ``firedoor check``."""
        from firedoor.guarding.noting import note  # noqa: PLC0415 - a guard alone needs no plan

        return note(self._edge.name, self._edge.policies)

    def __call__(self, fn: F) -> F:
        """Return the function behind the guard. Sync or async, decided now, fused once.

        Raises:
            DeclarationError: for a generator, what cannot be called, or a function with arguments
                where ``Previous`` would answer one request with the answer to another.
        """
        target = self._target(fn)
        check_previous(target, self._edge.policies.fallback)
        if _is_async(target):
            from firedoor.guarding import fuse_async  # noqa: PLC0415 - imports the event loop

            guarded = self._fuse(fuse_async, target, _caller(target))
        else:
            guarded = self._fuse(fuse, target, _caller(target))
        if hasattr(fn, "__name__"):
            guarded = functools.wraps(fn)(guarded)
        guarded.__wrapped__ = target
        guarded.guard = self
        return cast("F", guarded)

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a plain function behind the guard.

        Raises:
            GuardRefused: if the call was not made.
            DeclarationError: if it returns a coroutine: that is ``acall``'s.
        """
        result: T = self._made("call")(self._target(fn), *args, **kwargs)
        return result

    async def acall(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that returns an awaitable, and await it, behind the guard.

        Raises:
            GuardRefused: if the call was not made.
            DeadlineExceeded: if it was cut at its timeout.
            TypeError: if it returns nothing to await; it has run.
        """
        result: T = await self._made("acall")(self._target(fn), *args, **kwargs)
        return result

    def answer(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Call like ``call``, and return the value with its source and its age."""
        answer: Answer = self._made("answer")(self._target(fn), *args, **kwargs)
        return answer

    async def aanswer(
        self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> Answer:
        """Call like ``acall``, and return the value with its source and its age."""
        answer: Answer = await self._made("aanswer")(self._target(fn), *args, **kwargs)
        return answer

    def __enter__(self) -> Self:
        """Guard a block: all but retry and fallback, for which there would have to be a function.

        Raises:
            GuardRefused: if it may not be entered.
        """
        entered = section.push(self._edge)
        try:
            entered.__enter__()
        except BaseException:
            section.pop(self._edge)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Judge the block."""
        section.pop(self._edge).__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        """Guard a block in a coroutine; it is cancelled at its timeout.

        Raises:
            GuardRefused: if it may not be entered.
        """
        entered = section.push(self._edge)
        try:
            await entered.__aenter__()
        except BaseException:
            section.pop(self._edge)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Judge the block.

        Raises:
            DeadlineExceeded: if it was cut at its timeout.
        """
        await section.pop(self._edge).__aexit__(kind, error, trace)

    def force_open(self, *, by: str, because: str) -> None:
        """Refuse every call until somebody says otherwise. ``explain()`` shows who and why."""
        self._edge.order("open", by, because)

    def disable(self, *, by: str, because: str) -> None:
        """Let every call through the breaker, and judge none, until somebody says otherwise."""
        self._edge.order("disable", by, because)

    def reset(self, *, by: str, because: str) -> None:
        """Close the breaker, and begin to count anew."""
        self._edge.order("close", by, because)

    def inject(self, fault: Callable[[], object] | None) -> None:
        """Run something just before each call, for a drill: raise, or wait. None ends it.

        What it returns is awaited before an async call, within the timeout of the attempt.
        """
        if fault is not None and not callable(fault):
            raise DeclarationError("fault", fault, "cannot be called", "give a function, or None")
        self._edge.fault = fault
        self._edge.settle()

    def __repr__(self) -> str:
        """Return the name and the state."""
        return f"<Guard {self.name!r} {self.state}>"

    def _target(self, fn: Any) -> Any:  # noqa: ANN401 - whatever is handed in
        """Return the function itself: one that is behind this guard already stands there once."""
        if getattr(fn, "guard", None) is self:
            return fn.__wrapped__
        _refuse(fn)
        return fn

    def _fuse(
        self,
        by: Any,  # noqa: ANN401 - one of two modules
        work: Any,  # noqa: ANN401 - a function of the user's own types
        caller: str,
        *,
        told: bool = False,
        skip: int = 0,
    ) -> Any:  # noqa: ANN401 - a function of the user's own types
        """Return one closure; ``skip``: arguments at the front that are no part of the request."""
        if self._lean and not told:
            return by.lean(self._edge, work, caller)
        memory = self._memory
        if memory is not None and not skip:  # a function of its own has answers of its own
            memory = Memory(self._edge.policies.fallback)
        return by.full(self._edge, work, caller, memory, told=told, skip=skip)

    def _made(self, which: str) -> Callable[..., Any]:
        """Return the closure of ``call`` and its like, made at its first use."""
        made = self._calls.get(which)
        if made is None:
            told = which.endswith("answer")
            if which.startswith("a") and which != "answer":
                from firedoor.guarding import fuse_async  # noqa: PLC0415 - imports the event loop

                made = self._fuse(fuse_async, fuse_async.apply, f"guard.{which}", told=told, skip=1)
            else:
                made = self._fuse(fuse, operator.call, f"guard.{which}", told=told, skip=1)
            self._calls[which] = made
        return made


def _is_async(fn: object) -> bool:
    """Return whether calling it makes a coroutine."""
    of_class = vars(type(fn)).get("__call__")
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(of_class)


def _caller(fn: object) -> str:
    """Return how a function is named in explanations."""
    return str(getattr(fn, "__qualname__", type(fn).__qualname__))


def _refuse(fn: object) -> None:
    """Refuse what no guard can stand around."""
    if not callable(fn):
        raise DeclarationError(
            "fn", fn, "cannot be called", "guard a function; below @classmethod or @staticmethod"
        )
    code = getattr(fn, "__code__", None)
    if code is not None and not code.co_flags & _GENERATORS:
        return
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise DeclarationError(
            "fn", fn, "is a generator: its work is done after the guard has looked",
            "guard the call that makes one item, or return a list",
        )  # fmt: skip


_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
