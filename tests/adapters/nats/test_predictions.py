"""The log of predictions on a real broker that is killed while it is written."""

from __future__ import annotations

import asyncio

from adapters.nats.world import NatsStore, kill_server
from firedoor.adapters.nats.server import LocalServer
from firedoor.data.prediction_writer import PredictionWriter
from firedoor.testing.conformance.store import make_plan
from firedoor.wire.prediction import PredictionRecord, decode_chunk


def record(number: int) -> PredictionRecord:
    return PredictionRecord(
        id=f"{number:012x}-host7-{number:012x}", at_s=float(number), service="predict",
        gateway="host7", arm="champion", body=b'{"distance": %d}' % number, scores=(number / 7,),
    )  # fmt: skip


def test_a_broker_that_is_killed_under_load_loses_no_copy_and_holds_nobody_up(
    server: LocalServer,
) -> None:
    async def story() -> None:
        store = NatsStore(server, read_s=1.0)
        streams = await store.open(make_plan(predictions_bytes=64 * 2**20))
        writer = PredictionWriter(streams, clock=store.clock)
        longest_s = 0.0
        async with asyncio.TaskGroup() as group:
            group.create_task(writer.run())
            for number in range(3_000):
                began_s = store.clock.now_s()
                writer.put(record(number))
                longest_s = max(longest_s, store.clock.now_s() - began_s)
                if number == 1_500:
                    await asyncio.to_thread(kill_server, server)
                if number % 10 == 0:
                    await store.clock.wait(0.002)
            assert longest_s < 0.05
            assert writer.dropped == 0
            server.restart()
            async with asyncio.timeout(30):
                while writer.waiting:
                    await store.clock.wait(0.05)
            await writer.close()
        assert writer.written == 3_000
        read = [found async for chunk in streams.predictions(0.0) for found in decode_chunk(chunk)]
        assert list(dict.fromkeys(read)) == [record(number) for number in range(3_000)]
        await streams.close()

    asyncio.run(story())
