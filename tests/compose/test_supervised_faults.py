"""What a supervisor does to processes for a drill, against processes of a test, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import pytest
from msgspec.structs import replace

from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose import supervised_faults
from firedoor.compose.supervised_faults import SupervisedFaults, Target
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.fault_kind import ZoneKind
from firedoor.drill.permission import Environment
from firedoor.errors import WorkersUnavailable
from firedoor.ports.streams import Streams
from firedoor.testing.loop import VirtualClock, run

CLOCK = VirtualClock()
BACK_S = 0.5
"""Until a process that died is there again."""


@dataclass(eq=False)
class Process:
    """A process that can be killed and stopped."""

    pid: int
    began_s: float
    alive: bool = True
    stopped: bool = False

    def crash(self) -> None:
        self.alive = False


@dataclass
class Zone:
    """A zone whose process comes again after it died."""

    kind: ZoneKind
    processes: list[Process] = field(default_factory=list)
    down: str = ""
    here: bool = True
    leaving: bool = False

    def process(self) -> Process | None:
        return self.processes[-1] if self.processes else None

    def keep_down(self, why: str) -> None:
        self.down = why

    async def keep(self) -> None:
        while True:
            if not self.down and not (self.processes and self.processes[-1].alive):
                self.processes.append(Process(100 + len(self.processes), CLOCK.now_s()))
            await CLOCK.wait(BACK_S)

    @property
    def deaths(self) -> int:
        return sum(not process.alive for process in self.processes)


class World:
    """A supervisor with a zone, a service's gateway, control and a broker."""

    def __init__(self, environment: Environment = "development", missing: str = "") -> None:
        self.store = MemoryStore()
        self.streams = MemoryStreams(self.store, CLOCK)
        self.told: list[str] = []
        self.connects = 0
        self.zones = {
            "clean": Zone("transform"), "predict": Zone("service"), "control": Zone("control"),
            "broker": Zone("broker"),
        }  # fmt: skip
        targets = {
            name: Target(
                kind=zone.kind, process=zone.process,
                keep_down=zone.keep_down if name in {"control", "broker"} else None,
                here=lambda zone=zone: zone.here,  # type: ignore[misc]
                leaving=lambda zone=zone: zone.leaving,  # type: ignore[misc]
                missing=missing if name == "broker" else "",
            )
            for name, zone in self.zones.items()
        }  # fmt: skip
        self.faults = SupervisedFaults(
            targets, process="s", environment=environment, clock=CLOCK, tell=self.told.append
        )

    async def connect(self) -> Streams:
        self.connects += 1
        streams = MemoryStreams(self.store, CLOCK)
        await streams.get("flags")  # raises while the broker is away
        return streams

    async def drill(self, one: Fault, renewal: int = 0) -> None:
        await self.streams.beat(
            f"fault.{one.zone}", msgspec.json.encode(replace(one, renewal=renewal))
        )

    async def said(self, zone: str) -> Injected | None:
        told = await self.streams.beats(f"injected.{zone}.")
        value = told.get(f"injected.{zone}.s")
        return None if value is None else msgspec.json.decode(value, type=Injected)


def fault(name: str, zone: str, **more: object) -> Fault:
    kinds: dict[str, ZoneKind] = {
        "clean": "transform", "predict": "service", "control": "control", "broker": "broker",
    }  # fmt: skip
    return make_fault(name, zone=zone, zone_kind=kinds[zone], drill="d", **more)  # type: ignore[arg-type]


def during(story: Callable[[World], Awaitable[None]], **more: object) -> World:
    world_: list[World] = []

    async def main() -> None:
        world = World(**more)  # type: ignore[arg-type]
        world_.append(world)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(zone.keep()) for zone in world.zones.values()]
            tasks.append(group.create_task(world.faults.run(world.connect)))
            await CLOCK.wait(1)
            await story(world)
            for task in tasks:
                task.cancel()

    run(main())
    return world_[0]


@pytest.fixture(autouse=True)
def stops(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Have stops of processes be written down instead of done; return when each would end."""
    until_s: dict[int, float] = {}

    class Stop:
        held = True

        def __init__(self, pid: int) -> None:
            self._pid = pid

        def renew(self, for_s: float) -> None:
            until_s[self._pid] = CLOCK.now_s() + for_s

    @asynccontextmanager
    async def frozen(pid: int, for_s: float) -> AsyncIterator[Stop]:
        stop = Stop(pid)
        stop.renew(for_s)
        try:
            yield stop
        finally:
            del until_s[pid]

    monkeypatch.setattr(supervised_faults, "frozen", frozen)
    return until_s


def test_a_kill_is_done_once_and_said_for_as_long_as_it_is_wanted() -> None:
    async def story(world: World) -> None:
        await world.drill(fault("kill", "clean"))
        await CLOCK.wait(5)
        assert world.zones["clean"].deaths == 1
        said = await world.said("clean")
        assert said is not None
        assert (said.id, said.hits, said.refused, said.over) == ("d-1", 1, "", False)
        await CLOCK.wait(15)
        said = await world.said("clean")
        assert said is not None
        assert said.over
        assert world.zones["clean"].deaths == 1
        assert all(zone.deaths == 0 for name, zone in world.zones.items() if name != "clean")

    world = during(story)
    assert world.told == [
        "drill d: kill in clean (d-1) begins",
        "drill d: kill in clean (d-1) is over",
    ]


def test_a_crash_loop_lets_each_process_live_so_long_and_ends_with_its_lease() -> None:
    async def story(world: World) -> None:
        await world.drill(fault("crash_loop", "predict", intensity=2.0))
        await CLOCK.wait(9)
        deaths = world.zones["predict"].deaths
        assert 3 <= deaths <= 4
        await CLOCK.wait(20)
        again = world.zones["predict"].deaths
        assert again <= deaths + 1, "the beat of a drill that is gone is forgotten after 10 s"
        said = await world.said("predict")
        assert said is None or said.over

    during(story)


def test_a_stop_ends_with_its_lease_also_when_nobody_can_be_heard(stops: dict[int, float]) -> None:
    async def story(world: World) -> None:
        began_s = CLOCK.now_s()
        await world.drill(fault("freeze", "clean"))
        await CLOCK.wait(5)
        (ends_s,) = stops.values()
        assert ends_s <= began_s + 1 + fault("freeze", "clean").lease_s
        await world.drill(fault("freeze", "clean"), 1)
        await CLOCK.wait(1)
        (renewed_s,) = stops.values()
        assert renewed_s >= ends_s + 4
        world.store.down("it is stopped")
        await CLOCK.wait(10)
        assert stops, "the broker's absence ends nothing before its time"
        await CLOCK.wait(6)
        assert not stops

    during(story)


def test_a_broker_that_is_kept_down_comes_again_and_is_not_taken_down_once_more() -> None:
    async def story(world: World) -> None:
        broker = world.zones["broker"]
        await world.drill(fault("broker_down", "broker"))
        await CLOCK.wait(1)
        world.store.down("its process is gone")
        assert "a drill wants it so (d-1)" in broker.down
        await CLOCK.wait(10)
        assert (broker.deaths, len(broker.processes)) == (1, 1)
        await CLOCK.wait(6)
        assert broker.down == ""
        await CLOCK.wait(1)
        assert broker.processes[-1].alive
        world.store.up()
        for renewal in range(1, 6):  # the drill never knew
            await world.drill(fault("broker_down", "broker"), renewal)
            await CLOCK.wait(5)
        assert broker.deaths == 1
        said = await world.said("broker")
        assert said is None or said.over

    during(story)


def test_control_is_kept_down_and_other_zones_have_faults_of_their_own_meanwhile(
    stops: dict[int, float],
) -> None:
    async def story(world: World) -> None:
        await world.drill(fault("control_down", "control"))
        await world.drill(replace(fault("freeze", "clean"), id="d-2"))
        await CLOCK.wait(2)
        assert world.zones["control"].down
        assert len(stops) == 1
        await world.drill(replace(fault("control_down", "control"), lease_s=0.0), 1)
        await CLOCK.wait(2)
        assert world.zones["control"].processes[-1].alive, "taken back, it ends at once"
        assert len(stops) == 1

    during(story)


def test_a_zone_that_is_to_end_is_left_in_peace(stops: dict[int, float]) -> None:
    async def story(world: World) -> None:
        await world.drill(fault("freeze", "clean"))
        await CLOCK.wait(2)
        assert stops
        world.zones["clean"].leaving = True
        await CLOCK.wait(0.2)
        assert not stops

    during(story)


def test_a_supervisor_that_ends_ends_what_it_does(stops: dict[int, float]) -> None:
    async def story(world: World) -> None:
        await world.drill(fault("freeze", "clean"))
        await world.drill(replace(fault("control_down", "control"), id="d-2"))
        await CLOCK.wait(2)
        assert stops

    world = during(story)
    assert not stops
    assert world.zones["control"].down == ""


def test_what_may_not_or_cannot_be_done_is_refused_and_nothing_happens() -> None:
    async def production(world: World) -> None:
        await world.drill(fault("kill", "clean"))
        await CLOCK.wait(3)
        said = await world.said("clean")
        assert said is not None
        assert "--allow-production" in said.refused
        assert world.zones["clean"].deaths == 0

    async def foreign(world: World) -> None:
        await world.drill(fault("broker_down", "broker"))
        await CLOCK.wait(3)
        said = await world.said("broker")
        assert said is not None
        assert said.refused == "it is not ours"
        assert world.zones["broker"].down == ""

    async def elsewhere(world: World) -> None:
        world.zones["broker"].here = False
        await world.drill(fault("broker_down", "broker"))
        await CLOCK.wait(3)
        assert await world.said("broker") is None, "another supervisor has it, and says so"

    during(production, environment="production")
    during(foreign, missing="it is not ours")
    during(elsewhere)


@pytest.mark.parametrize("kind", [WorkersUnavailable, OSError, RuntimeError])
def test_a_process_that_cannot_be_stopped_is_told_and_ends_no_supervisor(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    @asynccontextmanager
    async def refuses(_pid: int, _for_s: float) -> AsyncIterator[None]:
        raise kind("no process can be started that ends a stop in time: full")
        yield

    monkeypatch.setattr(supervised_faults, "frozen", refuses)

    async def story(world: World) -> None:
        await world.drill(fault("freeze", "clean"))
        await CLOCK.wait(2)
        said = await world.said("clean")
        assert said is not None
        assert "ends a stop in time: full" in said.refused
        await world.drill(replace(fault("kill", "predict"), id="d-2"))
        await CLOCK.wait(2)
        assert world.zones["predict"].deaths == 1, "it goes on"

    during(story)


def test_a_broker_that_is_elsewhere_after_a_while_is_found_again() -> None:
    async def story(world: World) -> None:
        world.store.down("it moved")
        await CLOCK.wait(30)
        world.store.up()
        await CLOCK.wait(3)
        await world.drill(fault("kill", "clean"))
        await CLOCK.wait(2)
        assert world.zones["clean"].deaths == 1

    assert during(story).connects >= 2
