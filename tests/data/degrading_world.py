"""A zone with a ladder, in virtual time: samples of numbers, and features of a drawn quality."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from data.runner_world import ROWS, Work, World, decode, edge, encode, plan_of
from firedoor.data.runner import Runner
from firedoor.ports.stage import Handled, Parcel
from firedoor.quality.grades import Grade
from firedoor.spec.plan import EdgePlan, LadderPlan, Plan, ShedPlan
from firedoor.wire.envelope import Envelope

KEEP = 0.5
SAMPLE = LadderPlan(sample=ShedPlan(keep=KEEP, key=("tail",), salt="mid"))
SLOWER = LadderPlan(slower_s=7.0)
BOTH = LadderPlan(sample=SAMPLE.sample, slower_s=7.0)
SMALL = 1_000
"""Bytes of an inbox that two or three batches fill."""


def sampled(rows: Iterable[int], keep: float = KEEP) -> list[int]:
    """Return the rows that are kept: always the same."""
    return [row for row in rows if zlib.crc32(b"%d" % abs(row)) < keep * 2**32]


def sample(payload: bytes, envelope: Envelope, plan: ShedPlan) -> Parcel:
    """Keep a share of a batch."""
    del envelope
    kept = sampled(decode(payload), plan.keep)
    return Parcel(encode(kept), len(encode(kept)), len(kept), "s0")


def with_ladder(
    ladder: LadderPlan | None, *edges: EdgePlan, bytes_max: int = SMALL, slo: float | None = None
) -> Plan:
    """Return ``src -> mid -> ...`` in which ``mid`` has a ladder."""
    plan = plan_of(edge("src:mid", bytes_max=bytes_max), *(edges or (edge("mid:out"),)))
    zones = tuple(
        msgspec.structs.replace(
            zone, ladder=ladder, slo={} if slo is None else {"freshness_s": slo}
        )
        if zone.name == "mid"
        else zone
        for zone in plan.zones
    )
    return msgspec.structs.replace(plan, zones=zones)


@dataclass
class Joins(Work):
    """A stage that joins to a lookup."""

    grades: dict[str, Grade] = field(default_factory=lambda: {"sky": Grade("live", 5.0)})

    def _result(self, envelope: Envelope, payload: bytes) -> Handled:
        return replace(super()._result(envelope, payload), quality=dict(self.grades))


def runner_of(world: World, work: Work | None = None, **options: object) -> Runner:
    """Return a runner of ``mid`` that can sample, one batch at a time."""
    given: dict[str, object] = {"concurrency": 1, "shed": sample, **options}
    return world.runner("mid", Work() if work is None else work, **given)  # type: ignore[arg-type]


async def feed(world: World, numbers: Iterable[int]) -> None:
    """Put batches in, as far as there is room."""
    for number in numbers:
        await world.put([number])


def rows_in(world: World) -> int:
    """Return how many rows the zone has recorded."""
    return ROWS * len(world.recorded())
