"""Runners into which a drill injects something, in memory and in virtual time."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec

from data.runner_world import CLOCK, Work, World
from firedoor.adapters.memory import MemoryStreams
from firedoor.compose.injection import Injection
from firedoor.data.link_faults import LinkFaults
from firedoor.data.runner import Runner
from firedoor.drill.choosing import make_fault
from firedoor.drill.fault import Fault
from firedoor.drill.fault_kind import Place, ZoneKind
from firedoor.ports.stage import Handled, Journal
from firedoor.wire.envelope import Envelope

PLACES: tuple[Place, ...] = ("link", "source", "worker")


def injection_of(zone: str, kind: ZoneKind) -> Injection:
    made = Injection(zone, kind, CLOCK, process="here-1", places=PLACES)
    made.environment = "development"
    return made


def fault_of(name: str, zone: str = "mid", kind: ZoneKind = "transform", **asked: object) -> Fault:
    return make_fault(name, zone=zone, zone_kind=kind, drill="d1", **asked)  # type: ignore[arg-type]


def hear(injection: Injection, fault: Fault) -> None:
    """Have a fault be heard of once: it holds for its lease."""
    injection.hear(msgspec.json.encode(fault))
    assert injection.lease.refused == ""


def drilled(
    world: World, injection: Injection, work: Work | None = None, *, detaching: Iterable[str] = ()
) -> Runner:
    """Return the runner of ``mid``, behind a link that can fail."""
    return Runner(
        world.plan.zone("mid"),
        world.plan,
        LinkFaults(
            MemoryStreams(world.store, CLOCK),
            injection,
            CLOCK,
            detaching=frozenset(detaching),
        ),
        Work() if work is None else work,
        CLOCK,
        replica="here-1",
        chance=random.Random(world.seed),
        concurrency=2,
        faults=injection,
    )


class StruckWork(Work):
    """A stage that fails by its fault as long as there is one."""

    injection: Injection
    failure: Exception

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        if self.injection.now("worker") is not None:
            self.injection.strike(envelope.batch, 3)
            await CLOCK.wait(0.1)
            raise self.failure
        return await super().handle(envelope, payload, journal)


class MarkingWork(Work):
    """A stage in which the fault hits one batch, and changes nothing."""

    injection: Injection
    marks: str

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        if envelope.batch == self.marks:
            self.injection.strike(envelope.batch, 2)
        return await super().handle(envelope, payload, journal)
