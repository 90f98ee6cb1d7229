"""Where a drill takes place: zones, what they promise, and who comes after whom."""

from __future__ import annotations

from dataclasses import dataclass, field

from firedoor.drill.fault_kind import ZoneKind
from firedoor.errors import DeclarationError

BROKER = "broker"
CONTROL = "control"
END_TO_END = "end_to_end"
"""The column for all that leaves the pipeline, and for its books."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One zone or service, or the broker, or the control process."""

    name: str
    kind: ZoneKind
    promises: dict[str, float] = field(default_factory=dict)
    """``availability``, ``latency_p99_s``, ``freshness_s``; what is not there is not promised."""
    after: frozenset[str] = frozenset()
    """Zones that get nothing where this one makes nothing; of a job those that run after it."""
    ends: bool = False
    """Whether what it makes leaves the pipeline."""
    allows: tuple[str, ...] = ()
    """Faults that may be injected here in production."""

    def budget(self, indicator: str) -> float | None:
        """Return the share of units that may be bad; None: nothing is promised."""
        if indicator == "availability":
            promised = self.promises.get("availability")
            return None if promised is None else max(0.0, 1.0 - promised)
        named = "latency_p99_s" if indicator == "latency" else "freshness_s"
        return OTHER_BUDGET if named in self.promises else None


OTHER_BUDGET = 0.01
"""Of latency and freshness, as ``events.objective`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A pipeline as a drill sees it."""

    pipeline: str
    seats: tuple[Seat, ...]
    """Zones and services, in the order in which they are shown."""
    jobs: tuple[Seat, ...] = ()
    """Jobs that something runs by itself. They are judged by their runs, see ``job_runs``."""
    allows: tuple[str, ...] = ()
    """Faults that may be injected in production in the broker and the control process."""

    @property
    def names(self) -> tuple[str, ...]:
        """Who is observed."""
        return tuple(seat.name for seat in self.seats)

    @property
    def targets(self) -> tuple[Seat, ...]:
        """Where faults can be injected."""
        fed = frozenset(seat.name for seat in self.seats if seat.kind != "service")
        broker = Seat(name=BROKER, kind="broker", after=fed, allows=self.allows)
        control = Seat(name=CONTROL, kind="control", allows=self.allows)
        return (*self.seats, *self.jobs, broker, control)

    def seat(self, name: str, *, field: str = "zone") -> Seat:
        """Return one of them.

        Raises:
            DeclarationError: if there is none of that name.
        """
        for seat in self.targets:
            if seat.name == name:
                return seat
        known = ", ".join(seat.name for seat in self.targets)
        raise DeclarationError(
            field, name, f"is no zone of {self.pipeline}", f"choose one of {known}"
        )
