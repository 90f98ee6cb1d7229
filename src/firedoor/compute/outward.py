"""Calls out of a step, as its worker sees them: the guards of its process, and whose fault it is.

A call that fails says that the dependency is away, or that it cannot answer for some row. So other
rows are tried at once: one that is known to have been answered, and a few of the batch. Where none
is answered, no row is to blame, nothing is searched for, and the zone waits. Where one is, rows are
looked for as after any other exception; the guard lets calls through meanwhile and judges none,
since half the calls of a search fail, and begins anew after it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from firedoor.errors import DeadlineSpent, GuardOpen, GuardRefused, causes
from firedoor.quality.grades import Grade, merged, of_answer
from firedoor.wire.records import GuardNote, GuardOrder

if TYPE_CHECKING:
    import polars as pl

    from firedoor.guarding.edge import Edge
    from firedoor.guards.breaker import Order
    from firedoor.guards.explain import Explanation
    from firedoor.wire.messages import Batch

NOTES_MAX = 16
ROW_MAX = 8
"""Failed calls in a row during a search after which other rows are tried again."""
US = "firedoor"
_ORDERS: dict[str, Order] = {"open": "open", "close": "disable", "reset": "close"}
"""What a breaker is told: to let every call through, whatever it thinks, disables it."""


@dataclass(frozen=True, slots=True)
class Away:
    """What a step calls is away, as it seems."""

    message: str
    retry_after_s: float | None
    guard: str
    edge: Edge | None = None
    """The guard through which other rows may be tried; None: that would tell nothing."""


class Outward:
    """The guards that the step of this worker calls through. Without any it does nothing."""

    def __init__(self) -> None:
        """Know of no orders yet."""
        self._obeyed: dict[str, int] = {}
        self._attempt = 1
        self._left_s: float | None = None
        self._again = False
        self._open: frozenset[str] = frozenset()
        """Guards that were open when the batch came."""
        self._searching: dict[str, Edge] = {}
        """Guards that let everything through, for this batch."""
        self._row = 0
        """Failed calls of the search since one passed."""
        self._notes: tuple[GuardNote, ...] = ()
        self._good: dict[str, int] = {}
        """Good calls through each guard before the batch came."""
        self._grades: dict[str, Grade] = {}
        """Of answers from fallback ladders, for this batch."""

    def begin(self, batch: Batch) -> None:
        """Take what came with a batch: which attempt it is, the time there is, orders."""
        for edge in self._searching.values():
            edge.order("close", US, "it answered: what failed was the rows' doing")
        self._searching = {}
        self._attempt, self._left_s = batch.attempt, batch.left_s
        once = any(order.want == "once" for order in batch.orders)
        self._again, self._row = once or batch.attempt > 1, 0
        for order in batch.orders:
            self._obey(order)
        edges = _edges()
        self._open = frozenset(edge.name for edge in edges if _refuses(edge))
        self._good = {edge.name: _good(edge) for edge in edges}
        self._grades = {}
        if edges:
            from firedoor.guarding.registry import SWITCH  # noqa: PLC0415 - there are guards

            SWITCH.witness = self._answered

    def passed(self) -> None:
        """Note that a run came through."""
        self._row = 0

    def calling(self) -> AbstractContextManager[None]:
        """Hand on to guards, in the block, how much time there is and whether to call twice.

        A run has as much time as the first, from its own beginning.
        """
        if "firedoor.guarding.passage" not in sys.modules:
            return contextlib.nullcontext()
        return self._passage()

    def away(self, error: BaseException) -> Away | None:
        """Return what seems to be away by an exception of the step; what runs next is a retry."""
        self._again = True
        refused = _refusal(error)
        if refused is not None:
            edge = _edge(refused.guard)
            # One that was open when the batch came has been waiting for time, or for a person.
            asks = isinstance(refused, GuardOpen) and refused.guard not in self._open
            message = _tell(str(refused), edge)
            return Away(message, refused.retry_after_s, refused.guard, edge if asks else None)
        if "firedoor.guarding.marking" not in sys.modules:
            return None
        from firedoor.guarding.marking import guard_of  # noqa: PLC0415 - a step without guards

        edge = _edge(guard_of(error))
        if edge is None:
            return None
        self._row += 1
        if edge.name in self._searching and self._row < ROW_MAX:
            return None
        told = _explain(edge)
        message = f"guard {edge.name!r}: calls fail, for other rows as well"
        return Away(_tell(message, edge), told.next_probe_s, edge.name, edge)

    def answers(
        self,
        away: Away,
        call: Callable[[pl.DataFrame], object],
        others: Iterable[pl.DataFrame],
    ) -> bool:
        """Return whether what seems to be away answers for other rows; then a search may begin."""
        edge = away.edge
        if edge is None:
            return False
        before = edge.breaker
        if before is not None:
            from firedoor.guards.breaker import Disabled  # noqa: PLC0415 - there is a guard

            let_through = Disabled(US, "rows are being looked for")
            edge.restore(replace(before, mode=let_through, generation=before.generation + 1))
        for rows in others:
            good = _good(edge)
            try:
                call(rows)
            except BaseException:  # noqa: BLE001, S112 - user code; the next may say more
                continue
            if _good(edge) > good:
                self._searching[edge.name], self._row = edge, 0
                return True
        self._searching.pop(edge.name, None)
        edge.restore(before)
        return False

    def others(self, frame: pl.DataFrame, known: pl.DataFrame | None) -> list[pl.DataFrame]:
        """Return single rows to try: one that was answered, and, at first, some of a batch."""
        rows = [] if known is None else [known]
        if frame.height > 1 and (self._attempt == 1 or not rows):
            rows += [frame.slice(frame.height * part // 3, 1) for part in (1, 2)]
        return rows

    def notes(self) -> tuple[GuardNote, ...]:
        """Return how each guard is that was ever called, or that somebody gave an order."""
        if not self._searching:
            self._notes = tuple(_notes())[:NOTES_MAX]
        return self._notes

    def quality(self) -> dict[str, Grade]:
        """Return how good the answers were that the step got for this batch, by guard."""
        called = {
            edge.name: Grade() for edge in _edges() if _good(edge) > self._good.get(edge.name, 0)
        }
        return merged(called, self._grades)

    def _answered(self, guard: str, source: str, age_s: float | None) -> None:
        """Note an answer that came from a guard's ladder."""
        self._grades = merged(self._grades, {guard: of_answer(source, age_s)})

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


def _refuses(edge: Edge) -> bool:
    """Return whether a guard is open by itself, or by a person's order."""
    return _explain(edge).state in {"open", "forced-open"}


def _good(edge: Edge) -> int:
    """Return how many calls through a guard were good so far."""
    return edge.read(edge.clock())[2]


def _notes() -> Iterator[GuardNote]:
    """Go through what there is to say of guards."""
    for edge in _edges():
        told = _explain(edge)
        totals = told.totals
        if told.state != "closed" or totals.good + totals.bad + totals.neutral + totals.refused:
            yield GuardNote(worker=os.getpid(), explained=told)


def _refusal(error: BaseException) -> GuardRefused | None:
    """Return the refusal that an exception is, or came of.

    One for want of time is none: how much of it was spent before may be a row's doing.
    """
    for seen in causes(error):
        if isinstance(seen, GuardRefused) and not isinstance(seen, DeadlineSpent):
            return seen
    return None


def _tell(what: str, edge: Edge | None) -> str:
    """Return in a line what is away, and how that showed."""
    if edge is None:
        return what
    told = _explain(edge)
    why = "" if told.state == "closed" else f". {told.why.rstrip('.')}"
    # What is cut off at the end of a line is the guard's part.
    return f"{told.last_bad[0].cause} ({what}{why})" if told.last_bad else f"{what}{why}"
