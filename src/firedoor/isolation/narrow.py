"""Find the rows that make a step fail, by running slices of a batch again.

The search is pure: it says which slices to run next and is told how each one ended. A slice that
raises is halved, because a raise costs nothing but the call. A slice that kills its worker is cut
into sixteen, because every death costs a worker, and a hang costs its limit as well; the worker
announces each slice that it finishes, so one death still points at one of the sixteen.

Invariants, checked by ``tests/isolation/test_narrow.py``:

* passed, guilty and to do are disjoint, in row order, and together are the whole batch;
* a row is guilty only after it failed alone as often as the policy asks;
* the search ends: every event shortens a slice, uses up an attempt, or settles a slice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise


class Cause(StrEnum):
    """How a run of the step ended badly."""

    EXCEPTION = "exception"
    CRASH = "crash"
    HANG = "hang"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed run of a slice.

    Attributes:
        cause: what happened.
        signature: what failures of the same kind have in common, ``SIGSEGV at steps.py:14``.
        message: for people: the error with the last frames.
        code: what the dead letter says; the cause, unless something more exact is known.
        line: ``file:line`` of the user's code, where it is known.
        columns: columns that the error names.
        external: it may have come from outside (SIGKILL, SIGTERM): must repeat to count.
    """

    cause: Cause
    signature: str
    message: str
    code: str = ""
    line: str | None = None
    columns: tuple[str, ...] = ()
    external: bool = False

    @property
    def family(self) -> str:
        """What to compare failures by: where a hang or a full memory was caught is chance."""
        return str(self.cause) if self.cause in {Cause.HANG, Cause.MEMORY} else self.signature


@dataclass(frozen=True, slots=True, kw_only=True)
class NarrowPolicy:
    """How many parts, and how often a row must fail alone."""

    error_parts: int = 2
    """Parts of a slice that raised. Range 2 to 64."""
    death_parts: int = 16
    """Parts of a slice in which the worker died. Range 2 to 64."""
    guilty_after: int = 2
    """Failures alone before a row is guilty. Range 1 to 10."""
    external_guilty_after: int = 3
    """The same for deaths that somebody outside may have caused. Range 1 to 10."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows ``start`` to ``stop`` (excluded) and what runs that held them came to."""

    start: int
    stop: int
    attempts: tuple[Cause, ...] = ()
    alone: int = 0
    """Failed runs of this very row alone, without those that may have come from outside."""
    repeats: int = 0
    """External deaths of this very slice: they count by themselves, and only if they repeat."""

    @property
    def rows(self) -> int:
        """How many rows."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Guilty:
    """A row that failed alone often enough, and how."""

    row: int
    failure: Failure
    attempts: tuple[Cause, ...]

    def counts(self) -> dict[str, int]:
        """Return failed runs that held this row, by cause."""
        return dict(Counter(str(cause) for cause in self.attempts))


@dataclass(frozen=True, slots=True)
class Search:
    """Where the search stands. ``todo`` is in row order; its head is what runs next."""

    todo: tuple[Slice, ...]
    passed: tuple[tuple[int, int], ...] = ()
    guilty: tuple[Guilty, ...] = ()
    failures: tuple[Failure, ...] = ()
    """One a kind of failure seen on more than one row: a batch too large for its limits."""
    deaths: int = 0


def begin(rows: int, *, piece_rows: int | None = None) -> Search:
    """Return a search over ``rows`` rows, in pieces of at most ``piece_rows``."""
    step = max(1, piece_rows or rows)
    if rows == 0:
        return Search((Slice(0, 0),))
    return Search(tuple(Slice(a, min(a + step, rows)) for a in range(0, rows, step)))


def passed(search: Search) -> Search:
    """Return the search after the head of ``todo`` ran well."""
    head, *rest = search.todo
    done = search.passed
    if done and done[-1][1] == head.start:
        done = (*done[:-1], (done[-1][0], head.stop))
    else:
        done = (*done, (head.start, head.stop))
    return replace(search, todo=tuple(rest), passed=done)


def failed(search: Search, failure: Failure, policy: NarrowPolicy) -> Search:
    """Return the search after the head of ``todo`` failed."""
    head, *rest = search.todo
    tried = replace(head, attempts=(*head.attempts, failure.cause))
    search = replace(search, deaths=search.deaths + (failure.cause is not Cause.EXCEPTION))
    if head.rows == 0:
        return replace(search, todo=tuple(rest), failures=_with(search.failures, failure))
    if head.rows == 1:
        return _alone(search, tried, failure, policy)
    search = replace(search, failures=_with(search.failures, failure))
    if failure.external and head.repeats == 0:
        # Killed from outside, perhaps: the same slice again before anybody is suspected.
        return replace(search, todo=(replace(tried, repeats=1), *rest))
    parts = policy.error_parts if failure.cause is Cause.EXCEPTION else policy.death_parts
    return replace(search, todo=(*split(tried, parts), *rest))


def split(part: Slice, parts: int) -> tuple[Slice, ...]:
    """Cut a slice into at most ``parts`` nearly equal slices that keep its history."""
    parts = min(parts, part.rows)
    edges = [part.start + part.rows * i // parts for i in range(parts + 1)]
    return tuple(replace(part, start=a, stop=b, alone=0, repeats=0) for a, b in pairwise(edges))


def spread(rows: int, count: int) -> tuple[int, ...]:
    """Return ``count`` distinct rows spread over ``rows``, without a period.

    Multiples of the golden ratio fall into every part of the range and into no rhythm that the
    data may have. They come in an order in which the first few are spread as well: whoever stops
    early has not only seen the first rows, where bad ones may lie side by side.
    """
    return tuple(
        dict.fromkeys(int((i * 0.6180339887498949 % 1.0) * rows) for i in range(1, count + 1))
    )


def _alone(search: Search, tried: Slice, failure: Failure, policy: NarrowPolicy) -> Search:
    """Return the search after one row failed by itself: once more, or guilty.

    A death that may have come from outside and one that cannot have do not add up: each kind must
    repeat, or two accidents in a row would make a good row guilty.
    """
    rest = search.todo[1:]
    if failure.external:
        tried = replace(tried, repeats=tried.repeats + 1)
    else:
        tried = replace(tried, alone=tried.alone + 1)
    if tried.alone < policy.guilty_after and tried.repeats < policy.external_guilty_after:
        return replace(search, todo=(tried, *rest))
    verdict = Guilty(tried.start, failure, tried.attempts)
    return replace(search, todo=rest, guilty=(*search.guilty, verdict))


def _with(seen: tuple[Failure, ...], failure: Failure) -> tuple[Failure, ...]:
    """Return ``seen`` with at most one failure a signature, and at most sixteen in all."""
    if len(seen) >= 16 or any(f.signature == failure.signature for f in seen):  # noqa: PLR2004
        return seen
    return (*seen, failure)
