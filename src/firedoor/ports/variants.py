"""A version of a model that answers requests, in workers of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from firedoor.wire.bundle import Manifest
from firedoor.wire.serving import Ask, Told

VariantState = Literal["loading", "ready", "backing_off", "failed", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFacts:
    """How a variant is."""

    state: VariantState
    because: str = ""
    """Of ``backing_off`` and ``failed``: what happened, and what to do; of others, what a person
    should know."""
    replicas: int = 0
    """Workers that answer now."""
    waiting: int = 0
    """Requests that they hold."""
    deaths: int = 0
    """Workers that died since it was opened."""
    deaths_by: dict[str, int] = field(default_factory=dict)
    """The same by cause: ``hang``, ``memory``, ``cpu``, ``SIGSEGV`` ..."""
    recent_deaths: int = 0
    """In the last 30 s."""
    memory_bytes: int = 0
    pids: tuple[int, ...] = ()


class Variant(Protocol):
    """One version, whatever becomes of its workers. Used from one event loop."""

    @property
    def facts(self) -> VariantFacts:
        """How it is now; cheap enough for each request."""
        ...

    @property
    def manifest(self) -> Manifest | None:
        """Of its bundle, once that is read."""
        ...

    def ask(self, ask: Ask) -> Awaitable[Told]:
        """Have one request answered; ``BUSY`` at once where there is no room.

        Returns within its deadline and a little, always, and never raises but for cancellation.
        It finds out by itself which request its workers die of: ``DIED`` is said to a request that
        was proven to kill, and at once to every copy of it, or to one whose time was over before
        that was known.
        """
        ...

    def post(self, ask: Ask, told: Callable[[Told], None]) -> None:
        """Have one request answered as ``ask`` does, and call ``told`` with that, once.

        For whoever has no task to wait in, which costs as much as all the rest. Perhaps ``told`` is
        called before this returns; it raises nothing, and nobody can cancel it.
        """
        ...

    async def ready(self, wait_s: float) -> bool:
        """Wait until it is verified, loaded and warmed with its example rows; False: it is not."""
        ...

    async def close(self, grace_s: float = 5.0) -> None:
        """Finish what it holds within the grace, then end its workers."""
        ...
