"""A fault is heard of by beats, ends by itself, is counted, and is told."""

from __future__ import annotations

import msgspec
import pytest

from firedoor.adapters.memory import MemoryJournal, MemoryStore, MemoryStreams
from firedoor.compose.injection import SAID_S, Injection
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import LEASE_S, Fault, Injected
from firedoor.drill.lease import taken_back
from firedoor.testing.loop import VirtualClock, run

CLOCK = VirtualClock()
LATENCY = make_fault("latency", zone="enrich", zone_kind="transform", drill="d1")
BEAT_S = 10.0
"""After so long a beat that nobody repeats is gone."""


class Scene:
    """A broker in memory, a zone's process that listens, and a drill that speaks."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.streams = MemoryStreams(self.store, CLOCK)
        self.injection = Injection(
            "enrich", "transform", CLOCK, process="here-1", places=("link", "worker")
        )
        self.injection.environment = "development"
        self.injection.journal = self.journal = MemoryJournal()

    async def want(self, fault: Fault) -> None:
        await self.streams.beat(f"fault.{fault.zone}", msgspec.json.encode(fault))

    async def look(self) -> Fault | None:
        await self.injection.look(self.streams)
        return self.injection.now("link")

    async def said(self) -> Injected | None:
        beats = await self.streams.beats("injected.enrich.")
        value = beats.get("injected.enrich.here-1")
        return None if value is None else msgspec.json.decode(value, type=Injected)


def test_nothing_is_injected_and_nothing_said_where_nobody_wants_anything() -> None:
    async def main() -> None:
        scene = Scene()
        assert await scene.look() is None
        assert await scene.said() is None

    run(main())


def test_a_fault_is_noted_when_it_begins_is_over_or_is_refused() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.want(LATENCY)
        while await scene.look() is not None:
            scene.injection.hit()
            await CLOCK.wait(0.5)
        for _ in range(3):
            await scene.look()
        began, over = scene.journal.of("fault")
        assert (began.code, over.code) == ("injected", "over")
        assert {one.about for one in (began, over)} == {LATENCY.id}
        assert {one.cause for one in (began, over)} == {f"drill:{LATENCY.id}"}
        assert int(over.facts["hits"]) > 0
        scene.injection.environment = "production"
        await scene.want(make_fault("latency", zone="enrich", zone_kind="transform", drill="d2"))
        await scene.look()
        refused = scene.journal.of("fault")[-1]
        assert refused.code == "refused"
        assert "production" in refused.because

    run(main())


def test_a_drill_that_dies_has_its_fault_end_when_its_last_beat_is_gone() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.want(LATENCY)
        assert await scene.look() == LATENCY
        began_s = CLOCK.now_s()
        while await scene.look() is not None:
            assert CLOCK.now_s() - began_s < LEASE_S, "it goes on after its drill"
            await CLOCK.wait(0.5)
        assert CLOCK.now_s() - began_s <= BEAT_S + 0.5

    run(main())


def test_a_fault_ends_by_its_lease_where_the_broker_cannot_be_asked() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.want(LATENCY)
        assert await scene.look() == LATENCY
        scene.store.down()
        await CLOCK.wait(LEASE_S - 1.0)
        assert await scene.look() == LATENCY, "a broker that is away has taken nothing back"
        await CLOCK.wait(1.0)
        assert await scene.look() is None

    run(main())


def test_a_drill_that_is_killed_in_the_same_moment_as_the_process_leaves_nothing() -> None:
    """Whoever begins anew hears the last beat at most as long as the broker keeps it."""

    async def main() -> None:
        scene = Scene()
        await scene.want(LATENCY)
        await CLOCK.wait(BEAT_S - 1.0)
        assert await scene.look() == LATENCY, "a process that has just begun"
        await CLOCK.wait(1.0)
        assert await scene.look() is None

    run(main())


def test_what_is_injected_is_told_with_what_it_hit_and_for_a_while_that_it_is_over() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.want(LATENCY)
        await scene.look()
        scene.injection.hit(3)
        await scene.look()
        said = await scene.said()
        assert said is not None
        assert (said.id, said.name, said.hits, said.over) == ("d1-1", "latency", 3, False)

        await scene.want(taken_back(LATENCY))
        assert await scene.look() is None
        said = await scene.said()
        assert said is not None
        assert (said.hits, said.over) == (3, True)

        for _ in range(50):
            await CLOCK.wait(0.5)
            await scene.look()
        assert await scene.said() is None, f"{SAID_S} s are long enough"

    run(main())


@pytest.mark.parametrize(
    ("name", "kind", "environment", "said"),
    [
        ("latency", "transform", "production", "--allow-production"),
        ("late", "source", "development", "cannot be injected in 'enrich', which is a transform"),
        ("collector_down", "transform", "development", "by the exporter of a zone"),
    ],
)
def test_what_may_not_be_injected_is_refused_with_the_reason(
    name: str, kind: str, environment: str, said: str
) -> None:
    async def main() -> None:
        scene = Scene()
        scene.injection.environment = environment  # type: ignore[assignment]
        fault = make_fault(name, zone="enrich", zone_kind=kind, drill="d1")  # type: ignore[arg-type]
        await scene.want(fault)
        assert await scene.look() is None
        told = await scene.said()
        assert told is not None
        assert said in told.refused
        assert not told.over

    run(main())


def test_where_nobody_has_said_otherwise_it_is_production() -> None:
    injection = Injection("enrich", "transform", CLOCK, process="p", places=("link",))

    async def main() -> None:
        injection.hear(msgspec.json.encode(LATENCY))
        assert injection.now("link") is None
        assert "in production" in injection.lease.refused

    run(main())


def test_what_the_supervisor_injects_and_what_cannot_be_read_is_nothing_to_the_zone() -> None:
    async def main() -> None:
        scene = Scene()
        kill = make_fault("kill", zone="enrich", zone_kind="transform", drill="d1")
        for value in (msgspec.json.encode(kill), b"{", b"", None):
            scene.injection.hear(value)
            assert scene.injection.lease.fault is None

    run(main())


def test_a_fault_strikes_where_it_belongs_and_what_it_struck_is_remembered() -> None:
    async def main() -> None:
        scene = Scene()
        poison = make_fault("poison_raise", zone="enrich", zone_kind="transform", drill="d1")
        await scene.want(poison)
        assert await scene.look() is None, "it is not the link's"
        assert scene.injection.now("worker") == poison

        scene.injection.strike("flights-000001", 4)
        assert scene.injection.struck("flights-000001") == "d1-1"
        assert scene.injection.struck("flights-000002") == ""
        assert not scene.injection.over("d1-1")
        scene.injection.forget("flights-000001")
        assert scene.injection.struck("flights-000001") == ""

        for number in range(2_000):
            scene.injection.strike(f"flights-{number:06}")
        assert scene.injection.struck("flights-000000") == "", "only the latest are remembered"

    run(main())
