"""A source in memory, in virtual time, with a reader that is told what to do."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

from data.runner_world import CLOCK, edge, encode
from firedoor.adapters.memory import Link, MemoryStore, MemoryStreams
from firedoor.data.reader import Fresh
from firedoor.data.source import SourceRunner
from firedoor.ports.stage import DeadRows, Parcel
from firedoor.spec.plan import EdgePlan, GatePolicy, Plan, SourcePlan, ZonePlan
from firedoor.wire.records import BatchRecord, DeadGroup, Order, Position, Segment, ZoneStatus

ROWS = 10
FILE_BATCHES = 4
"""Batches a file."""
GATE = GatePolicy(dead_max=1.0, throttle_share=1.0)


def plan_of(
    *edges: EdgePlan,
    rate: float | None = None,
    gate: GatePolicy = GATE,
    sensitive: tuple[str, ...] = (),
    dead_bytes_max: int = 2**30,
) -> Plan:
    source = SourcePlan(form="jsonl", patterns=("/in/*.jsonl",), batch_rows=ROWS, rate=rate)
    zones = [
        ZonePlan(
            name="src", kind="source", owner="me", version="src-1", source=source, gate=gate,
            sensitive=sensitive,
        )
    ]  # fmt: skip
    readers = sorted({each.reader for each in edges})
    zones += [ZonePlan(name=name, kind="sink", owner="me", version="1") for name in readers]
    return Plan(
        pipeline="p",
        owner="me",
        file="/p.py",
        sys_path=(),
        zones=tuple(zones),
        edges=edges,
        dead_bytes_max=dead_bytes_max,
    )


LINE = plan_of(edge("src:out"))


def fresh_of(number: int, *, bad: int = 0, blank: int = 0) -> Fresh:
    """Return a batch as the reader of a test gives it: ``FILE_BATCHES`` of them from a file."""
    rows = [number * ROWS + row for row in range(ROWS - bad - blank)]
    payload = encode(rows)
    file, line = f"/in/{number // FILE_BATCHES}.jsonl", number % FILE_BATCHES * ROWS
    group = DeadGroup(code="schema", signature="rule x|min", rows=bad, first_row=0, message="m")
    return Fresh(
        parcel=Parcel(payload, len(payload), len(rows), "s1"),
        dead=DeadRows(b"dead", 2, bad, (group,)) if bad else None,
        dropped={"blank": blank} if blank else {},
        lines=ROWS,
        segment=Segment(file=file, line=line + 1, rows=ROWS),
        position=Position(file=file, offset=100 * (number + 1), line=line + ROWS),
    )


@dataclass
class Script:
    """What readers give, and how they fail. Outlives the runners that read from it."""

    batches: int = 8
    bad: int = 0
    blank: int = 0
    faults: dict[int, list[Exception]] = field(default_factory=dict)
    """Raised in turn instead of a batch, by its number."""
    begun: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    """For each reader: the number that it began at, and the files it was told of."""
    given: list[int] = field(default_factory=list)
    stays_silent: bool = False
    """Whether it waits for ever at the end, as one that follows."""
    closed: int = 0


class FakeReader:
    """See ``data.reader.Reader``."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._number = -1

    async def begin(self, position: Position | None, known: Sequence[str]) -> None:
        await CLOCK.wait(0.01)
        self._number = position.offset // 100 if position is not None else 0
        self._script.begun.append((self._number, tuple(known)))

    async def next(self) -> Fresh | None:
        script, number = self._script, self._number
        await CLOCK.wait(0.01)
        if script.faults.get(number):
            raise script.faults[number].pop(0)
        if number >= script.batches:
            if script.stays_silent:
                await asyncio.Event().wait()
            return None
        self._number += 1
        script.given.append(number)
        return fresh_of(number, bad=script.bad, blank=script.blank)

    async def close(self) -> None:
        self._script.closed += 1


@dataclass
class SourceWorld:
    """A store, and sources that come and go."""

    plan: Plan = LINE
    script: Script = field(default_factory=Script)
    store: MemoryStore = field(default_factory=MemoryStore)
    streams: MemoryStreams = field(init=False)

    def __post_init__(self) -> None:
        self.streams = MemoryStreams(self.store, CLOCK)
        self.store.declare(self.plan)

    def runner(
        self, *, link: Link | None = None, lookups: Callable[[], Mapping[str, str]] = dict
    ) -> SourceRunner:
        return SourceRunner(
            self.plan.zone("src"),
            self.plan,
            MemoryStreams(self.store, CLOCK, link=link),
            FakeReader(self.script),
            CLOCK,
            replica="here-1",
            chance=random.Random(1),
            lookups=lookups,
            firedoor="0.1",
        )

    def records(self) -> list[BatchRecord]:
        return [record for (zone, _), record in self.store.records.items() if zone == "src"]

    def note(self) -> object:
        return json.loads(self.store.values.get("source.src", b"null"))

    async def order(self, want: str, generation: int = 0) -> None:
        order = msgspec.convert({"want": want, "generation": generation}, type=Order)
        await self.streams.put("order.src", msgspec.json.encode(order))

    async def beat(self) -> ZoneStatus:
        (value,) = (await self.streams.beats("zone.src.")).values()
        return msgspec.json.decode(value, type=ZoneStatus)

    async def published(self, name: str = "src:out") -> list[str]:
        """Take everything out of an inbox; return its batches."""
        found = []
        while deliveries := await self.streams.inbox(name).fetch(100, 0.1):
            for delivery in deliveries:
                found.append(delivery.envelope.batch)
                await delivery.ack()
        return sorted(found)


@asynccontextmanager
async def working(*runners: SourceRunner) -> AsyncIterator[None]:
    """Run sources, and have them drain at the end."""
    async with asyncio.TaskGroup() as group:
        for runner in runners:
            group.create_task(runner.run())
        yield
        for runner in runners:
            runner.drain()
