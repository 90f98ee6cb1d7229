"""What the catalogue says of a fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firedoor.drill.fault import SUPERVISOR, Class

Place = Literal["supervisor", "link", "source", "worker", "gateway", "replica", "exporter", "job"]
"""``link``: between a zone's process and the broker. ``replica``: a worker of a service. ``job``:
who watches over the worker of a job."""
ZoneKind = Literal["source", "transform", "sink", "service", "job", "broker", "control"]
Unit = Literal["", "rows", "batches", "requests", "messages"]
SHARE_MIN = 1e-6
NO_UNIT = ""

ALL: tuple[ZoneKind, ...] = ("source", "transform", "sink", "service", "job", "control")
DATA: tuple[ZoneKind, ...] = ("source", "transform", "sink")
STEPS: tuple[ZoneKind, ...] = ("transform", "sink")
SERVICE: tuple[ZoneKind, ...] = ("service",)
JOB: tuple[ZoneKind, ...] = ("job",)
EXPORTERS: tuple[ZoneKind, ...] = ("source", "transform", "sink", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """One fault of the catalogue."""

    name: str
    of: Class
    at: Place
    """Who injects it."""
    kinds: tuple[ZoneKind, ...]
    """Zones in which it can be injected."""
    says: str
    """What it does, in a sentence."""
    unit: str = NO_UNIT
    """Of the intensity; empty: it has none, and is 1."""
    low: float = 1.0
    high: float = 1.0
    usual: float = 1.0
    """Intensity where nobody says otherwise."""
    of_what: Unit = ""
    """What the share is a share of; empty: it hits all there is, and the share is 1."""
    share: float = 1.0
    """Where nobody says otherwise."""
    share_max: float = 1.0
    column: bool = False
    """Whether it can be told which column."""
    needs: str = ""
    """What has to be there for it; empty: nothing besides the zone."""

    @property
    def by_supervisor(self) -> bool:
        """Whether whoever supervises the zone's processes injects it."""
        return self.at == "supervisor"

    @property
    def needs_step(self) -> bool:
        """Whether it is injected in a worker, which only zones with code of a user's have."""
        return self.at == "worker"

    def by(self, zone: str) -> str:
        """Return what ``Fault.by`` is."""
        return SUPERVISOR if self.by_supervisor else zone
