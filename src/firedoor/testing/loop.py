"""Virtual time: an asyncio event loop that waits for nothing and does the same each time.

Time stands still while anything can run, and jumps to the next timer when nothing can. Tasks are
numbered, so that sets of them (``asyncio.TaskGroup`` keeps one, and cancels in its order) are gone
through in the same order each time. With a seed, what is ready at once runs in an order drawn from
it: one seed, one trace.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import selectors
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio.events import _TaskFactory

T = TypeVar("T")
EPOCH_S = 1_767_225_600.0
"""2026-01-01 00:00 UTC, when virtual time begins."""
ROUNDS_MAX = 2_000_000
"""Rounds of the loop after which it is taken to run in a circle."""
ENDING_ROUNDS_MAX = 100
"""Rounds that tasks are given to end when the main one has."""


class Deadlock(Exception):
    """Nothing can run any more, and the main task is not done; or it runs in a circle."""


class _Task(asyncio.Task[Any]):
    """A task that hashes to its number: sets of tasks have the same order each time."""

    def __init__(
        self,
        number: int,
        main: Coroutine[Any, Any, object],
        *,
        loop: VirtualLoop,
        context: contextvars.Context | None = None,
    ) -> None:
        # First, because asyncio keeps tasks in a set from their making on.
        self._number = number
        super().__init__(main, loop=loop, name=f"task {number}", context=context)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _NoSelector(selectors.SelectSelector):
    """There is no world outside: instead of waiting for it, the loop moves its time on."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. Threads and sockets have no place in it."""

    def __init__(self, seed: int | None = None) -> None:
        """Begin at 0 s; ``seed`` draws the order of what is ready at once."""
        self._now_s = 0.0
        self._rounds = 0
        self._tasks_made = 0
        self._chance = None if seed is None else random.Random(seed)  # noqa: S311 - not a secret
        selector = _NoSelector()
        selector.loop = self
        super().__init__(selector)
        self.set_task_factory(self._number_tasks())

    def time(self) -> float:
        """Return virtual seconds since the loop was made."""
        return self._now_s

    def jump(self, wait_s: float | None) -> None:
        """Do what a real loop waits for: nothing comes, and time has passed.

        Raises:
            Deadlock: if it would wait for ever, or goes in a circle.
        """
        if wait_s is None:
            raise Deadlock(self._explain("nothing can run and nothing is due"))
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise Deadlock(self._explain(f"no end after {ROUNDS_MAX:,} rounds of the loop"))
        self._now_s += wait_s
        ready: deque[asyncio.Handle] = vars(self)["_ready"]
        if self._chance is not None and len(ready) > 1:
            handles = list(ready)
            self._chance.shuffle(handles)
            ready.clear()
            ready.extend(handles)

    def _explain(self, what: str) -> str:
        """Return an error that names the tasks which are not done, and where they wait."""
        waiting = sorted(asyncio.all_tasks(self), key=hash)
        lines = [f"{what}, at {self._now_s:g} virtual seconds; {len(waiting)} tasks wait:"]
        for task in waiting[:20]:
            frames = task.get_stack(limit=1)
            where = f"{frames[-1].f_code.co_filename}:{frames[-1].f_lineno}" if frames else "?"
            lines.append(f"  {task.get_name()} {_name(task)} at {where}")
        return "\n".join(lines)

    def _number_tasks(self) -> _TaskFactory:
        """Return the maker of tasks."""

        def make(
            loop: asyncio.AbstractEventLoop,
            main: Coroutine[Any, Any, object],
            *,
            context: contextvars.Context | None = None,
        ) -> asyncio.Task[Any]:
            assert loop is self
            self._tasks_made += 1
            return _Task(self._tasks_made, main, loop=self, context=context)

        return make  # type: ignore[return-value]


class VirtualClock:
    """The time of the virtual loop that runs. See ``ports.clock.Clock``."""

    def now_s(self) -> float:
        """Return virtual seconds."""
        return asyncio.get_running_loop().time()

    def utc_s(self) -> float:
        """Return virtual seconds since 1970."""
        return EPOCH_S + self.now_s()

    async def wait(self, seconds: float) -> None:
        """Return after so many virtual seconds."""
        await asyncio.sleep(seconds)  # noqa: TID251 - virtual: it is what time is made of


def run(main: Coroutine[Any, Any, T], *, seed: int | None = None) -> T:
    """Run ``main`` in virtual time and return its result, as ``asyncio.run`` does.

    Raises:
        Deadlock: if it cannot end.
    """
    loop = VirtualLoop(seed)
    try:
        asyncio.set_event_loop(loop)
        try:
            return loop.run_until_complete(main)
        finally:
            loop.run_until_complete(_end_all())
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _end_all() -> None:
    """Cancel what is left, in the order of making, until nothing is."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    names: list[str] = []
    for _ in range(ENDING_ROUNDS_MAX):
        left = sorted((task for task in asyncio.all_tasks(loop) if task is not me), key=hash)
        if not left:
            return
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1.0)
        for task in left:
            if task.done() and not task.cancelled():
                # Taken note of: the main task is over, and has said how.
                task.exception()
        names = [_name(task) for task in left]
    message = f"cancelled {ENDING_ROUNDS_MAX} times, and still not done: {names}"
    raise Deadlock(message)


def _name(task: asyncio.Task[Any]) -> str:
    """Return the name of the function that a task runs."""
    return getattr(task.get_coro(), "__qualname__", "?")
