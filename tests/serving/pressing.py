"""Load beside what a test does, and what became of rollouts meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firedoor.adapters.clock import SystemClock
from firedoor.compose.reaching import reach
from firedoor.compose.rollout_desk import Picture, Taken, order, picture
from firedoor.rollout.state import Said
from firedoor.wire.rollout_order import RolloutOrder, Verb
from serving.client import Load
from serving.served import READY_S, Served

BIAS = 10.0
"""Of the version that serves first."""


@contextmanager
def under_load(
    served: Served, *biases: float, rate: float = 60.0, port: int = 0, labels: bool = False
) -> Iterator[Load]:
    """Ask at a fixed rate while the block is at work."""
    load = Load(
        port or served.port, rate, biases or (BIAS,), named=served.shop.biases, labels=labels
    )
    done = threading.Event()

    async def ask() -> None:
        until = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(until))
            await asyncio.to_thread(done.wait)
            until.set()

    thread = threading.Thread(target=lambda: asyncio.run(ask()))
    thread.start()
    try:
        served.until(lambda: load.asked > 10)
        yield load
    finally:
        done.set()
        thread.join(READY_S)


def asked_for(served: Served, load: Load, count: int) -> None:
    """Wait until so many more were asked."""
    more = load.asked + count
    served.until(lambda: load.asked >= more, within_s=READY_S + 2 * count / load.rate)


def picture_of(served: Served) -> Picture:
    """Return how rollouts are."""

    async def look() -> Picture:
        async with reach(served.shop.folder) as reached:
            (service,) = reached.plan.services
            return await picture(reached.streams, service, now_s=SystemClock().utc_s())

    return asyncio.run(look())


def history(served: Served) -> list[Said]:
    """Return what happened to rollouts, the latest last."""
    state = picture_of(served).state
    return [] if state is None else list(state.said)


def said(served: Served) -> list[str]:
    """Return the same in a word or two each."""
    return [one.what for one in history(served)]


def last_of(served: Served) -> str:
    """Return what happened last to rollouts."""
    return (said(served) or [""])[-1]


def give(served: Served, verb: Verb, because: str = "a test says so", **more: Any) -> Taken:
    """Give an order as a command does, and wait until it is seen to."""
    clock = SystemClock()
    wanted = RolloutOrder(
        number=0, verb=verb, by=more.pop("by", "ann"), because=because, at_s=clock.utc_s(), **more
    )

    async def order_it() -> Taken:
        async with reach(served.shop.folder) as reached:
            return await order(reached.streams, "predict", wanted, clock=clock)

    return asyncio.run(order_it())
