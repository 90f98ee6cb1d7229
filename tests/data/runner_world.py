"""A pipeline in memory, in virtual time, around the runner: what its tests stand on."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from firedoor.adapters.memory import Link, MemoryStore, MemoryStreams
from firedoor.data.outlets import keep_all
from firedoor.data.runner import Runner
from firedoor.events.objective import Objectives
from firedoor.ports.stage import DeadRows, Handled, Journal, Parcel
from firedoor.ports.streams import Delivery
from firedoor.ports.telemetry import Telemetry
from firedoor.spec.plan import EdgePlan, GatePolicy, Plan, ShedPlan, WhenFull, ZonePlan
from firedoor.testing.loop import VirtualClock
from firedoor.wire.envelope import Envelope, checksum
from firedoor.wire.records import (
    Attempts,
    BatchRecord,
    DeadGroup,
    GuardNote,
    GuardOrder,
    Order,
    ZoneStatus,
)

ROWS = 10
CUT_S = 1_000.0
CLOCK = VirtualClock()


def batch_name(number: int) -> str:
    return f"src-{number:06d}"


def encode(rows: Sequence[int]) -> bytes:
    return json.dumps(list(rows)).encode()


def decode(payload: bytes) -> list[int]:
    rows = json.loads(payload)
    assert isinstance(rows, list)
    return rows


def rows_of(number: int, *, bad: int = 0) -> list[int]:
    """Rows of a batch: the first ``bad`` are negative, and die."""
    return [(-1 if row < bad else 1) * (number * ROWS + row + 1) for row in range(ROWS)]


def envelope_of(batch: str, payload: bytes, rows: int) -> Envelope:
    return Envelope(
        batch=batch,
        rows=rows,
        frame_bytes=len(payload),
        crc32=checksum(payload),
        zone="src",
        zone_version="v0",
        schema="s0",
        cut_s=CUT_S,
        lookups={"weather": "7"},
        traceparent="00-aa-bb-01",
    )


def edge(
    name: str,
    when_full: WhenFull = "block",
    *,
    bytes_max: int = 2**28,
    shed: ShedPlan | None = None,
    by_way: bool = False,
) -> EdgePlan:
    publisher, _, reader = name.partition(":")
    return EdgePlan(
        publisher=publisher,
        reader=reader,
        when_full=when_full,
        bytes_max=bytes_max,
        shed=shed,
        by_way=by_way,
    )


def plan_of(
    *edges: EdgePlan,
    gate: GatePolicy | None = None,
    dead_bytes_max: int = 2**30,
    slo: dict[str, float] | None = None,
) -> Plan:
    readers = {edge.reader for edge in edges}
    publishers = {edge.publisher for edge in edges}
    zones = tuple(
        ZonePlan(
            name=name,
            kind="transform" if name in publishers and name in readers else "sink",
            owner="me",
            version=f"{name}-1",
            gate=GatePolicy(dead_max=1.0, throttle_share=1.0) if gate is None else gate,
            sensitive=("tail",),
            slo=slo or {},
        )
        for name in sorted(readers | publishers)
    )
    return Plan(
        pipeline="p",
        owner="me",
        file="/p.py",
        sys_path=(),
        zones=zones,
        edges=tuple(edges),
        dead_bytes_max=dead_bytes_max,
    )


LINE = plan_of(edge("src:mid"), edge("mid:out"))


@dataclass
class Work:
    """A stage: doubles rows, buries negative ones, and does what it is told to batches."""

    faults: dict[str, list[Exception]] = field(default_factory=dict)
    """Raised in turn, by batch; "" for any batch."""
    takes_s: float = 0.01
    deaths: dict[str, int] = field(default_factory=dict)
    """Workers' deaths to journal, by batch."""
    stuck: set[str] = field(default_factory=set)
    """Batches that never return."""
    padding: int = 0
    sees: Callable[[], None] | None = None
    """Called when a batch has been worked on."""
    handled: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    together: dict[str, int] = field(default_factory=dict)
    """How many were at work when a batch began, itself included."""
    closed: bool = False
    noted: tuple[GuardNote, ...] = ()
    ordered: list[tuple[GuardOrder, ...]] = field(default_factory=list)
    attempts: dict[str, list[int]] = field(default_factory=dict)
    """Which attempt each call said that it was, by batch."""

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.together[envelope.batch] = self.at_once
        self.attempts.setdefault(envelope.batch, []).append(envelope.attempt)
        try:
            await CLOCK.wait(self.takes_s)
            if envelope.batch in self.stuck:
                await asyncio.Event().wait()
            for number in range(self.deaths.get(envelope.batch, 0)):
                await journal("crash", f"rows {number}")
            for name in (envelope.batch, ""):
                if self.faults.get(name):
                    raise self.faults[name].pop(0)
        finally:
            self.at_once -= 1
        self.handled.append(envelope.batch)
        if self.sees is not None:
            self.sees()
        return self._result(envelope, payload)

    def _result(self, envelope: Envelope, payload: bytes) -> Handled:
        rows = decode(payload)
        good = encode([2 * row for row in rows if row > 0]) + b" " * self.padding
        bad = [row for row in rows if row < 0]
        groups = (
            DeadGroup(code="rule", signature="negative", rows=len(bad), first_row=0, message="m"),
        )
        dead = DeadRows(encode(bad), 1, len(bad), groups) if bad else None
        kept = len(rows) - len(bad)
        written = f"wrote {envelope.batch}"
        return Handled(Parcel(good, len(good), kept, "s1"), dead, sink=written)

    def workers_lost(self) -> int:
        return 3

    def guards(self) -> tuple[GuardNote, ...]:
        return self.noted

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        self.ordered.append(orders)

    def report(self) -> str:
        return "all well"

    def close(self) -> None:
        self.closed = True


@dataclass
class World:
    """A store, a client for what the test itself does, and runners."""

    plan: Plan = LINE
    store: MemoryStore = field(default_factory=MemoryStore)
    seed: int = 1
    streams: MemoryStreams = field(init=False)

    def __post_init__(self) -> None:
        self.streams = MemoryStreams(self.store, CLOCK)
        self.store.declare(self.plan)

    async def put(
        self, numbers: Sequence[int], *, bad: int = 0, into: str = "src:mid", **fields: object
    ) -> None:
        for number in numbers:
            payload = encode(rows_of(number, bad=bad))
            envelope = envelope_of(batch_name(number), payload, ROWS)
            changed = msgspec.structs.replace(envelope, **fields)
            await self.streams.publish(into, changed, payload)

    def runner(
        self,
        zone: str = "mid",
        work: Work | None = None,
        *,
        link: Link | None = None,
        concurrency: int = 2,
        shed: Callable[[bytes, Envelope, ShedPlan], Parcel] = keep_all,
        replica: str = "here-1",
        telemetry: Telemetry | None = None,
    ) -> Runner:
        return Runner(
            self.plan.zone(zone),
            self.plan,
            MemoryStreams(self.store, CLOCK, link=link),
            Work() if work is None else work,
            CLOCK,
            replica=replica,
            chance=random.Random(self.seed),
            concurrency=concurrency,
            shed=shed,
            telemetry=telemetry,
        )

    async def order(
        self, want: str, generation: int = 0, *, zone: str = "mid", because: str = ""
    ) -> None:
        order = msgspec.convert(
            {"want": want, "generation": generation, "because": because}, type=Order
        )
        await self.streams.put(f"order.{zone}", msgspec.json.encode(order))

    def record(self, number: int, zone: str = "mid") -> BatchRecord | None:
        return self.store.records.get((zone, batch_name(number)))

    def recorded(self, zone: str = "mid") -> list[str]:
        return sorted(batch for name, batch in self.store.records if name == zone)

    def attempts(self, number: int, zone: str = "mid") -> Attempts | None:
        return self.store.attempts.get((zone, batch_name(number)))

    def waiting(self, name: str = "src:mid") -> int:
        return self.store.boxes[name].depth().messages

    def out(self, name: str = "src:mid") -> int:
        return self.store.boxes[name].depth().unacknowledged

    async def drained(self, name: str) -> list[Delivery]:
        """Take everything out of an inbox."""
        found: list[Delivery] = []
        while deliveries := await self.streams.inbox(name).fetch(100, 0.1):
            found += deliveries
            for delivery in deliveries:
                await delivery.ack()
        return found

    async def objectives(self, zone: str = "mid") -> Objectives | None:
        for value in (await self.streams.beats(f"objective.{zone}.")).values():
            return msgspec.json.decode(value, type=Objectives)
        return None

    async def beat(self, zone: str = "mid") -> ZoneStatus | None:
        for value in (await self.streams.beats(f"zone.{zone}.")).values():
            return msgspec.json.decode(value, type=ZoneStatus)
        return None


async def until(what: Callable[[], bool], within_s: float = 300.0) -> None:
    """Wait until something holds, in virtual time."""
    async with asyncio.timeout(within_s):
        while not what():
            await CLOCK.wait(0.01)


async def until_it(what: Callable[[], Awaitable[bool]], within_s: float = 300.0) -> None:
    """Wait until something that has to be asked for holds."""
    async with asyncio.timeout(within_s):
        while not await what():
            await CLOCK.wait(0.05)


@asynccontextmanager
async def running(*runners: Runner) -> AsyncIterator[None]:
    """Run runners, and have them drain at the end."""
    async with asyncio.TaskGroup() as group:
        for runner in runners:
            group.create_task(runner.run())
        yield
        for runner in runners:
            runner.drain()


async def run_through(world: World, runner: Runner, count: int, zone: str = "mid") -> None:
    """Run until so many batches are recorded and acknowledged."""
    async with running(runner):
        await until(lambda: len(world.recorded(zone)) == count and world.waiting() == 0)
