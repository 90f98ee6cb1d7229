"""What a gateway does to itself for a drill: from the drill's word on, until its lease is over."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from msgspec.structs import replace

from compute.serving.kit import plan
from firedoor.adapters.memory.store import MemoryStore
from firedoor.adapters.memory.streams import MemoryStreams
from firedoor.compose.drilled_service import DrilledService
from firedoor.compose.gateway_faults import GatewayFaults
from firedoor.compose.slow_link import Delay
from firedoor.compose.store_link import StoreLink
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault, Injected
from firedoor.drill.permission import Environment
from firedoor.gateway.features import FeatureLookups
from firedoor.ports.variants import VariantFacts
from firedoor.spec.service_plan import ServicePlan
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.serving import Ask, Form
from gateway.scripted_fetcher import ScriptedFetcher, weather

CLOCK = VirtualClock()
LOOK_S = 0.2
"""Between two looks of a gateway's feed."""
RENEW_S = 5.0
DIGEST = "1" * 64


@dataclass(eq=False)
class Version:
    """A version that is held, and what is done to its way."""

    digest: str = DIGEST
    delay_s: Delay | None = None
    facts: VariantFacts = field(default_factory=lambda: VariantFacts(state="ready"))

    def slow(self, delay_s: Delay | None) -> None:
        self.delay_s = delay_s


class Gateway:
    """A gateway's faults, and all that they reach."""

    def __init__(self, environment: Environment = "development", digest: str = DIGEST) -> None:
        service: ServicePlan = replace(plan(), name="predict")
        self.store, self.clock = MemoryStore(), CLOCK
        self.streams = MemoryStreams(self.store, CLOCK)
        self.drilled, self.version = DrilledService(), Version()
        self.drilled.held(self.version)
        self.deaf: list[bool] = []
        self.absolved: list[str] = []
        self.faults = GatewayFaults(
            {"predict": service}, {"predict": self.drilled}, process="g",
            environment=lambda: environment, champion=lambda _: digest,
            deafen=self.deafen,
            absolve=lambda _, digest: self.absolved.append(digest), clock=CLOCK,
        )  # fmt: skip

    def deafen(self, _service: str) -> Callable[[], None]:
        self.deaf.append(True)
        return lambda: self.deaf.append(False)

    def look_up(self) -> FeatureLookups:
        """Have the service look features up."""
        group = weather(fresh_s=0, stale_max_s=3_600)
        link = StoreLink(ScriptedFetcher())
        lookups = FeatureLookups(
            [group], {group.name: link}, clock=CLOCK, killed=lambda _: False, dice=random.Random(7)
        )
        self.drilled.looks_up(lookups, [link])
        return lookups

    async def drill(self, one: Fault, renewals: int = 0) -> None:
        """Say that a fault is wanted."""
        await self.streams.beat(
            "fault.predict", msgspec.json.encode(replace(one, renewal=renewals))
        )

    async def said(self) -> Injected:
        told = await self.streams.beats("injected.predict.")
        return msgspec.json.decode(told["injected.predict.g"], type=Injected)

    async def pass_s(self, seconds: float) -> None:
        """Let time pass, in which the gateway looks as it does."""
        until_s = CLOCK.now_s() + seconds
        while CLOCK.now_s() < until_s:
            await self.faults.look(self.streams)
            await CLOCK.wait(LOOK_S)


def fault(name: str, **more: object) -> Fault:
    return make_fault(name, zone="predict", zone_kind="service", drill="d", **more)  # type: ignore[arg-type]


def during(story: Callable[[Gateway], Awaitable[None]], **more: object) -> None:
    async def main() -> None:
        gateway = Gateway(**more)  # type: ignore[arg-type]
        await story(gateway)

    run(main())


def asked(gateway: Gateway, body: bytes = b"{}") -> float:
    """Return by how much a request takes longer."""
    delay_s = gateway.version.delay_s
    return 0.0 if delay_s is None else delay_s(Ask(Form.ROWS, body))


def test_a_fault_begins_within_a_second_is_counted_and_ends_when_the_drill_takes_it_back() -> None:
    async def story(gateway: Gateway) -> None:
        assert gateway.version.delay_s is None, "nothing stands in the way of requests"
        await gateway.drill(fault("latency", intensity=0.3))
        await gateway.pass_s(1)
        assert [asked(gateway), asked(gateway)] == [0.3, 0.3]
        late = Version()
        gateway.drilled.held(late)
        assert late.delay_s is not None, "versions that come have it as well"
        await gateway.pass_s(1)
        said = await gateway.said()
        assert (said.id, said.name, said.hits, said.refused) == ("d-1", "latency", 2, "")
        await gateway.drill(replace(fault("latency", intensity=0.3), lease_s=0.0), renewals=1)
        await gateway.pass_s(1)
        assert gateway.version.delay_s is late.delay_s is None
        assert (await gateway.said()).over

    during(story)


@pytest.mark.parametrize("broker", ["up", "down"])
def test_a_fault_whose_drill_is_killed_is_over_by_the_end_of_its_lease(broker: str) -> None:
    async def story(gateway: Gateway) -> None:
        for renewal in range(3):
            await gateway.drill(fault("latency"), renewal)
            await gateway.pass_s(RENEW_S)
        assert gateway.version.delay_s is not None, "renewed, it goes on"
        if broker == "down":
            gateway.store.down("it is gone")
            await CLOCK.wait(fault("latency").lease_s + 0.1)  # and nobody looks any more
        else:
            await gateway.pass_s(fault("latency").lease_s)
        assert gateway.version.delay_s is None

    during(story)


def test_a_share_of_requests_is_hit_always_the_same_ones() -> None:
    async def story(gateway: Gateway) -> None:
        await gateway.drill(fault("latency", share=0.3))
        await gateway.pass_s(1)
        first = [asked(gateway, b"%d" % number) for number in range(400)]
        assert 80 < sum(delay_s > 0 for delay_s in first) < 160
        assert first == [asked(gateway, b"%d" % number) for number in range(400)]

    during(story)


def test_features_are_away_or_old_and_as_they_were_when_that_is_over() -> None:
    async def story(gateway: Gateway) -> None:
        lookups = gateway.look_up()

        async def quality() -> str:
            found = await lookups.look_up({"origin": ["EWR"]}, 1, CLOCK.now_s() + 1)
            return found.said

        assert await quality() == ""
        await gateway.drill(fault("features_down"))
        await gateway.pass_s(1)
        assert (await quality()).startswith("weather=cached")
        assert "its store is away (a drill: d-1)" in lookups.facts()["weather"].because
        await gateway.drill(replace(fault("features_down"), lease_s=0.0), 1)
        await gateway.pass_s(1)
        assert await quality() == ""

        stale = replace(fault("stale_features", intensity=600.0), id="d-2")
        await gateway.drill(stale)
        await gateway.pass_s(1)
        assert await quality() == "weather=cached:600s"
        await gateway.drill(replace(stale, id="d-3", intensity=7_200.0))
        await gateway.pass_s(1)
        assert await quality() in {"weather=default", "weather=missing"}, "older than it may be"
        await gateway.drill(replace(stale, id="d-3", lease_s=0.0), 1)
        await gateway.pass_s(1)
        assert await quality() == "", "what was fetched meanwhile is as old as it is"
        await lookups.close()

    during(story)


def test_flags_are_not_heard_of_until_it_is_over() -> None:
    async def story(gateway: Gateway) -> None:
        await gateway.drill(fault("flags_down"))
        await gateway.pass_s(1)
        assert gateway.deaf == [True]
        assert (await gateway.said()).hits == 1
        await gateway.pass_s(15)
        assert gateway.deaf == [True, False]

    during(story)


def test_a_fault_of_the_model_is_done_to_the_version_that_answers_and_forgotten_with_it() -> None:
    async def story(gateway: Gateway) -> None:
        affliction = gateway.drilled.affliction(DIGEST)
        await gateway.drill(fault("model_nan", share=0.5))
        await gateway.pass_s(1)
        assert affliction.fault is not None
        assert affliction.fault.name == "model_nan"
        assert gateway.drilled.affliction("2" * 64).fault is None
        other = replace(fault("model_slow"), id="d-2")
        await gateway.drill(other)
        await gateway.pass_s(1)
        assert gateway.drilled.affliction(DIGEST).fault == other
        await gateway.pass_s(15)
        assert affliction.fault is None
        assert gateway.absolved == [DIGEST, DIGEST], "one after the other: each was ended"

    during(story)


def test_what_cannot_be_done_is_refused_and_says_what_to_do() -> None:
    async def no_features(gateway: Gateway) -> None:
        await gateway.drill(fault("features_down"))
        await gateway.pass_s(1)
        assert "looks no features up: choose a service that does" in (await gateway.said()).refused

    async def no_version(gateway: Gateway) -> None:
        await gateway.drill(fault("model_nan"))
        await gateway.pass_s(1)
        assert "no version that answers" in (await gateway.said()).refused

    async def in_production(gateway: Gateway) -> None:
        await gateway.drill(fault("latency"))
        await gateway.pass_s(1)
        assert "--allow-production" in (await gateway.said()).refused
        assert gateway.version.delay_s is None

    during(no_features)
    during(no_version, digest="")
    during(in_production, environment="production")


def test_what_supervisors_do_is_none_of_a_gateways_business() -> None:
    async def story(gateway: Gateway) -> None:
        await gateway.drill(fault("kill"))
        await gateway.pass_s(1)
        assert await gateway.streams.beats("injected.") == {}

    during(story)


def test_a_collector_is_away_for_a_gateway_that_exports_and_refused_by_one_that_does_not() -> None:
    async def story(gateway: Gateway) -> None:
        await gateway.drill(fault("collector_down"))
        await gateway.pass_s(1)
        assert "predict has none here" in (await gateway.said()).refused
        assert gateway.faults.now("exporter") is None

        gateway.faults.export()
        again = replace(fault("collector_down"), id="d-2")
        await gateway.drill(again)
        await gateway.pass_s(1)
        assert gateway.faults.now("exporter") == again
        assert not gateway.faults.over("d-2")
        gateway.faults.hit()
        await gateway.pass_s(1)
        assert (await gateway.said()).hits == 1
        await gateway.pass_s(15)
        assert gateway.faults.now("exporter") is None
        assert gateway.faults.over("d-2")

    during(story)
