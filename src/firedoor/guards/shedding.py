"""Who is refused first when there is no room: four classes, and a queue that stays short.

| Class | For | Share of the limit |
|---|---|---|
| ``critical`` | what a person waits for, or money hangs on | all |
| ``default`` | everything that says nothing | nine tenths |
| ``batch`` | what is made again by itself | seven tenths |
| ``sheddable`` | what nobody misses | half |

A call without room waits, but not for long: at most ``interval_s``, and once somebody of its class
or of a more important one has been waiting for all of the last ``interval_s``, at most
``target_s``. A queue that never empties is not a burst, and waiting in it makes every answer late.
In that state the newest is served first: the oldest has a caller who is about to give up. Less
important calls do not count: they are passed by, and would have the others refused for nothing.

Sources: *Site Reliability Engineering*, ch. 21 (criticality); Nichols and Jacobson 2012 (CoDel);
Maurer, "Fail at scale", ACM Queue 13(8), 2015 (CoDel for requests, adaptive LIFO).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, assert_never, cast, get_args

from firedoor.bounds import ordered, within
from firedoor.errors import DeclarationError

Priority = Literal["critical", "default", "batch", "sheddable"]
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
"""From the most important to the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheddingPolicy:
    """How much of the limit each class may use, and how long a call may wait for room."""

    shares: tuple[float, float, float, float] = (1.0, 0.9, 0.7, 0.5)
    """Share of the limit for critical, default, batch, sheddable. Falling, 0.01 to 1 each."""
    queue_max: int = 100
    """Calls that may wait. 0 (refuse at once) to 100,000."""
    target_s: float = 0.005
    """Longest wait while the queue does not empty of calls that are as important or more, in
    seconds. 0 to ``interval_s``."""
    interval_s: float = 0.1
    """Longest wait otherwise, and how long a queue may take to empty, in seconds. 0.001 to 60."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        shares = self.shares
        if not isinstance(shares, tuple) or len(shares) != len(PRIORITIES):
            raise DeclarationError(
                "shares", shares, "is not a share for each of the four classes",
                "write shares=(1.0, 0.9, 0.7, 0.5)",
            )  # fmt: skip
        for share in shares:
            within("shares", share, 0.01, 1, "as a share of the limit")
        if sorted(shares, reverse=True) != list(shares):
            raise DeclarationError(
                "shares", shares, "gives a class more than a more important one",
                "write them falling: critical, default, batch, sheddable",
            )  # fmt: skip
        within("queue_max", self.queue_max, 0, 100_000, "calls", whole=True)
        within("interval_s", self.interval_s, 0.001, 60, "seconds")
        within("target_s", self.target_s, 0, 60, "seconds")
        ordered("target_s", self.target_s, "interval_s", self.interval_s)


class Waiting(NamedTuple):
    """One call without room."""

    number: int
    rank: int
    """Place of its class in ``PRIORITIES``."""
    since_s: float


Since = tuple[float | None, float | None, float | None, float | None]
_NOBODY: Since = (None, None, None, None)
LAST = len(PRIORITIES) - 1


class Queue(NamedTuple):
    """Who waits, in the order of coming."""

    waiting: tuple[Waiting, ...] = ()
    busy_since_s: Since = _NOBODY
    """Since when somebody of a class, or of a more important one, has been waiting without a break,
    class by class; None: nobody waits."""


class Came(NamedTuple):
    """A call came that found no room; numbers are never used twice."""

    number: int
    priority: Priority


class Room(NamedTuple):
    """There may be room: so many calls are under way, of so many."""

    inflight: int
    limit: int


class Left(NamedTuple):
    """A waiting call gave up: it was cancelled, or waited long enough."""

    number: int


class Moves(NamedTuple):
    """Which waiting calls begin now, and which are refused."""

    begin: tuple[int, ...] = ()
    refuse: tuple[int, ...] = ()


def room(limit: int, rank: int, policy: SheddingPolicy) -> int:
    """Return how many calls may be under way for one of this class to begin; at least 1.

    >>> [room(20, rank, SheddingPolicy()) for rank in range(4)]
    [20, 18, 14, 10]
    """
    return max(1, int(limit * policy.shares[rank] + 1e-9))


def overloaded(queue: Queue, policy: SheddingPolicy, now_s: float, rank: int = LAST) -> bool:
    """Return whether the queue has not been empty of this class, and better, for an interval."""
    since_s = queue.busy_since_s[rank]
    return since_s is not None and now_s - since_s >= policy.interval_s


def patience_s(queue: Queue, policy: SheddingPolicy, now_s: float, rank: int = LAST) -> float:
    """Return how long a call of this class may wait at present."""
    return policy.target_s if overloaded(queue, policy, now_s, rank) else policy.interval_s


def step(
    queue: Queue, event: Came | Room | Left, policy: SheddingPolicy, now_s: float
) -> tuple[Queue, Moves]:
    """Return the queue after an event, and what becomes of those in it."""
    match event:
        case Came():
            return _come(queue, event, policy, now_s)
        case Room():
            return _serve(queue, event, policy, now_s)
        case Left(number):
            return _without(queue, {number}), Moves()
        case _:
            assert_never(event)


def _come(queue: Queue, event: Came, policy: SheddingPolicy, now_s: float) -> tuple[Queue, Moves]:
    """Take a call in; where the queue is full, the latest of the least important class goes."""
    new = Waiting(event.number, PRIORITIES.index(event.priority), now_s)
    began = (
        now_s if since_s is None and rank >= new.rank else since_s
        for rank, since_s in enumerate(queue.busy_since_s)
    )  # fmt: skip
    longer = Queue((*queue.waiting, new), cast("Since", tuple(began)))
    if len(longer.waiting) <= policy.queue_max:
        return longer, Moves()
    least = max(longer.waiting, key=lambda call: (call.rank, call.number))
    return _without(longer, {least.number}), Moves(refuse=(least.number,))


def _serve(queue: Queue, event: Room, policy: SheddingPolicy, now_s: float) -> tuple[Queue, Moves]:
    """Refuse who waited too long, then begin as many as there is room for."""
    newest_first = [overloaded(queue, policy, now_s, rank) for rank in range(LAST + 1)]
    patience = [policy.target_s if over else policy.interval_s for over in newest_first]
    late = tuple(c.number for c in queue.waiting if now_s - c.since_s > patience[c.rank])
    left = _without(queue, set(late))
    inflight, begun = event.inflight, []
    while left.waiting:
        best = min(
            left.waiting,
            key=lambda call: (call.rank, -call.number if newest_first[call.rank] else call.number),
        )
        if inflight >= room(event.limit, best.rank, policy):
            break
        begun.append(best.number)
        inflight += 1
        left = _without(left, {best.number})
    return left, Moves(begin=tuple(begun), refuse=late)


def _without(queue: Queue, numbers: set[int]) -> Queue:
    """Return the queue without some calls."""
    rest = tuple(call for call in queue.waiting if call.number not in numbers)
    best = min((call.rank for call in rest), default=LAST + 1)
    left = (since_s if rank >= best else None for rank, since_s in enumerate(queue.busy_since_s))
    return Queue(rest, cast("Since", tuple(left)))
