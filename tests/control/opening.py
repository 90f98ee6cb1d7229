"""Open streams in memory for tests of the control plane."""

from __future__ import annotations

from control.world import EPOCH_S, World
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.spec.plan import Plan


class Still:
    """A clock that stands still, and takes no time to wait."""

    def now_s(self) -> float:
        """Return always the same."""
        return 1_000.0

    def utc_s(self) -> float:
        """Return always the same."""
        return EPOCH_S + 5_000

    async def wait(self, seconds: float) -> None:
        """Return at once."""


async def open_world(plan: Plan) -> World:
    """Return an empty world."""
    streams = MemoryStreams(MemoryStore(), Still())
    await streams.declare(plan)
    return World(streams, plan)
