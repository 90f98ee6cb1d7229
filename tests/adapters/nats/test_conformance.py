from __future__ import annotations

import asyncio

import pytest

from adapters.nats.world import NatsStore
from firedoor.adapters.nats.server import LocalServer
from firedoor.testing.streams_conformance import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_conforms(server: LocalServer, case: Case) -> None:
    # Where everything has to be given up, nobody wants to wait long for it.
    patience_s = 0.25 if "away" in case.name else 10.0
    store = NatsStore(server, write_s=patience_s, read_s=patience_s)

    async def run() -> None:
        await case.run(store)

    asyncio.run(run())
