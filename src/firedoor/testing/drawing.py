"""Draw a world from a seed: a pipeline, what its rows meet, and what goes wrong when."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from firedoor.quality.grades import Demand
from firedoor.spec.plan import (
    EdgePlan,
    GatePolicy,
    Kind,
    LadderPlan,
    Plan,
    ShedPlan,
    WhenFull,
    ZonePlan,
)
from firedoor.spec.referred import ModelPlan

SOURCES_MAX = 2
ZONES_MAX = 5
BATCHES_MAX = 10
ROWS_MAX = 6
FAULTS_S = 20.0
"""After which nothing new goes wrong."""

Fault = Literal["kill", "stall", "down", "restart", "lose", "pause", "drain", "duplicate"]
Fate = Literal["passes", "dead", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that goes wrong, or that a person does, at a time."""

    at_s: float
    fault: Fault
    lasts_s: float
    draw: int
    """Draws whom it meets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a zone's rows and batches meet, whatever else happens."""

    replicas: int = 1
    dead: float = 0.0
    dropped: float = 0.0
    step_s: float = 0.05
    away: tuple[float, float] = (0.0, 0.0)
    """From when until when what it depends on is away."""
    hangs: tuple[float, float] = (0.0, 0.0)
    """From when until when every row hangs."""
    poison: int = -1
    """Number of the batches that end their runner, and how often they do."""
    deaths: int = 0
    faulty: int = -1
    """Number of the batches at which the step fails until a person has corrected it."""
    journals: float = 0.0
    """Share of the batches that are run a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A world before anything happens in it."""

    seed: int
    plan: Plan
    batches: dict[str, int]
    """How many a source cuts."""
    rows: int
    """Of a batch."""
    conditions: dict[str, Conditions]
    happenings: tuple[Happening, ...]
    kills: int
    """Processes that end at some call, beside those that are killed at some time."""
    life_calls: int
    """Calls after which they do, on average."""
    ack_wait_s: float

    @property
    def lossy(self) -> bool:
        """Whether rows may be shed or sampled, or batches missed or sent elsewhere, as declared."""
        ladders = any(zone.ladder is not None for zone in self.plan.zones)
        return ladders or any(edge.when_full != "block" or edge.demand for edge in self.plan.edges)

    def fate(self, zone: str, row: int) -> Fate:
        """Return what becomes of a row in a zone: the same each time."""
        share = zlib.crc32(f"{self.seed}/{zone}/{row}".encode()) / 2**32
        met = self.conditions[zone]
        if share < met.dead:
            return "dead"
        return "dropped" if share < met.dead + met.dropped else "passes"

    def rows_of(self, source: str, number: int) -> list[int]:
        """Return the rows of a batch: every row of a world has a number of its own."""
        first = 10**6 * [zone.name for zone in self.plan.zones].index(source) + number * ROWS_MAX
        return list(range(first, first + self.rows))


def draw(
    seed: int, *, faults: bool = True, degrading: bool = False, scoring: bool = False
) -> Drawn:
    """Return the world of a seed.

    Args:
        seed: of the world.
        faults: without them it is the same pipeline and rows, undisturbed.
        degrading: zones have ladders, and some readers require a quality.
        scoring: transforms use models, of which another version is live each time one looks.
    """
    chance = random.Random(f"world {seed}")  # noqa: S311 - not a secret
    reads = _draw_graph(chance)
    lossy = chance.random() < 0.25  # noqa: PLR2004
    plan = _make_plan(reads, chance, lossy=lossy)
    conditions = {zone.name: _draw_conditions(zone.kind, chance) for zone in plan.zones}
    drawn = Drawn(
        seed=seed,
        plan=plan,
        batches={
            zone.name: chance.randint(1, BATCHES_MAX)
            for zone in plan.zones
            if zone.kind == "source"
        },
        rows=chance.randint(1, ROWS_MAX),
        conditions=conditions,
        happenings=tuple(_draw_happening(chance) for _ in range(chance.randint(0, 10))),
        kills=chance.choice((0, 2, 5, 12)),
        life_calls=chance.choice((10, 30, 100)),
        ack_wait_s=chance.choice((12.0, 30.0)),
    )
    if degrading:
        drawn = replace(drawn, plan=_with_ladders(drawn.plan, chance))
    if scoring:
        drawn = replace(drawn, plan=_with_models(drawn.plan))
    return drawn if faults else _undisturbed(drawn)


def _with_ladders(plan: Plan, chance: random.Random) -> Plan:
    """Return a plan whose transforms may degrade, and of whose readers some require a quality."""
    sample = ShedPlan(keep=0.5, key=("row",))
    ladders = (None, LadderPlan(sample=sample), LadderPlan(sample=sample, slower_s=0.5))
    zones = tuple(
        msgspec.structs.replace(zone, ladder=chance.choice(ladders), slo={"freshness_s": 1.0})
        if zone.kind == "transform"
        else zone
        for zone in plan.zones
    )
    edges = {edge.name: edge for edge in plan.edges}
    for zone in plan.zones:
        outlets = plan.outlets(zone.name)
        if zone.kind == "transform" and len(outlets) > 1 and chance.random() < 0.8:  # noqa: PLR2004
            best, spare = chance.sample(outlets, 2)
            demand = Demand(below="zone", otherwise=spare.reader)
            edges[best.name] = msgspec.structs.replace(best, demand=demand)
            edges[spare.name] = msgspec.structs.replace(spare, instead_of=(best.reader,))
    return msgspec.structs.replace(plan, zones=zones, edges=tuple(edges.values()))


def _with_models(plan: Plan) -> Plan:
    """Return a plan whose transforms use a model each."""
    zones = tuple(
        msgspec.structs.replace(zone, models={"model": ModelPlan(name=f"m_{zone.name}")})
        if zone.kind == "transform"
        else zone
        for zone in plan.zones
    )
    return msgspec.structs.replace(plan, zones=zones)


def _draw_graph(chance: random.Random) -> dict[str, list[str]]:
    """Return what each node reads; sources read nothing, and everything is read or a sink."""
    sources = [f"s{number}" for number in range(chance.randint(1, SOURCES_MAX))]
    zones = [f"z{number}" for number in range(chance.randint(1, ZONES_MAX))]
    reads: dict[str, list[str]] = {name: [] for name in sources}
    sinks: set[str] = set()
    for zone in zones:
        able = [name for name in reads if name not in sinks]
        count = min(len(able), chance.choice((1, 1, 1, 2, 2, 3)))
        reads[zone] = sorted(chance.sample(able, count))
        if zone != zones[-1] and chance.random() < 0.2:  # noqa: PLR2004
            sinks.add(zone)
    for source in sources:
        if not any(source in read for read in reads.values()):
            reads[chance.choice(zones)].append(source)
    return reads


def _make_plan(reads: dict[str, list[str]], chance: random.Random, *, lossy: bool) -> Plan:
    """Return a plan for what reads what."""
    roots: dict[str, set[str]] = {}
    ways: dict[str, int] = {}
    zones, edges = [], []
    read = {name for names in reads.values() for name in names}
    for name, publishers in reads.items():
        found = [roots[publisher] for publisher in publishers]
        roots[name] = set().union(*found) if found else {name}
        by_way = sum(map(len, found)) > len(roots[name])
        ways[name] = 1 + max((ways[publisher] for publisher in publishers), default=0)
        kind: Kind = "transform" if name in read else "sink"
        zones.append(_make_zone(name, kind if publishers else "source", chance))
        edges += [
            _make_edge(publisher, name, chance, by_way=by_way, lossy=lossy)
            for publisher in publishers
        ]
    return Plan(
        pipeline="world",
        owner="nobody@example.com",
        file="/nowhere/world.py",
        sys_path=(),
        zones=tuple(zones),
        edges=tuple(edges),
        dead_bytes_max=2**30 if chance.random() < 0.8 else 3_000,  # noqa: PLR2004
    )


def _make_zone(name: str, kind: Kind, chance: random.Random) -> ZonePlan:
    """Return a zone, whose gate throttles and halts in some worlds."""
    strict = GatePolicy(
        throttle_share=0.1, dead_max=0.4, window_rows=40, rows_min=20, throttle_max_s=1.0
    )
    lax = GatePolicy(throttle_share=1.0, dead_max=1.0)
    gate = strict if chance.random() < 0.3 else lax  # noqa: PLR2004
    return ZonePlan(name=name, kind=kind, owner="nobody@example.com", version="v1", gate=gate)


def _make_edge(
    publisher: str, reader: str, chance: random.Random, *, by_way: bool, lossy: bool
) -> EdgePlan:
    """Return an edge that holds a few batches only."""
    kinds: tuple[WhenFull, ...] = ("block", "shed", "detach")
    when_full = chance.choice(kinds) if lossy else "block"
    return EdgePlan(
        publisher=publisher,
        reader=reader,
        when_full=when_full,
        bytes_max=chance.choice((800, 2_000, 20_000)),
        shed=ShedPlan(keep=0.5) if when_full == "shed" else None,
        by_way=by_way,
    )


def _draw_conditions(kind: Kind, chance: random.Random) -> Conditions:
    """Return what rows and batches meet in a zone."""

    def window() -> tuple[float, float]:
        if chance.random() < 0.8:  # noqa: PLR2004
            return (0.0, 0.0)
        began_s = chance.uniform(0.0, 5.0)
        return (began_s, began_s + chance.uniform(0.1, 8.0))

    some = chance.random() < 0.3  # noqa: PLR2004
    return Conditions(
        replicas=1 if kind == "source" else chance.choice((1, 1, 2)),
        dead=chance.choice((0.0, 0.02, 0.2)),
        dropped=chance.choice((0.0, 0.1)),
        step_s=chance.choice((0.0, 0.02, 0.3)),
        away=window(),
        hangs=window(),
        poison=chance.randint(0, BATCHES_MAX) if some else -1,
        deaths=chance.choice((1, 2, 3, 9)),
        faulty=chance.randint(0, BATCHES_MAX) if chance.random() < 0.2 else -1,  # noqa: PLR2004
        journals=chance.choice((0.0, 0.3)),
    )


def _draw_happening(chance: random.Random) -> Happening:
    """Return something that goes wrong."""
    faults: tuple[Fault, ...] = (
        "kill", "kill", "kill", "stall", "down", "restart", "lose", "lose", "lose", "pause",
        "drain", "duplicate",
    )  # fmt: skip
    return Happening(
        at_s=chance.uniform(0.0, chance.choice((2.0, FAULTS_S))),
        fault=chance.choice(faults),
        lasts_s=chance.choice((0.05, 1.0, 7.0, 45.0)),
        draw=chance.randrange(2**30),
    )


def _undisturbed(drawn: Drawn) -> Drawn:
    """Return the same rows and pipeline in a world where nothing goes wrong."""
    calm = {
        name: Conditions(dead=met.dead, dropped=met.dropped)
        for name, met in drawn.conditions.items()
    }
    return Drawn(
        seed=drawn.seed,
        plan=drawn.plan,
        batches=drawn.batches,
        rows=drawn.rows,
        conditions=calm,
        happenings=(),
        kills=0,
        life_calls=drawn.life_calls,
        ack_wait_s=drawn.ack_wait_s,
    )
