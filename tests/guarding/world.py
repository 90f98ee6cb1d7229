"""A clock that stands still, a dependency that does as told, a listener that remembers."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from firedoor.guarding.guard import Guard
from firedoor.guards import events


class World:
    """Everything outside a guard."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.told: list[events.Event] = []
        self.slept: list[float] = []
        self.script: deque[object] = deque()
        self.calls = 0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds

    def listen(self, name: str, event: events.Event) -> None:
        assert name
        self.told.append(event)

    def guard(self, name: str = "serve->features", **more: Any) -> Guard:
        known: dict[str, Any] = {
            "clock": self.clock, "sleep": self.sleep, "listener": self.listen,
            "dice": random.Random(7),
        }  # fmt: skip
        return Guard(name, **{**known, **more})

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    def work(self, value: object = "fresh", took_s: float = 0.0) -> object:
        """Do the next thing of the script: raise an exception, call a function, or answer."""
        self.calls += 1
        self.now_s += took_s
        todo = self.script.popleft() if self.script else None
        if isinstance(todo, BaseException):
            raise todo
        if callable(todo):
            return todo()
        return value if todo is None else todo

    async def awork(self, value: object = "fresh", took_s: float = 0.0) -> object:
        return self.work(value, took_s)

    def fail(self, times: int = 1, kind: Callable[[], BaseException] = ConnectionError) -> None:
        self.script += [kind() for _ in range(times)]


def trip(world: World, guard: Guard) -> None:
    """Open the breaker with ten failed attempts in a row."""
    world.fail(10)
    while world.script:
        with contextlib.suppress(ConnectionError):
            guard.call(world.work)
    assert guard.state == "open"
