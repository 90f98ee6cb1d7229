"""Inboxes: at least once, bounded, each batch to one reader at a time."""

from __future__ import annotations

import asyncio
import contextlib

from firedoor.errors import StoreRefused, StreamFull
from firedoor.ports.streams import Streams
from firedoor.testing.conformance.store import (
    CHUNK_BYTES,
    LARGE,
    MOMENT_S,
    SMALL,
    SMALL_BYTES,
    SOON_S,
    Store,
    batch_name,
    client,
    left,
    make_envelope,
    make_plan,
    nothing_comes,
    publish,
    raising,
    take,
    take_one,
)
from firedoor.wire.envelope import PAYLOAD_MAX, Damaged

MANY = 60
PAUSE_S = 2.0
LONG_S = 600.0


async def a_batch_comes_as_it_was_published(store: Store) -> None:
    """Envelope, payload and edge are the publisher's; the first delivery is number 1."""
    payload = bytes(range(256))
    envelope = make_envelope("intake-000007~r1@clean", payload)
    async with client(store) as streams:
        assert await streams.publish(SMALL, envelope, payload)
        delivery = await take_one(store, streams.inbox(SMALL))
        assert delivery.envelope == envelope
        assert delivery.payload == payload
        assert delivery.edge == SMALL
        assert delivery.deliveries == 1


async def the_largest_payload_comes_whole(store: Store) -> None:
    """4 MiB that no compression helps with."""
    payload = bytes(range(251)) * (PAYLOAD_MAX // 251 + 1)
    payload = payload[:PAYLOAD_MAX]
    async with client(store) as streams:
        assert await publish(streams, 1, payload, edge=LARGE)
        delivery = await take_one(store, streams.inbox(LARGE))
        assert delivery.payload == payload
        assert delivery.envelope.rows > 0


async def every_batch_comes_in_whatever_order(store: Store) -> None:
    """Nothing is lost on the way of many; their order is not promised."""
    async with client(store) as streams:
        for number in range(MANY):
            assert await publish(streams, number)
        came = await take(store, streams.inbox(SMALL), MANY)
        assert sorted(d.envelope.batch for d in came) == [batch_name(n) for n in range(MANY)]
        await nothing_comes(streams.inbox(SMALL))


async def an_empty_inbox_gives_nothing_and_does_not_fail(store: Store) -> None:
    """``fetch`` returns [] when its wait is over."""
    async with client(store) as streams:
        began_s = store.clock.now_s()
        assert await streams.inbox(SMALL).fetch(4, MOMENT_S) == []
        assert store.clock.now_s() - began_s < SOON_S


async def a_fetch_gives_no_more_than_it_was_asked_for(store: Store) -> None:
    """The rest stays for other readers."""
    async with client(store) as streams, client(store) as other:
        for number in range(3):
            await publish(streams, number)
        taken = await take(store, streams.inbox(SMALL), 2)
        taken += await take(store, other.inbox(SMALL), 1)
        assert len({delivery.envelope.batch for delivery in taken}) == len(taken)


async def a_waiting_fetch_gets_what_is_published_meanwhile(store: Store) -> None:
    """It need not be called again."""
    async with client(store) as streams, asyncio.TaskGroup() as group:
        waiting = group.create_task(streams.inbox(SMALL).fetch(1, SOON_S))
        await store.clock.wait(MOMENT_S)
        await publish(streams, 1)
        assert [delivery.envelope.batch for delivery in await waiting] == [batch_name(1)]


async def a_batch_that_is_in_the_inbox_is_not_put_there_twice(store: Store) -> None:
    """``publish`` says False, and the batch comes once."""
    async with client(store) as streams:
        assert await publish(streams, 1)
        assert not await publish(streams, 1)
        assert (await streams.depth(SMALL)).messages == 1
        await (await take_one(store, streams.inbox(SMALL))).ack()
        await nothing_comes(streams.inbox(SMALL))


async def a_batch_goes_to_several_edges_under_one_id(store: Store) -> None:
    """De-duplication is by edge."""
    async with client(store) as streams:
        for edge in (SMALL, LARGE):
            assert await publish(streams, 1, edge=edge)
        for edge in (SMALL, LARGE):
            delivery = await take_one(store, streams.inbox(edge))
            assert (delivery.edge, delivery.envelope.batch) == (edge, batch_name(1))


async def what_is_damaged_says_so_and_can_be_given_back(store: Store) -> None:
    """The envelope does not fit the payload: ``Damaged``, and the batch stays."""
    async with client(store) as streams:
        await streams.publish(SMALL, make_envelope(batch_name(1), b"sent"), b"came")
        (delivery,) = await streams.inbox(SMALL).fetch(1, SOON_S)
        with raising(Damaged):
            _ = delivery.envelope
        await delivery.give_back()
        (again,) = await streams.inbox(SMALL).fetch(1, SOON_S)
        assert again.deliveries == delivery.deliveries + 1


# ---- acknowledging


async def what_is_acknowledged_is_out_for_good(store: Store) -> None:
    """The inbox is empty, and nothing comes after the wait for an acknowledgement."""
    async with client(store) as streams:
        await publish(streams, 1)
        await (await take_one(store, streams.inbox(SMALL))).ack()
        await left(store, streams, 0)
        await nothing_comes(streams.inbox(SMALL), for_s=store.ack_wait_s + MOMENT_S)


async def acknowledging_again_harms_nothing(store: Store) -> None:
    """A reader that does not know whether its acknowledgement arrived repeats it."""
    async with client(store) as streams:
        await publish(streams, 1)
        await publish(streams, 2)
        first, _ = await take(store, streams.inbox(SMALL), 2)
        await first.ack()
        await first.ack()
        await left(store, streams, 1)


async def what_nobody_acknowledged_comes_again(store: Store) -> None:
    """After the wait, to another reader too, and the count of deliveries says so."""
    async with client(store) as streams, client(store) as other:
        await publish(streams, 1)
        first = await take_one(store, streams.inbox(SMALL))
        again = await take_one(store, other.inbox(SMALL), within_s=store.ack_wait_s + SOON_S)
        assert (first.deliveries, again.deliveries) == (1, 2)
        assert again.payload == first.payload
        await again.ack()
        await left(store, streams, 0)


async def who_says_it_is_working_keeps_its_batch(store: Store) -> None:
    """For longer than an acknowledgement is waited for."""
    async with client(store) as streams, client(store) as other:
        await publish(streams, 1)
        held = await take_one(store, streams.inbox(SMALL))
        for _ in range(6):
            await held.working()
            await nothing_comes(other.inbox(SMALL), for_s=store.ack_wait_s / 3)
        await held.ack()
        await left(store, streams, 0)


async def what_is_given_back_comes_at_once(store: Store) -> None:
    """Before the wait for an acknowledgement is over."""
    async with client(store) as streams:
        await publish(streams, 1)
        await (await take_one(store, streams.inbox(SMALL))).give_back()
        again = await take_one(store, streams.inbox(SMALL), within_s=store.ack_wait_s / 2)
        assert again.deliveries == len(("first", "again"))


async def what_is_given_back_with_a_delay_comes_after_it(store: Store) -> None:
    """Not before, and not much later."""
    delay_s = 1.0
    async with client(store) as streams:
        await publish(streams, 1)
        await (await take_one(store, streams.inbox(SMALL))).give_back(delay_s)
        await nothing_comes(streams.inbox(SMALL), for_s=delay_s / 2)
        again = await take_one(store, streams.inbox(SMALL))
        await again.ack()
        await nothing_comes(streams.inbox(SMALL))


async def a_paused_inbox_gives_nobody_anything_until_the_pause_is_over(store: Store) -> None:
    """By itself, though who asked for it is gone; what is out can be acknowledged meanwhile."""
    async with client(store) as streams:
        inbox = streams.inbox(SMALL)
        for number in range(2):
            await publish(streams, number)
        out = await take_one(store, inbox)
        began_s = store.clock.now_s()
        async with client(store) as other:
            await other.inbox(SMALL).pause(PAUSE_S)
        await store.clock.wait(MOMENT_S)
        await nothing_comes(inbox)
        await out.ack()
        await left(store, streams, 1)
        await take_one(store, inbox, within_s=PAUSE_S + SOON_S)
        assert store.clock.now_s() - began_s >= PAUSE_S - MOMENT_S


async def a_pause_can_be_ended(store: Store) -> None:
    """By any process; ending none harms nothing."""
    async with client(store) as streams, client(store) as other:
        await streams.inbox(SMALL).pause(0)
        await streams.inbox(SMALL).pause(LONG_S)
        await store.clock.wait(MOMENT_S)
        await publish(streams, 1)
        await nothing_comes(streams.inbox(SMALL))
        await other.inbox(SMALL).pause(0)
        await take_one(store, streams.inbox(SMALL))


async def a_paused_inbox_takes_batches(store: Store) -> None:
    """The publisher notices nothing."""
    async with client(store) as streams:
        await streams.inbox(SMALL).pause(LONG_S)
        assert await publish(streams, 1)
        await left(store, streams, 1)
        await streams.inbox(SMALL).pause(0)
        await take_one(store, streams.inbox(SMALL))


async def a_cancelled_fetch_loses_nothing(store: Store) -> None:
    """What was on its way to a reader that gave up comes again."""
    names = {batch_name(number) for number in range(10)}
    async with client(store) as streams:
        inbox = streams.inbox(SMALL)
        for number in range(len(names)):
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(inbox.fetch(1, SOON_S))
                await store.clock.wait(0)
                await publish(streams, number)
                waiting.cancel()
        came: set[str] = set()
        until_s = store.clock.now_s() + store.ack_wait_s + SOON_S
        while came != names:
            assert store.clock.now_s() < until_s, f"lost: {sorted(names - came)}"
            for delivery in await inbox.fetch(4, 1.0):
                came.add(delivery.envelope.batch)
                await delivery.ack()


async def competing_readers_get_each_batch_once(store: Store) -> None:
    """Several processes read one inbox."""

    async def read(streams: Streams, came: list[str]) -> None:
        while deliveries := await streams.inbox(SMALL).fetch(3, MOMENT_S):
            for delivery in deliveries:
                came.append(delivery.envelope.batch)
                await delivery.ack()

    came: list[str] = []
    async with client(store) as streams, client(store) as other:
        for number in range(MANY):
            await publish(streams, number)
        async with asyncio.TaskGroup() as group:
            for reader in (streams, other, other):
                group.create_task(read(reader, came))
        assert sorted(came) == [batch_name(number) for number in range(MANY)]
        await left(store, streams, 0)


# ---- bounds


async def _fill(streams: Streams) -> int:
    """Publish until the small inbox is full; return how many batches it took."""
    for number in range(SMALL_BYTES // CHUNK_BYTES + 1):
        try:
            assert await publish(streams, number, bytes(CHUNK_BYTES))
        except StreamFull:
            return number
    message = f"an inbox of {SMALL_BYTES} bytes takes more than that"
    raise AssertionError(message)


async def a_full_inbox_refuses_and_stores_nothing(store: Store) -> None:
    """``StreamFull``; all that is there stays there."""
    async with client(store) as streams:
        held = await _fill(streams)
        assert held >= SMALL_BYTES // CHUNK_BYTES // 2
        before = await streams.depth(SMALL)
        for number in (held, held + 1):
            with raising(StreamFull):
                await publish(streams, number, bytes(CHUNK_BYTES))
        after = await streams.depth(SMALL)
        assert (after.messages, after.bytes) == (before.messages, before.bytes)
        assert before.messages == held
        came = await take(store, streams.inbox(SMALL), held)
        assert {d.envelope.batch for d in came} == {batch_name(n) for n in range(held)}


async def there_is_room_again_after_an_acknowledgement(store: Store) -> None:
    """The batch that was refused is taken, under the id that it had."""
    async with client(store) as streams:
        held = await _fill(streams)
        await (await take_one(store, streams.inbox(SMALL))).ack()
        await left(store, streams, held - 1)
        assert await publish(streams, held, bytes(CHUNK_BYTES))


async def a_full_inbox_hurts_no_other(store: Store) -> None:
    """Every edge has its own bound."""
    async with client(store) as streams:
        await _fill(streams)
        assert await publish(streams, 1, bytes(CHUNK_BYTES), edge=LARGE)


async def a_duplicate_is_known_in_a_full_inbox(store: Store) -> None:
    """A publisher that repeats itself is told that the batch is there, or that there is no room."""
    async with client(store) as streams:
        held = await _fill(streams)
        with contextlib.suppress(StreamFull):
            assert not await publish(streams, 0, bytes(CHUNK_BYTES))
        assert (await streams.depth(SMALL)).messages == held


async def depth_tells_what_waits(store: Store) -> None:
    """Messages, bytes, what is under way, and since when the oldest waits."""
    async with client(store) as streams:
        empty = await streams.depth(SMALL)
        assert (empty.messages, empty.bytes, empty.oldest_s) == (0, 0, None)
        assert empty.bytes_max == SMALL_BYTES
        before_s = store.clock.utc_s()
        for number in range(3):
            await publish(streams, number, bytes(CHUNK_BYTES))
        held = await take_one(store, streams.inbox(SMALL))
        full = await streams.depth(SMALL)
        assert (full.messages, full.unacknowledged) == (3, 1)
        assert 3 * CHUNK_BYTES <= full.bytes <= SMALL_BYTES
        assert full.oldest_s is not None
        assert abs(full.oldest_s - before_s) < SOON_S
        name = held.envelope.batch
        assert await streams.holds(SMALL, name), "under way, and not acknowledged"
        await held.ack()
        await left(store, streams, 2)
        assert not await streams.holds(SMALL, name)


# ---- declaring


async def declaring_again_keeps_what_is_there(store: Store) -> None:
    """Every start declares."""
    async with client(store) as streams:
        await publish(streams, 1)
        await streams.declare(make_plan())
        async with client(store) as other:
            assert (await other.depth(SMALL)).messages == 1
            await (await take_one(store, other.inbox(SMALL))).ack()


async def declaring_brings_bounds_up_to_date(store: Store) -> None:
    """An inbox that is full has room when its bound is raised."""
    async with client(store) as streams:
        held = await _fill(streams)
        await streams.declare(make_plan(small_bytes=2 * SMALL_BYTES))
        assert await publish(streams, held, bytes(CHUNK_BYTES))
        assert (await streams.depth(SMALL)).bytes_max == 2 * SMALL_BYTES


async def an_inbox_with_batches_is_not_dropped(store: Store) -> None:
    """A plan without its edge is refused, and the batches stay."""
    async with client(store) as streams:
        await publish(streams, 1)
        with raising(StoreRefused) as said:
            await streams.declare(make_plan(edges=(LARGE,)))
        assert SMALL in said[0]
        assert (await streams.depth(SMALL)).messages == 1


async def an_empty_inbox_may_go(store: Store) -> None:
    """And come back, empty."""
    async with client(store) as streams:
        await publish(streams, 1)
        await (await take_one(store, streams.inbox(SMALL))).ack()
        await left(store, streams, 0)
        await streams.declare(make_plan(edges=(LARGE,)))
        await streams.declare(make_plan())
        assert await publish(streams, 2)
        await (await take_one(store, streams.inbox(SMALL))).ack()
