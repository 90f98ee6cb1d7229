"""What travels with a call inside a process: a context variable, and headers at its borders."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from firedoor.bounds import one_of, within
from firedoor.guards import deadline as deadlines
from firedoor.guards.deadline import Passage
from firedoor.guards.shedding import PRIORITIES, Priority

IDLE = Passage()
PASSAGE: ContextVar[Passage] = ContextVar("firedoor_passage", default=IDLE)


def on_clock(passage: Passage, clock: Callable[[], float]) -> Passage:
    """Return the passage with its deadline on another clock."""
    theirs = passage.clock or time.monotonic
    if passage.deadline_s is None or theirs is clock:
        return passage
    return passage._replace(deadline_s=clock() + passage.deadline_s - theirs(), clock=clock)


@contextmanager
def deadline(seconds: float, *, clock: Callable[[], float] | None = None) -> Iterator[None]:
    """Give everything in the block so many seconds in all; an earlier deadline stays.

    Guards inside refuse calls that cannot end in time, cut their timeouts and waits to what is
    left, and hand it on. It interrupts nothing by itself.

    >>> with deadline(5.0):
    ...     (remaining_s() or 0) <= 5.0
    True
    """
    within("seconds", seconds, 0, 86_400, "seconds")
    clock = clock or time.monotonic
    here = on_clock(PASSAGE.get(), clock)
    token = PASSAGE.set(deadlines.tighten(here, seconds, clock())._replace(clock=clock))
    try:
        yield
    finally:
        PASSAGE.reset(token)


@contextmanager
def priority(name: Priority) -> Iterator[None]:
    """Make every call in the block one of this class, whatever its guards declare."""
    one_of("priority", name, PRIORITIES)
    token = PASSAGE.set(PASSAGE.get()._replace(priority=name))
    try:
        yield
    finally:
        PASSAGE.reset(token)


def remaining_s() -> float | None:
    """Return how many seconds the call that is under way may still take; None: as long as it likes.

    Hand it to the transport: ``client.get(url, timeout=fd.remaining_s())``.
    """
    passage = PASSAGE.get()
    return deadlines.remaining_s(passage, (passage.clock or time.monotonic)())


def outgoing_headers() -> dict[str, str]:
    """Return headers that carry deadline, attempt and class of the call to the next process."""
    passage = PASSAGE.get()
    return deadlines.to_headers(passage, (passage.clock or time.monotonic)())


@contextmanager
def incoming(headers: Mapping[str, str]) -> Iterator[None]:
    """Take over what a caller in another process sent along; other headers are ignored."""
    arrived = deadlines.from_headers(headers, time.monotonic())
    token = PASSAGE.set(arrived)
    try:
        yield
    finally:
        PASSAGE.reset(token)
