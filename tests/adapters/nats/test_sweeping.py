"""A batch that is done and that a full disk kept is taken out of its inbox; no other one is."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from adapters.nats.world import NatsStore
from firedoor.adapters.nats.server import LocalServer
from firedoor.adapters.nats.streams import NatsStreams
from firedoor.testing.conformance.store import (
    SMALL,
    batch_name,
    client,
    make_plan,
    make_record,
    nothing_comes,
    publish,
    take,
    take_one,
)


def messages_of(server: LocalServer, streams: NatsStreams) -> Path:
    """Return where the broker keeps the batches of the inbox, apart from what is acknowledged."""
    (folder,) = server.folder.glob(f"nats/store/**/{streams.names.inbox(SMALL)}/msgs")
    return folder


def test_what_is_recorded_and_came_back_with_a_restart_goes_and_the_rest_stays(
    server: LocalServer, tmp_path: Path
) -> None:
    store = NatsStore(server)

    async def main() -> None:
        async with client(store, make_plan()) as streams:
            assert isinstance(streams, NatsStreams)
            for number in range(4):
                assert await publish(streams, number)
            await store.stop()
            messages = messages_of(server, streams)
            shutil.copytree(messages, tmp_path / "kept")
            await store.start()

            done, unrecorded, _in_hand = await take(store, streams.inbox(SMALL), 3)
            for delivery in (done, unrecorded):
                await delivery.ack()
            await streams.record(make_record("clean", batch_name(0)))
            assert await streams.sweep(SMALL) == 0, "what is acknowledged is gone"
            assert (await streams.depth(SMALL)).messages == 2

            # The broker could not write that it deleted them: they are there again.
            await store.stop()
            shutil.rmtree(messages)
            shutil.copytree(tmp_path / "kept", messages)
            await store.start()
            assert (await streams.depth(SMALL)).messages == 4

            assert await streams.sweep(SMALL) == 1, "the one that is recorded"
            assert await streams.sweep(SMALL) == 0
            assert (await streams.depth(SMALL)).messages == 3
            left = await take(store, streams.inbox(SMALL), 2, within_s=15)
            assert {one.envelope.batch for one in left} == {batch_name(2), batch_name(3)}

    asyncio.run(main())


def test_an_inbox_that_flows_is_left_alone(server: LocalServer) -> None:
    store = NatsStore(server)

    async def main() -> None:
        async with client(store, make_plan()) as streams:
            assert isinstance(streams, NatsStreams)
            assert await streams.sweep(SMALL) == 0
            await publish(streams, 0)
            assert await streams.sweep(SMALL) == 0
            delivery = await take_one(store, streams.inbox(SMALL))
            await streams.record(make_record("clean", batch_name(0)))
            assert await streams.sweep(SMALL) == 0, "it is still to be acknowledged"
            await delivery.ack()
            await publish(streams, 1)
            assert await streams.sweep(SMALL) == 0
            assert (await take_one(store, streams.inbox(SMALL))).envelope.batch == batch_name(1)
            await nothing_comes(streams.inbox(SMALL))

    asyncio.run(main())
