"""What guards tell: one typed event for each transition, never one for each call that went well."""

from __future__ import annotations

from typing import NamedTuple

from firedoor.errors import DeclarationError
from firedoor.guards.window import Counts


class BreakerOpened(NamedTuple):
    """Too many calls were bad: calls are refused for ``wait_s``."""

    why: str
    cause: str
    """The latest bad call: its exception, or that it was slow."""
    wait_s: float
    counts: Counts


class ProbeStarted(NamedTuple):
    """One call goes through, to find out; others are refused until it ends or its lease does."""

    probe: int
    """Its number since the breaker opened, from 1."""
    lease_s: float


class ProbeFailed(NamedTuple):
    """The probe was bad, or did not end within its lease: the breaker is open for ``wait_s``."""

    probe: int
    cause: str
    wait_s: float


class ProbeVoid(NamedTuple):
    """The probe told nothing (cancelled, bad data, not allowed): another may follow."""

    why: str
    wait_s: float


class BreakerClosed(NamedTuple):
    """The probe was good: calls go through."""

    probes: int


class BreakerFlapping(NamedTuple):
    """The breaker opens and closes in turn: somebody should look at the dependency."""

    openings: int
    within_s: float


class BreakerOrdered(NamedTuple):
    """A person opened, closed or disabled the breaker."""

    order: str
    by: str
    because: str


class Retried(NamedTuple):
    """A call is made again after ``wait_s``."""

    attempt: int
    """Number of the attempt that follows, from 2."""
    cause: str
    wait_s: float


class GaveUp(NamedTuple):
    """A call that failed is not made again, though its failure is of a kind that passes."""

    attempts: int
    cause: str
    why: str


class LimitCut(NamedTuple):
    """The concurrency limit went down, because a call was slow or timed out."""

    limit: int
    before: int


class SheddingBegan(NamedTuple):
    """Calls are refused for want of room; told once until calls of all classes go in again."""

    priority: str
    """Class of the first call that was refused."""
    inflight: int
    limit: int
    waiting: int


class SheddingEnded(NamedTuple):
    """There is room again for every class."""

    refused: int
    """Calls that were refused meanwhile."""


class Degraded(NamedTuple):
    """An answer was taken from the fallback ladder."""

    source: str
    """``stale``, ``previous``, ``constant`` or ``function``."""
    age_s: float | None
    """How old the answer is; None where that means nothing."""
    cause: str


class FallbackFailed(NamedTuple):
    """A function of the fallback ladder raised: the failure before it is what the caller gets."""

    cause: str
    because: str


Event = (
    BreakerOpened
    | ProbeStarted
    | ProbeFailed
    | ProbeVoid
    | BreakerClosed
    | BreakerFlapping
    | BreakerOrdered
    | Retried
    | GaveUp
    | LimitCut
    | SheddingBegan
    | SheddingEnded
    | Degraded
    | FallbackFailed
)


def nameless(field: str, value: object) -> DeclarationError:
    """Return the error for an order that nobody gave, or for no reason."""
    remedy = f'write {field}="...": it is recorded, and read at night'
    return DeclarationError(field, value, "is empty", remedy)
