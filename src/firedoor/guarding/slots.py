"""Places for calls: as many as the concurrency limit says, given out by class.

Free places are a list, because ``del free[n]`` and ``append`` are atomic: a call that finds room
takes no lock, and ``n`` places stay for more important calls. Whoever finds none takes the lock
and asks the pure queue of ``guards.shedding``. A waiting call says so (``attend``) before it looks
for a free place once more, and a call that ends looks whether somebody waits after it has given
its place back: so no place is missed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from firedoor.errors import Overloaded
from firedoor.guards import bulkhead, events, limit, shedding
from firedoor.guards.bulkhead import BulkheadPolicy
from firedoor.guards.limit import LimitPolicy
from firedoor.guards.shedding import PRIORITIES, Came, Left, Queue, Room, SheddingPolicy

Free = list[None]
AGAIN_S = 0.05
"""What a refused caller is told to wait at least: nobody knows when there is room."""


@dataclass(slots=True)
class Waiter:
    """One waiting call, and how to wake it."""

    number: int
    wake: Callable[[], None]
    fate: Literal["", "begin", "refuse"] = ""


class Slots:
    """The places of one guard."""

    __slots__ = ("_clock", "_debt", "_limit", "_lock", "_name", "_next", "_policy", "_queue",
                 "_refused_before", "_shares", "_size", "_tell", "_waiters", "attend", "free",
                 "half", "refused", "reserve")  # fmt: skip

    def __init__(
        self,
        name: str,
        policy: LimitPolicy | BulkheadPolicy,
        shares: SheddingPolicy | None,
        clock: Callable[[], float],
        tell: Callable[[tuple[events.Event, ...]], None],
    ) -> None:
        """Begin with every place free."""
        self._name, self._policy, self._shares = name, policy, shares
        self._clock, self._tell = clock, tell
        self._limit = limit.begin(policy) if isinstance(policy, LimitPolicy) else None
        self.refused = 0
        self._next = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget every call that is under way or waits: in a child, they are the parent's."""
        self._lock = threading.RLock()
        self._queue, self._waiters = Queue(), dict[int, Waiter]()
        self.attend = False
        self._refused_before = -1
        self._debt = 0
        self._size = self._wanted()
        self.free: Free = [None] * self._size
        self._measure()

    @property
    def size(self) -> int:
        """Calls that may be under way at once."""
        return self._size

    @property
    def inflight(self) -> int:
        """Calls that are under way."""
        return self._size + self._debt - len(self.free)

    @property
    def waiting(self) -> int:
        """Calls that wait for room."""
        return len(self._waiters)

    def take(self, rank: int) -> Free | None:
        """Take a place if there is one for this class; return where to give it back."""
        free = self.free
        try:
            del free[self.reserve[rank]]
        except IndexError:
            return None
        return free

    def give(self, free: Free, *, good: bool) -> None:
        """Give a place back after a call; ``good``: it succeeded in time."""
        free.append(None)
        if self.attend or (good and len(free) <= self.half):
            self.after(good=good)

    def cut(self) -> None:
        """Lower the limit: a call was slow, or timed out."""
        if self._limit is None or not isinstance(self._policy, LimitPolicy):
            return
        told: tuple[events.Event, ...] = ()
        with self._lock:
            before = self._size
            now_s = self._clock()
            self._limit = limit.step(
                self._limit, "slow", self._policy, now_s, inflight=self.inflight
            )
            self._resize()
            if self._size < before:
                told = (events.LimitCut(limit=self._size, before=before),)
        self._tell(told)

    def queue_up(self, rank: int, wake: Callable[[], None]) -> tuple[Free | Waiter, float]:
        """Return a place that is free after all, or how to wait, and for how long at most.

        Raises:
            Overloaded: if there is no room and waiting is not for this class, or not at all.
        """
        with self._lock:
            self._next += 1
            number, policy = self._next, self._shares
            self.attend = True
            if policy is None or policy.queue_max == 0:
                free = self._look_again(rank)
                if free is not None:
                    return free, 0.0
                error, told = self._refuse(rank)
            else:
                now_s = self._clock()
                waiter = self._waiters[number] = Waiter(number, wake)
                came = Came(number=number, priority=PRIORITIES[rank])
                self._queue, moves = shedding.step(self._queue, came, policy, now_s)
                self._end(moves)
                self._serve()
                patience_s = shedding.patience_s(self._queue, policy, now_s, rank)
                return waiter, 0.0 if waiter.fate else patience_s
        self._tell(told)
        raise error

    def settle(self, waiter: Waiter, rank: int) -> Free:
        """Return the place of a call that has waited.

        Raises:
            Overloaded: if it got none.
        """
        with self._lock:
            if waiter.fate == "begin":
                return self.free
            self.leave(waiter)
            error, told = self._refuse(rank)
        self._tell(told)
        raise error

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting: the caller was cancelled. A place that it was given goes to the next."""
        with self._lock:
            if waiter.fate == "begin":
                self.free.append(None)
                self._serve()
            elif self._waiters.pop(waiter.number, None) is not None and self._shares is not None:
                self._queue, _ = shedding.step(
                    self._queue, Left(waiter.number), self._shares, self._clock()
                )

    def _look_again(self, rank: int) -> Free | None:
        """Take a place that became free meanwhile."""
        if self._shares is None:
            fits = bulkhead.judge(self.inflight, BulkheadPolicy(calls_max=self._size))
        else:
            fits = self.inflight < shedding.room(self._size, rank, self._shares)
        return self.take(rank) if fits else None

    def _refuse(self, rank: int) -> tuple[Overloaded, tuple[events.Event, ...]]:
        """Count a refusal; return the error, and what to tell of the first one."""
        told: tuple[events.Event, ...] = ()
        if self._refused_before < 0:
            self._refused_before = self.refused
            began = events.SheddingBegan(
                priority=PRIORITIES[rank],
                inflight=self.inflight,
                limit=self._size,
                waiting=self.waiting,
            )
            told = (began,)
        self.refused += 1
        why = f"{self.inflight} of {self._size} calls are under way, {self.waiting} wait"
        return Overloaded(self._name, AGAIN_S, why), told

    def after(self, *, good: bool) -> None:
        """Do what is to be done when a call has ended: grow, shrink, serve who waits."""
        told: tuple[events.Event, ...] = ()
        with self._lock:
            if good and self._limit is not None and isinstance(self._policy, LimitPolicy):
                inflight = self.inflight + 1  # the call that ended
                self._limit = limit.step(
                    self._limit, "good", self._policy, self._clock(), inflight=inflight
                )
            self._resize()
            self._serve()
            roomy = self.inflight < (
                self._size if self._shares is None else shedding.room(self._size, 3, self._shares)
            )
            if self._refused_before >= 0 and roomy and not self._waiters:
                told = (events.SheddingEnded(refused=self.refused - self._refused_before),)
                self._refused_before = -1
            self.attend = bool(self._debt or self._waiters or self._refused_before >= 0)
        self._tell(told)

    def _serve(self) -> None:
        """Let those begin for whom there is room."""
        if self._shares is None or not self._waiters:
            return
        # All free places are held meanwhile, so that no call takes one past those who wait.
        held: Free = []
        while self.free:
            try:
                self.free.pop()
            except IndexError:  # another thread was faster
                break
            held.append(None)
        inflight = self._size + self._debt - len(held)
        room = Room(inflight=inflight, limit=self._size)
        self._queue, moves = shedding.step(self._queue, room, self._shares, self._clock())
        assert len(moves.begin) <= len(held)
        del held[: len(moves.begin)]
        self.free.extend(held)
        self._end(moves)

    def _end(self, moves: shedding.Moves) -> None:
        """Wake who begins and who is refused."""
        for number in moves.begin:
            waiter = self._waiters.pop(number)
            waiter.fate = "begin"
            waiter.wake()
        for number in moves.refuse:
            waiter = self._waiters.pop(number)
            waiter.fate = "refuse"
            waiter.wake()

    def _wanted(self) -> int:
        """Return how many places there should be."""
        if isinstance(self._policy, BulkheadPolicy):
            return self._policy.calls_max
        assert self._limit is not None
        return self._limit.calls

    def _resize(self) -> None:
        """Make as many places as there should be; those in use go when they are given back."""
        change = self._wanted() - self._size
        self._size += change
        self._debt -= change
        while self._debt > 0:
            try:
                self.free.pop()
            except IndexError:
                break
            self._debt -= 1
        while self._debt < 0:
            self.free.append(None)
            self._debt += 1
        if self._debt:
            self.attend = True
        if change:
            self._measure()

    def _measure(self) -> None:
        """Note, for the calls that take no lock, when there is room and when to grow."""
        size = self._size
        self.reserve = (
            (0, 0, 0, 0)
            if self._shares is None
            else tuple(size - shedding.room(size, rank, self._shares) for rank in range(4))
        )
        grows = isinstance(self._policy, LimitPolicy) and size < self._policy.limit_max
        self.half = size // 2 + 1 if grows else -1
