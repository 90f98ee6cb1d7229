"""What is done again and again beside a run: records are pruned, inboxes swept, jobs spoken for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from firedoor.compose.job_objectives import say_jobs
from firedoor.compose.project import Project
from firedoor.errors import FiredoorError, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.spec.plan import Plan

PRUNE_S = 86_400.0
"""Declaring the streams has removed records past retention at the start; a run may last months."""
SWEEP_S = 5.0
AGAIN_S = 600.0
"""Longest wait after a time at which a chore could not be done."""


class Store(Protocol):
    """What is tended: ``adapters.nats.streams.NatsStreams``."""

    async def prune(self, plan: Plan) -> None:
        """Remove records past retention, but the last of each zone."""
        ...

    async def sweep(self, edge: str) -> int:
        """Delete what a reader is done with and a full disk kept."""
        ...

    async def beat(self, key: str, value: bytes) -> None:
        """Say something of oneself."""
        ...


def beside(
    store: Store, plan: Plan, project: Project, *, clock: Clock, tell: Callable[[str], None]
) -> tuple[Coroutine[object, object, None], ...]:
    """Return the chores of a run, each of which goes on for ever."""

    async def prune() -> None:
        await store.prune(plan)

    async def sweep() -> None:
        for edge in plan.edges:
            await store.sweep(edge.name)

    stay = "batches that are done stay in their inboxes"
    return (
        repeat(prune, every_s=PRUNE_S, clock=clock, tell=tell, undone="old records stay"),
        repeat(sweep, every_s=SWEEP_S, clock=clock, tell=tell, undone=stay),
        say_jobs(store, plan, project.folder.parent, clock),
    )


async def repeat(
    chore: Callable[[], Awaitable[None]],
    *,
    every_s: float,
    clock: Clock,
    tell: Callable[[str], None],
    undone: str,
) -> None:
    """Do a chore again and again; never returns.

    A broker that is away is asked again later; a refusal is told once, until it is another one.

    Args:
        chore: does it once.
        every_s: time between two times; after one that came to nothing no more than ``AGAIN_S``.
        clock: the time.
        tell: told what a person should know.
        undone: says in words that it was not done.
    """
    wait_s, told = every_s, ""
    while True:
        await clock.wait(wait_s)
        try:
            await chore()
        except StreamsUnavailable:
            wait_s = min(every_s, AGAIN_S)  # that it is away is told elsewhere
        except FiredoorError as error:
            wait_s = min(every_s, AGAIN_S)
            if str(error) != told:
                told = str(error)
                tell(f"{undone}: {told}; it is tried again")
        else:
            wait_s, told = every_s, ""
