"""A declared zone: what ``pipeline.source``, ``transform`` and ``sink`` keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from firedoor.quality.grades import Demand
from firedoor.spec.checking import check_share
from firedoor.spec.lookup import Lookup
from firedoor.spec.plan import GatePolicy, Kind, LadderPlan, ShedPlan, WhenFull
from firedoor.spec.referred import ModelPlan
from firedoor.spec.sources import Files, Frames
from firedoor.spec.upkeep import Upkeep
from firedoor.spec.wall import WallOptions

if TYPE_CHECKING:
    import dataframely as dy


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """One publisher of a zone, as declared."""

    publisher: str
    when_full: WhenFull | None
    """None: decided when all readers are known."""
    bytes_max: int
    shed: ShedPlan | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source reads, and how."""

    form: Files | Frames
    batch_rows: int
    rate: float | None
    """Rows a second; None: as fast as they are taken."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Zone:
    """One zone. It is its own handle: ``reads=`` takes it."""

    name: str
    kind: Kind
    pipeline: str
    owner: str
    doc: str = ""
    inboxes: tuple[Inbox, ...] = ()
    step: Callable[..., object] | None = None
    schema: type[dy.Schema] | None = None
    out_schema: type[dy.Schema] | None = None
    options: WallOptions | None = None
    """Of zones with a step."""
    given: Mapping[str, object] = field(default_factory=dict)
    """The options of the wall that were written down, as ``Wall`` calls them."""
    reading: Reading | None = None
    """Of a source."""
    folder: str = ""
    """Of a sink that writes Parquet: as given."""
    lookups: Mapping[str, Lookup] = field(default_factory=dict)
    """By parameter of the step."""
    models: Mapping[str, ModelPlan] = field(default_factory=dict)
    """By parameter of the step."""
    gate: GatePolicy = field(default_factory=GatePolicy)
    sensitive: tuple[str, ...] = ()
    expands: bool = False
    slo: Mapping[str, float] = field(default_factory=dict)
    upkeep: Upkeep = field(default_factory=Upkeep)
    ladder: LadderPlan | None = None
    demand: Demand | None = None
    where: str = ""
    """``file:line`` of its declaration."""

    @property
    def published(self) -> type[dy.Schema] | None:
        """What is declared of the rows that it publishes: a source's own schema."""
        return self.schema if self.kind == "source" else self.out_schema


def check_gate(throttle_share: float, dead_max: float) -> GatePolicy:
    """Return when dead rows slow a zone down, and when they halt it.

    Raises:
        DeclarationError: for what is no share from 0 to 1.
    """
    check_share("throttle_share", throttle_share)
    check_share("dead_max", dead_max)
    return GatePolicy(throttle_share=float(throttle_share), dead_max=float(dead_max))
