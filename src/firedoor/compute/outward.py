"""Calls out of a step, as its worker sees them: the guards of its process, and whose fault it is.

A guard that refuses, or one that has just opened, says that a dependency is away: then no row is to
blame, nothing is searched for, and the zone waits. A call that fails while its guard stays closed
may be its row's doing, and rows are looked for as after any other exception.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from firedoor.errors import DeadlineSpent, GuardRefused
from firedoor.wire.records import GuardNote, GuardOrder

if TYPE_CHECKING:
    from firedoor.guarding.edge import Edge
    from firedoor.guards.breaker import Order
    from firedoor.guards.explain import Explanation
    from firedoor.wire.messages import Batch

NOTES_MAX = 16
CHAIN_MAX = 20
_ORDERS: dict[str, Order] = {"open": "open", "close": "disable", "reset": "close"}
"""What a breaker is told: to let every call through, whatever it thinks, disables it."""


@dataclass(frozen=True, slots=True)
class Away:
    """What a step calls is away."""

    message: str
    retry_after_s: float | None


class Outward:
    """The guards that the step of this worker calls through. Without any it does nothing."""

    def __init__(self) -> None:
        """Know of no orders yet."""
        self._obeyed: dict[str, int] = {}
        self._attempt = 1
        self._left_s: float | None = None
        self._again = False

    def begin(self, batch: Batch) -> None:
        """Take what came with a batch: which attempt it is, the time there is, orders."""
        self._attempt = batch.attempt
        self._left_s = batch.left_s
        self._again = batch.attempt > 1
        for order in batch.orders:
            self._obey(order)

    def failed(self) -> None:
        """Note that what runs from now on was run before."""
        self._again = True

    def calling(self) -> AbstractContextManager[None]:
        """Hand on to guards, in the block, how much time there is and whether to call twice.

        A run has as much time as the first, from its own beginning.
        """
        if "firedoor.guarding.passage" not in sys.modules:
            return contextlib.nullcontext()
        return self._passage()

    def away(self, error: BaseException) -> Away | None:
        """Return what is away, if that is what an exception of the step says."""
        refused = _refusal(error)
        if refused is not None:
            edge = _edge(refused.guard)
            told = None if edge is None else _explain(edge)
            return Away(_tell(str(refused), told), refused.retry_after_s)
        if "firedoor.guarding.marking" not in sys.modules:
            return None
        from firedoor.guarding.marking import guard_of  # noqa: PLC0415 - a step without guards

        edge = _edge(guard_of(error))
        told = None if edge is None else _explain(edge)
        if told is None or told.state not in {"open", "half-open", "forced-open"}:
            return None  # its guard lets calls through: it may be this row that it cannot answer
        return Away(_tell(f"guard {told.guard!r} has opened", told), told.next_probe_s)

    def notes(self) -> tuple[GuardNote, ...]:
        """Return how each guard is that was ever called, or that somebody gave an order."""
        notes = []
        for edge in _edges():
            told = _explain(edge)
            totals = told.totals
            if told.state != "closed" or totals.good + totals.bad + totals.neutral + totals.refused:
                notes.append(GuardNote(worker=os.getpid(), explained=told))
        return tuple(notes[:NOTES_MAX])

    def _obey(self, order: GuardOrder) -> None:
        """Do as a person wants, once; a guard that is not there yet is told with a later batch."""
        if self._obeyed.get(order.guard, 0) >= order.number:
            return
        by, because = order.by or "somebody", order.because or "no reason given"
        for edge in _edges():
            if edge.name == order.guard:
                edge.order(_ORDERS[order.want], by, because)
                self._obeyed[order.guard] = order.number

    @contextlib.contextmanager
    def _passage(self) -> Iterator[None]:
        """Set what travels with calls."""
        from firedoor.guarding.passage import IDLE, PASSAGE  # noqa: PLC0415 - see calling

        until_s = None if self._left_s is None else time.monotonic() + self._left_s
        again = self._again
        token = PASSAGE.set(
            IDLE._replace(deadline_s=until_s, attempt=self._attempt, outer_retries=again)
        )
        try:
            yield
        finally:
            PASSAGE.reset(token)


def _edges() -> list[Edge]:
    """Return the guards of this process; importing them is left to those who use them."""
    if "firedoor.guarding.edge" not in sys.modules:
        return []
    from firedoor.guarding.registry import enrolled  # noqa: PLC0415 - see above

    return cast("list[Edge]", enrolled())


def _edge(name: str | None) -> Edge | None:
    """Return the guard of a name. Two of one name are taken to guard the same."""
    return next((edge for edge in _edges() if edge.name == name), None)


def _explain(edge: Edge) -> Explanation:
    """Return why a guard does what it does."""
    from firedoor.guarding.explaining import explain  # noqa: PLC0415 - there is a guard

    return explain(edge)


def _refusal(error: BaseException) -> GuardRefused | None:
    """Return the refusal that an exception is, or came of.

    One for want of time is none: how much of it was spent before may be a row's doing.
    """
    seen: BaseException | None = error
    for _ in range(CHAIN_MAX):
        if seen is None:
            return None
        if isinstance(seen, GuardRefused) and not isinstance(seen, DeadlineSpent):
            return seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


def _tell(what: str, told: Explanation | None) -> str:
    """Return in a line what is away, and how that showed."""
    if told is None:
        return what
    last = f" Last: {told.last_bad[0].cause}." if told.last_bad else ""
    return f"{what}: {told.why}{last}"
