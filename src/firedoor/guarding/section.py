"""A guard around a ``with`` block: everything but what would have to run the block again.

A block cannot be called a second time, and has no value that could be replaced. So retry and
fallback do not apply to it, and an exception that leaves it says so.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

from firedoor.guarding import fuse
from firedoor.guarding.edge import OFF, Edge, Ticket
from firedoor.guarding.passage import PASSAGE, on_clock
from firedoor.guarding.registry import SWITCH
from firedoor.guarding.slots import Free
from firedoor.guards import deadline as deadlines

if TYPE_CHECKING:
    from asyncio import Timeout

    from firedoor.guards.deadline import Passage


class Section:
    """One use of a guard as a context manager, sync or async. Used once."""

    __slots__ = ("_begun_s", "_cut", "_cut_s", "_edge", "_free", "_outer", "_ticket", "_token")

    def __init__(self, edge: Edge) -> None:
        """Know the guard; nothing happens yet."""
        self._edge = edge
        self._free: Free | None = None
        self._ticket: Ticket = OFF
        self._begun_s = 0.0
        self._token: Token[Passage] | None = None
        self._outer: Passage = PASSAGE.get()
        self._cut: Timeout | None = None
        self._cut_s: float | None = None

    def __enter__(self) -> None:
        """Enter the block, if the guard allows it.

        Raises:
            GuardRefused: if it does not.
        """
        if not SWITCH.off:
            self._begin(fuse.enter(self._edge, self._outer))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Judge the block, and give its place back."""
        self._end(error)

    async def __aenter__(self) -> None:
        """Enter the block, if the guard allows it; it is cancelled at its timeout."""
        import asyncio  # noqa: PLC0415 - plain blocks do not pay for the event loop

        from firedoor.guarding import fuse_async  # noqa: PLC0415 - the same

        if SWITCH.off:
            return
        self._begin(await fuse_async.enter(self._edge, self._outer))
        self._cut_s = self._edge.policies.deadline.attempt_s
        left_s = deadlines.remaining_s(on_clock(self._outer, self._edge.clock), self._begun_s)
        if left_s is not None and (self._cut_s is None or left_s < self._cut_s):
            self._cut_s = left_s
        if self._cut_s is not None:
            self._cut = asyncio.timeout(self._cut_s)
            await self._cut.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Judge the block, and give its place back."""
        from firedoor.errors import DeadlineExceeded  # noqa: PLC0415 - beside asyncio's

        if self._cut is not None:
            try:
                await self._cut.__aexit__(kind, error, trace)
            except TimeoutError:
                assert self._cut_s is not None
                cut = DeadlineExceeded(self._edge.name, self._cut_s)
                self._end(cut)
                raise cut from None
        self._end(error)

    def _begin(self, free: Free | None) -> None:
        """Take what a call takes, in the order of ``guards.order``."""
        edge, self._free = self._edge, free
        try:
            if edge.policies.rate is not None:
                edge.draw_rate()
            self._ticket = edge.admit("with block") if edge.good is None else edge.good
        except BaseException:
            self._give(good=False)
            raise
        self._begun_s = edge.clock()
        inward = fuse.passage_maker(edge)
        if inward is not None:
            # Nobody makes a block again, so calls in it may be.
            passage = inward(self._outer, self._begun_s)
            passage = passage._replace(outer_retries=self._outer.outer_retries)
            self._token = PASSAGE.set(passage)

    def _end(self, error: BaseException | None) -> None:
        """Give back what was taken, innermost first."""
        edge = self._edge
        if self._token is not None:
            PASSAGE.reset(self._token)
        fine = False
        if self._ticket != OFF:
            if error is None:
                fine = edge.finished(self._ticket, self._begun_s, edge.clock())
            else:
                gone = fuse.gone(self._outer, edge.clock)
                edge.failed(self._ticket, error, self._begun_s, caller_gone=gone)
                self._note(error)
        self._give(good=fine)

    def _give(self, *, good: bool) -> None:
        """Give the place back."""
        if self._free is not None and self._edge.slots is not None:
            self._edge.slots.give(self._free, good=good)

    def _note(self, error: BaseException) -> None:
        """Say in the exception what could not be done for a block."""
        policies = self._edge.policies
        off = [
            name for name, on in (("retry", policies.retry), ("fallback", policies.fallback)) if on
        ]
        if off and isinstance(error, Exception):
            error.add_note(
                f"guard {self._edge.name!r}: {' and '.join(off)} cannot apply to a with block; "
                "decorate a function, or use guard.call(fn)"
            )


Open = tuple[tuple[int, Section], ...]
_open: ContextVar[Open] = ContextVar("firedoor_open_sections", default=())


def push(edge: Edge) -> Section:
    """Make a section for ``with guard``, and remember it for its end."""
    section = Section(edge)
    _open.set((*_open.get(), (id(edge), section)))
    return section


def pop(edge: Edge) -> Section:
    """Return the innermost section of a guard in this context."""
    sections = _open.get()
    at = max(i for i, (owner, _) in enumerate(sections) if owner == id(edge))
    _open.set(sections[:at] + sections[at + 1 :])
    return sections[at][1]
