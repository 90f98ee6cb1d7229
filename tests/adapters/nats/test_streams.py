from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.nats.world import PIPELINE, NatsStore, kill_server
from firedoor.adapters.clock import SystemClock
from firedoor.adapters.nats import letters
from firedoor.adapters.nats.asked import Again, Asked
from firedoor.adapters.nats.keeping import store_next
from firedoor.adapters.nats.link import Link
from firedoor.adapters.nats.naming import Names
from firedoor.adapters.nats.server import LocalServer
from firedoor.adapters.nats.session import Session
from firedoor.adapters.nats.streams import NatsStreams, connect
from firedoor.errors import DeadLettersFull, FrameRefused, StoreRefused, StreamsUnavailable
from firedoor.testing.conformance.store import (
    LARGE,
    SMALL,
    batch_name,
    make_attempts,
    make_dead,
    make_plan,
    make_record,
    nothing_comes,
    publish,
    take,
    take_one,
)
from firedoor.wire.envelope import PAYLOAD_MAX, Damaged
from firedoor.wire.records import DeadGroup

NAMES = Names(PIPELINE)
Work = Callable[[NatsStore, NatsStreams], Coroutine[object, object, None]]


def run(server: LocalServer, work: Work, *, write_s: float = 15.0, read_s: float = 5.0) -> None:
    """Do something with a client that has declared the plan."""

    async def within() -> None:
        store = NatsStore(server, write_s=write_s, read_s=read_s)
        streams = await store.connect()
        try:
            await streams.declare(make_plan())
            await work(store, streams)
        finally:
            await streams.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a closed client leaves tasks"

    asyncio.run(within())


# ---- the connection


def test_a_client_that_overhears_that_its_time_is_over_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overheard: list[int] = []

    async def connect_for_ever(*_: object, **__: object) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                overheard.append(1)
                if len(overheard) > 1:
                    raise

    async def close(_: object) -> None:
        """Close what was never open."""

    monkeypatch.setattr(Session, "connect", connect_for_ever)
    monkeypatch.setattr(Session, "close", close)
    link = Link("nats://127.0.0.1:1", user=None, password=None, zone=None, clock=SystemClock())

    async def within() -> None:
        async with asyncio.timeout(30):
            with pytest.raises(StreamsUnavailable):
                await link.open(0.05)

    asyncio.run(within())
    assert len(overheard) == 2


def test_a_wrong_password_is_said_at_once(server: LocalServer) -> None:
    async def within() -> None:
        with pytest.raises(StoreRefused, match="wrong password") as caught:
            await connect(server.url, pipeline=PIPELINE, user="admin", password="guessed")  # noqa: S106
        assert "guessed" not in str(caught.value)

    asyncio.run(within())


def test_nobody_there_is_said_with_what_to_do(server: LocalServer) -> None:
    endpoint = server.endpoint()
    server.stop()

    async def within() -> None:
        with pytest.raises(StreamsUnavailable, match="firedoor doctor"):
            await connect(
                endpoint.url,
                pipeline=PIPELINE,
                user=endpoint.user,
                password=endpoint.password,
                open_s=0.5,
            )
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(within())


def test_a_closed_client_says_so(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        inbox = streams.inbox(SMALL)
        await streams.close()
        await streams.close()
        with pytest.raises(StreamsUnavailable, match="was closed"):
            await inbox.fetch(1, 1)
        with pytest.raises(StreamsUnavailable, match="was closed"):
            await publish(streams, 1)

    run(server, work)


# ---- losing the broker


def test_what_is_published_while_the_server_is_down_is_stored_once(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        kill_server(server)
        async with asyncio.TaskGroup() as group:
            sent = group.create_task(publish(streams, 1))
            await asyncio.sleep(0.3)
            assert not sent.done()
            server.restart()
        assert (await streams.depth(SMALL)).messages == 1
        assert not await publish(streams, 1)

    run(server, work)


@pytest.mark.parametrize("seed", range(3))
def test_kills_in_the_middle_lose_and_double_nothing(server: LocalServer, seed: int) -> None:
    """Publish, fetch, record, acknowledge, while the server dies four times."""
    batches = 120
    chance = random.Random(seed)
    recorded: list[str] = []

    async def write(streams: NatsStreams) -> None:
        for number in range(batches):
            await publish(streams, number, bytes(20_000), edge=LARGE)

    async def read(streams: NatsStreams) -> None:
        while len(recorded) < batches:
            for delivery in await streams.inbox(LARGE).fetch(8, 0.5):
                batch = delivery.envelope.batch
                if await streams.recorded("store", batch) is None:
                    await streams.record(make_record("store", batch))
                    recorded.append(batch)
                await delivery.ack()

    async def kill() -> None:
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.02, 0.25))
            kill_server(server)
            await asyncio.to_thread(server.restart)

    async def work(store: NatsStore, streams: NatsStreams) -> None:
        reader = await store.connect()
        async with asyncio.TaskGroup() as group:
            group.create_task(write(streams))
            group.create_task(read(reader))
            group.create_task(kill())
        assert sorted(recorded) == [batch_name(number) for number in range(batches)]
        assert [r.batch async for r in streams.records("store")] == recorded
        await nothing_comes(reader.inbox(LARGE), for_s=store.ack_wait_s + 0.5)
        assert (await streams.depth(LARGE)).messages == 0
        await reader.close()

    run(server, work)


def test_an_acknowledgement_of_a_forgotten_delivery_holds(server: LocalServer) -> None:
    """A server killed right after a delivery has forgotten it, and answers no acknowledgement."""

    async def work(store: NatsStore, streams: NatsStreams) -> None:
        for number in range(5):
            await publish(streams, number)
        held = await take(store, streams.inbox(SMALL), 5)
        await store.restart(kill=True)
        for delivery in held:
            await delivery.ack()
        await store.restart(kill=True)
        assert (await streams.depth(SMALL)).messages == 0
        await nothing_comes(streams.inbox(SMALL), for_s=store.ack_wait_s + 0.5)

    run(server, work)


def test_a_fetch_that_is_under_way_outlives_a_restart(server: LocalServer) -> None:
    async def work(store: NatsStore, streams: NatsStreams) -> None:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(streams.inbox(SMALL).fetch(1, 10))
            await asyncio.sleep(0.2)
            await store.restart(kill=True)
            await publish(streams, 1)
        assert [delivery.envelope.batch for delivery in waiting.result()] == [batch_name(1)]

    run(server, work)


def test_an_inbox_that_nobody_declared_is_not_there(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        with pytest.raises(StreamsUnavailable, match="is the pipeline declared"):
            await streams.inbox("intake:store").fetch(1, 0.2)
        with pytest.raises(StoreRefused, match="is the pipeline declared"):
            await streams.depth("intake:store")
        with pytest.raises(StreamsUnavailable, match="was not declared"):
            await publish(streams, 1, edge="intake:store")

    run(server, work, write_s=0.3, read_s=0.3)


def test_what_no_fetch_took_comes_at_once_after_a_close(server: LocalServer) -> None:
    async def work(store: NatsStore, streams: NatsStreams) -> None:
        reader = await store.connect()
        inbox = reader.inbox(SMALL)
        waiting = asyncio.ensure_future(inbox.fetch(1, 5))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await publish(streams, 1)
        await asyncio.sleep(0.1)
        await reader.close()
        await take_one(store, streams.inbox(SMALL), within_s=store.ack_wait_s / 2)

    run(server, work)


def test_what_a_dead_reader_held_is_released(server: LocalServer) -> None:
    async def work(store: NatsStore, streams: NatsStreams) -> None:
        reader = await store.connect()
        for number in range(6):
            await publish(streams, number)
        held = await take(store, reader.inbox(SMALL), 5)
        await held[2].ack()
        assert await streams.release(SMALL) == 4
        came = await take(store, streams.inbox(SMALL), 5, within_s=store.ack_wait_s / 2)
        counts = sorted((d.envelope.batch, d.deliveries) for d in came)
        assert counts == [(batch_name(n), 1 if n == 5 else 2) for n in (0, 1, 3, 4, 5)]
        for delivery in came:
            await delivery.ack()
        assert await streams.release(SMALL) == 0
        await reader.close()

    run(server, work)


# ---- who may what


def test_a_zone_may_do_its_own_work(server: LocalServer) -> None:
    async def work(store: NatsStore, streams: NatsStreams) -> None:
        await publish(streams, 1)
        clean = await store.connect("clean")
        delivery = await take_one(store, clean.inbox(SMALL))
        await delivery.working()
        assert await publish(clean, 1, edge=LARGE)
        assert await clean.bury(make_dead(batch_name(1), b"x"), b"x")
        await clean.note_attempts("clean", batch_name(1), make_attempts(crash=1))
        assert await clean.record(make_record("clean", batch_name(1)))
        await clean.note_attempts("clean", batch_name(1), None)
        await delivery.ack()
        assert await clean.last_record("clean") is not None
        assert (await clean.depth(SMALL)).messages == 0
        assert (await clean.depth(LARGE)).messages == 1
        assert await clean.holds(LARGE, batch_name(1))
        assert await clean.recorded("store", batch_name(1)) is None
        assert await clean.get("order.clean") is None
        await clean.put("detached.clean.store", b"{}")
        assert list(await clean.keys("detached.")) == ["detached.clean.store"]
        await clean.beat("zone.clean.host-1", b"here")
        assert await clean.claim("probe.clean", b"mine", None)
        await clean.inbox(SMALL).pause(600)
        await clean.inbox(SMALL).pause(0)
        await store.restart(kill=True)
        await clean.beat("zone.clean.host-1", b"here")
        await clean.close()

    run(server, work)


def test_a_zone_may_not_touch_what_is_others(server: LocalServer) -> None:
    async def work(store: NatsStore, streams: NatsStreams) -> None:
        await publish(streams, 1)
        await streams.bury(make_dead(batch_name(1), b"x", zone="store"), b"x")
        clean = await store.connect("clean")
        entry = make_dead(batch_name(2), b"x", zone="store")
        attempts: dict[str, Awaitable[object]] = {
            "publish to its own inbox": publish(clean, 2, edge=SMALL),
            "read another's inbox": clean.inbox(LARGE).fetch(1, 1),
            "record for another": clean.record(make_record("store", batch_name(1))),
            "bury for another": clean.bury(entry, b"x"),
            "read another's dead letters": clean.dead_rows("store", batch_name(1)),
            "change dead letters": clean.rebury(replace(entry, zone="clean", rows=0), b""),
            "give orders": clean.put("order.store", b"{}"),
            "set flags": clean.swap("flags", b"{}", None),
            "forget flags": clean.forget("flags"),
            "beat for another": clean.beat("zone.store.host-1", b"x"),
            "claim for another": clean.claim("probe.store", b"x", None),
            "pause another's inbox": clean.inbox(LARGE).pause(1),
            "declare": clean.declare(make_plan()),
            "delete": clean.link.api(f"STREAM.DELETE.{NAMES.records}", answer=dict),
        }
        for what, attempt in attempts.items():
            with pytest.raises(StoreRefused, match="zone-clean may not use"):
                print(what, await attempt)
        # Neither may it hear what others are answered.
        asked = clean.link.expect("nothing")
        await clean.link._client.subscribe("_INBOX.admin.>", cb=clean.link._on_message)
        assert await streams.get("plan") is None
        assert asked.answers.empty()
        assert (await streams.depth(SMALL)).messages == 1
        await clean.close()

    # Far more patience than a refusal takes: one that is not noticed fails by the test's time.
    run(server, work, write_s=600, read_s=600)


# ---- what it keeps


def test_a_payload_above_the_most_is_refused_before_it_is_sent(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        with pytest.raises(FrameRefused, match="lower batch_rows="):
            await publish(streams, 1, bytes(PAYLOAD_MAX + 1), edge=LARGE)
        huge = bytes(2 * PAYLOAD_MAX)
        with pytest.raises(DeadLettersFull, match="lower batch_rows="):
            await streams.bury(make_dead(batch_name(1), huge), huge)
        assert [entry async for entry in streams.dead()] == []

    run(server, work)


def test_a_swap_whose_answer_is_lost_took_place_if_it_did(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(store: NatsStore, streams: NatsStreams) -> None:
        other, send = await store.connect(), streams.link.send

        async def lose(asked: Asked, payload: bytes, **more: Any) -> str:
            await send(asked, payload, **more)
            await asked.next(5)
            if payload == b"two":
                assert await other.swap("flags", b"three", payload)
            monkeypatch.setattr(streams.link, "send", send)
            message = "the answer is lost"
            raise Again(message)

        async def store_and_lose(value: bytes, after: int) -> bool:
            monkeypatch.setattr(streams.link, "send", lose)
            subject = NAMES.value("flags")
            return await store_next(streams.link, NAMES.values, subject, value, after=after)

        assert await store_and_lose(b"one", 0)
        assert await streams.get("flags") == b"one"
        with pytest.raises(StreamsUnavailable, match="read it again"):
            await store_and_lose(b"two", 1)
        assert await streams.get("flags") == b"three"
        await other.close()

    run(server, work)


def test_entries_too_large_for_a_header_are_kept_and_listed(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = b"rows"
    groups = tuple(
        DeadGroup(code="c", signature=f"s{n}", rows=1, first_row=n, message=str(n**40))
        for n in range(40)
    )
    entries = [
        replace(make_dead(batch_name(number), rows), groups=groups if number % 2 else ())
        for number in range(5)
    ]
    # 500 bytes of header instead of 48 KiB: what does not fit stands before the rows.
    monkeypatch.setattr(letters, "HEADER_MAX", 500)
    monkeypatch.setattr(letters, "PAGE", 2)

    async def work(_: NatsStore, streams: NatsStreams) -> None:
        for entry in entries:
            assert await streams.bury(entry, rows)
        assert [entry async for entry in streams.dead()] == entries
        for entry in entries:
            assert await streams.dead_rows("clean", entry.batch) == (entry, rows)

    run(server, work)


def test_dead_rows_that_were_changed_on_the_disk_are_not_handed_out(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        await streams.bury(replace(make_dead(batch_name(1), b"rows"), crc32=1), b"rows")
        with pytest.raises(Damaged, match=batch_name(1)):
            await streams.dead_rows("clean", batch_name(1))

    run(server, work)


def test_lists_do_not_load_dead_rows(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        for number in range(8):
            rows = bytes(100_000)
            await streams.bury(make_dead(batch_name(number), rows), rows)
        before = streams.link._client.stats["in_bytes"]
        assert len([entry async for entry in streams.dead()]) == 8
        assert streams.link._client.stats["in_bytes"] - before < 50_000
        consumers = await streams.link.api(f"STREAM.INFO.{NAMES.dead}", answer=dict)
        assert consumers["state"]["consumer_count"] == 0

    run(server, work)


def test_records_past_retention_go_but_the_last_of_each_zone(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        for zone, number in (("intake", 1), ("clean", 1), ("clean", 2), ("clean", 3)):
            await streams.record(make_record(zone, batch_name(number)))
        await streams.declare(make_plan())
        assert len([record async for record in streams.records()]) == 4
        await streams.declare(replace(make_plan(), retention_days=1e-9))
        kept = [(record.zone, record.batch) async for record in streams.records()]
        assert kept == [("intake", batch_name(1)), ("clean", batch_name(3))]
        last = await streams.last_record("intake")
        assert last is not None

    run(server, work)


def test_bounds_may_be_lowered_and_drop_nothing(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        for number in range(10):
            await publish(streams, number, bytes(50_000))
        await streams.declare(make_plan(small_bytes=100_000))
        depth = await streams.depth(SMALL)
        assert (depth.messages, depth.bytes_max) == (10, 100_000)

    run(server, work)


def test_streams_of_another_store_version_are_refused(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        config = {
            "name": NAMES.inbox("old:edge"),
            "subjects": [f"fd.{PIPELINE}.in.old.edge.*"],
            "metadata": {"firedoor_store": "0"},
        }
        verb = f"STREAM.CREATE.{config['name']}"
        await streams.link.api(verb, config, answer=dict)
        with pytest.raises(StoreRefused, match="store version 0"):
            await streams.declare(make_plan())

    run(server, work)


def test_pipelines_share_a_broker_without_seeing_each_other(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        await publish(streams, 1)
        endpoint = server.endpoint()
        other = await connect(
            endpoint.url, pipeline="conform", user=endpoint.user, password=endpoint.password
        )
        await other.declare(replace(make_plan(edges=(LARGE,)), pipeline="conform"))
        await other.record(make_record("clean", batch_name(1)))
        assert await streams.recorded("clean", batch_name(1)) is None
        assert (await streams.depth(SMALL)).messages == 1
        await other.close()

    run(server, work)


def test_a_message_that_firedoor_did_not_publish_is_damaged(server: LocalServer) -> None:
    async def work(_: NatsStore, streams: NatsStreams) -> None:
        await streams.link._client.publish(NAMES.batch(SMALL, batch_name(1)), b"hello")
        (delivery,) = await streams.inbox(SMALL).fetch(1, 5)
        with pytest.raises(Damaged, match="no envelope"):
            print(delivery.envelope)

    run(server, work)
