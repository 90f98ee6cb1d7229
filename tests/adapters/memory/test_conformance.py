"""Streams in memory keep every promise of the port, in virtual time."""

from __future__ import annotations

import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.spec.plan import Plan
from firedoor.testing.loop import VirtualClock, run
from firedoor.testing.streams_conformance import CASES, Case


class Broker:
    """A store in memory as the suite wants it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.ack_wait_s = 30.0
        self._store = MemoryStore(ack_wait_s=self.ack_wait_s)

    async def open(self, plan: Plan) -> MemoryStreams:
        streams = MemoryStreams(self._store, self.clock)
        await streams.declare(plan)
        return streams

    async def restart(self, *, kill: bool) -> None:
        del kill
        self._store.restart()

    async def stop(self) -> None:
        self._store.down()

    async def start(self) -> None:
        self._store.up()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(case: Case) -> None:
    run(case.run(Broker()))
