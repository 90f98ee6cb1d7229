"""Drilled links of a simulated world: between its runners and the broker a drill injects faults."""

from __future__ import annotations

import random

import msgspec

from firedoor.compose.injection import Injection
from firedoor.data.link_faults import LinkFaults
from firedoor.drill.choosing import make_fault
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan
from firedoor.testing.drawing import FAULTS_S

NAMES = ("latency", "jitter", "drop", "duplicate", "reorder", "stream_full", "partition")
SHARED = frozenset(NAMES) - {"partition"}
INTENSITY_MAX_S = 3.0
LEASES_S = (1.0, 6.0)
EACH_S = (0.1, 1.0)
MET = 0.5
"""Share of the processes that meet a fault each time."""


class DrilledLinks:
    """The links of all processes of a world."""

    def __init__(self, plan: Plan, seed: int) -> None:
        """Draw everything from a seed."""
        self.injected: set[str] = set()
        """Faults that were injected, by name."""
        self._plan = plan
        self._seed = seed
        self._chance = random.Random(f"drills {seed}")  # noqa: S311 - not a secret
        self._injections: dict[str, Injection] = {}

    def lay(
        self, name: str, zone: str, streams: Streams, clock: Clock
    ) -> tuple[Streams, Injection]:
        """Return the broker as one process has it, and what is injected there."""
        kind = self._plan.zone(zone).kind
        injection = Injection(zone, kind, clock, process=name, places=("link",))
        injection.environment = "development"
        self._injections[name] = injection
        cut = {edge.name for edge in self._plan.outlets(zone) if edge.when_full == "detach"}
        return LinkFaults(streams, injection, clock, detaching=frozenset(cut)), injection

    def forget(self, name: str) -> None:
        """Take down the link of a process that has ended."""
        self._injections.pop(name, None)

    async def drill(self, clock: Clock) -> None:
        """Inject one fault after another, for as long as things go wrong."""
        number = 0
        while clock.now_s() < FAULTS_S:
            await clock.wait(self._chance.uniform(*EACH_S))
            number += 1
            for name in sorted(self._injections):
                if self._chance.random() < MET:
                    self._inject(self._injections[name], name.partition("-")[0], number)

    def _inject(self, injection: Injection, zone: str, number: int) -> None:
        """Inject a fault that is drawn; its drill is killed in the same moment."""
        kind = self._plan.zone(zone).kind
        name = self._chance.choice(
            [each for each in NAMES if kind != "sink" or each != "stream_full"]
        )
        timed = name in {"latency", "jitter", "reorder"}
        fault = make_fault(
            name,
            zone=zone,
            zone_kind=kind,
            drill="sim",
            number=number,
            intensity=self._chance.uniform(0.1, INTENSITY_MAX_S) if timed else None,
            share=self._chance.uniform(0.1, 1.0) if name in SHARED else None,
            seed=self._seed,
        )
        lease_s = self._chance.uniform(*LEASES_S)
        injection.hear(msgspec.json.encode(msgspec.structs.replace(fault, lease_s=lease_s)))
        if not injection.lease.refused:
            self.injected.add(name)
