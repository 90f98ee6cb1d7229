"""What a zone does with one batch: the wall, seen by a runner that decodes no rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from firedoor.events.work import Ran
from firedoor.quality.grades import Grade
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import DeadGroup, GuardNote, GuardOrder

Journal = Callable[[str, str], Awaitable[None]]
"""Called with (cause, slice) before rows are run again after a death; durable when it returns."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Rows as bytes. See ``wire.envelope`` for the two sections."""

    payload: bytes
    frame_bytes: int
    rows: int
    schema: str = ""


@dataclass(frozen=True, slots=True)
class DeadRows:
    """Dead rows as bytes. See ``wire.records.DeadEntry`` for the two sections."""

    payload: bytes
    frame_bytes: int
    rows: int
    groups: tuple[DeadGroup, ...]


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a batch in a zone."""

    parcel: Parcel
    dead: DeadRows | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    numbered: bool = True
    sink: str = ""
    """At a sink: what was written."""
    quality: dict[str, Grade] = field(default_factory=dict)
    """How good what this zone made them of was, by lookup or guard."""
    lookups: dict[str, str] = field(default_factory=dict)
    """Versions of lookups that it joined to, where they are not the pinned ones."""
    models: dict[str, str] = field(default_factory=dict)
    """Versions of models that it was scored by. Where ``envelope.models`` named one for a zone that
    uses models, it is that one."""
    step_s: float = 0.0
    """Seconds in the step itself, where it ran in workers."""
    ran: tuple[Ran, ...] = ()
    """Runs in workers, where ``envelope.traceparent`` is sampled."""


class Stage(Protocol):
    """The zone's work on one batch at a time; may be called several times at once."""

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Take a batch through. ``envelope.attempt`` says how often it was tried, this time too.

        ``envelope.traceparent`` names the span of this zone's work, where somebody wants to see it.

        Raises:
            StepAtFault: the step or its input is at fault: the zone halts.
            DependencyDown: what it needs is away: the zone pauses, and no attempt counts.
            WorkersUnavailable, StepUnloadable: the zone halts.
        """
        ...

    def workers_lost(self) -> int:
        """Return how many workers died so far."""
        ...

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how the guards are that the zone's work calls through, as last heard."""
        ...

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Have guards do as a person wants, from the next batch on: the latest order of each."""
        ...

    def report(self) -> str:
        """Return a few lines about what happened, for ``firedoor why``."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...
