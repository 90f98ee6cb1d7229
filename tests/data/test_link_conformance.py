"""A link that could fail and does not, or is only slow, keeps every promise of the port."""

from __future__ import annotations

import msgspec
import pytest

from data.drilled_world import fault_of, injection_of
from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.data.link_faults import LinkFaults
from firedoor.drill.fault import LEASE_MAX_S
from firedoor.spec.plan import Plan
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.streams_conformance import CASES, Case


class Broker:
    """A store in memory at the end of a link, as the suite wants it."""

    def __init__(self, fault: str) -> None:
        self.clock = VirtualClock()
        self.ack_wait_s = 30.0
        self._store = MemoryStore(ack_wait_s=self.ack_wait_s)
        self._fault = fault

    async def open(self, plan: Plan) -> LinkFaults:
        injection = injection_of("clean", "transform")
        if self._fault:
            slow = msgspec.structs.replace(
                fault_of(self._fault, "clean", intensity=0.001), lease_s=LEASE_MAX_S
            )
            injection.hear(msgspec.json.encode(slow))
        streams = LinkFaults(MemoryStreams(self._store, self.clock), injection, self.clock)
        await streams.declare(plan)
        return streams

    async def restart(self, *, kill: bool) -> None:
        del kill
        self._store.restart()

    async def stop(self) -> None:
        self._store.down()

    async def start(self) -> None:
        self._store.up()


@pytest.mark.parametrize("fault", ["", "latency"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(case: Case, fault: str) -> None:
    run(case.run(Broker(fault)))
