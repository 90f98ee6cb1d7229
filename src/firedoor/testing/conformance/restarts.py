"""What a broker keeps when it is ended, kindly or by kill -9, and what clients are told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from firedoor.errors import StreamsUnavailable
from firedoor.testing.conformance.store import (
    LARGE,
    MOMENT_S,
    PAYLOAD,
    SMALL,
    SOON_S,
    Store,
    batch_name,
    client,
    left,
    make_attempts,
    make_dead,
    make_record,
    nothing_comes,
    publish,
    raising,
    same,
    take,
    take_one,
)

ENDINGS = (False, True)


async def what_was_published_survives(store: Store) -> None:
    """Every batch whose ``publish`` returned is there afterwards, whole."""
    numbers = range(20)
    async with client(store) as streams:
        for number in numbers:
            await publish(streams, number)
        for kill in ENDINGS:
            await store.restart(kill=kill)
            assert (await streams.depth(SMALL)).messages == len(numbers)
        came = await take(store, streams.inbox(SMALL), len(numbers))
        assert {d.envelope.batch for d in came} == {batch_name(n) for n in numbers}
        assert all(d.payload == PAYLOAD for d in came)


async def an_acknowledgement_survives(store: Store) -> None:
    """What ``ack`` returned for is not delivered again, for as long as one is waited for."""
    async with client(store) as streams:
        for number in range(10):
            await publish(streams, number)
        for delivery in await take(store, streams.inbox(SMALL), 10):
            await delivery.ack()
        await store.restart(kill=True)
        await left(store, streams, 0)
        await nothing_comes(streams.inbox(SMALL), for_s=store.ack_wait_s + MOMENT_S)


async def what_was_not_acknowledged_comes_again_and_counts(store: Store) -> None:
    """The number of deliveries goes on where it was."""
    async with client(store) as streams:
        await publish(streams, 1)
        first = await take_one(store, streams.inbox(SMALL))
        await first.give_back()
        second = await take_one(store, streams.inbox(SMALL))
        await store.restart(kill=True)
        third = await take_one(store, streams.inbox(SMALL), within_s=store.ack_wait_s + SOON_S)
        assert [first.deliveries, second.deliveries, third.deliveries] == [1, 2, 3]
        await third.ack()
        await left(store, streams, 0)


async def a_delivery_can_be_acknowledged_after_a_restart(store: Store) -> None:
    """Its reader held it all the while."""
    async with client(store) as streams:
        await publish(streams, 1)
        held = await take_one(store, streams.inbox(SMALL))
        await store.restart(kill=True)
        await held.working()
        await held.ack()
        await left(store, streams, 0)


async def what_is_published_again_is_done_all_the_same(store: Store) -> None:
    """Acknowledge, restart, republish: stored again or not, the record says that it is done."""
    async with client(store) as streams:
        await publish(streams, 1)
        delivery = await take_one(store, streams.inbox(SMALL))
        written = make_record("clean", batch_name(1))
        assert await streams.record(written)
        await delivery.ack()
        await store.restart(kill=True)
        stored = await publish(streams, 1)
        await left(store, streams, int(stored))
        same(await streams.recorded("clean", batch_name(1)), written)
        assert not await streams.record(make_record("clean", batch_name(1), rows=99))
        if stored:
            again = await take_one(store, streams.inbox(SMALL))
            assert again.envelope.batch == batch_name(1)
            await again.ack()
        await left(store, streams, 0)


async def what_is_kept_beside_survives(store: Store) -> None:
    """Records, attempts, dead letters, values."""
    batch, rows = batch_name(1), b"dead rows"
    entry = make_dead(batch, rows)
    async with client(store) as streams:
        await streams.record(make_record("clean", batch))
        await streams.note_attempts("clean", batch, make_attempts(crash=2))
        await streams.bury(entry, rows)
        await streams.put("order.clean", b"pause")
        for kill in ENDINGS:
            await store.restart(kill=kill)
            same(await streams.recorded("clean", batch), make_record("clean", batch))
            same(await streams.last_record("clean"), make_record("clean", batch))
            assert (await streams.attempts("clean", batch)).counts == {"crash": 2}
            assert await streams.dead_rows("clean", batch) == (entry, rows)
            assert await streams.get("order.clean") == b"pause"
            assert not await streams.record(make_record("clean", batch))
            assert not await streams.bury(entry, rows)


async def a_client_goes_on_after_a_restart(store: Store) -> None:
    """All of it, without being opened anew."""
    async with client(store) as streams:
        inbox = streams.inbox(SMALL)
        await nothing_comes(inbox)
        for number, kill in enumerate(ENDINGS):
            await store.restart(kill=kill)
            await publish(streams, number)
            await (await take_one(store, inbox)).ack()
            await streams.beat("zone.clean.host-1", b"here")
            assert await streams.beats("zone.") == {"zone.clean.host-1": b"here"}


async def what_is_kept_outlives_clients(store: Store) -> None:
    """Another one, opened later, finds it."""
    async with client(store) as streams:
        await publish(streams, 1)
        await streams.put("plan", b"{}")
    async with client(store) as streams:
        assert await streams.get("plan") == b"{}"
        await (await take_one(store, streams.inbox(SMALL))).ack()


async def while_the_broker_is_away_everything_says_so(store: Store) -> None:
    """``StreamsUnavailable``, from every method; and nothing of it happened afterwards."""
    async with client(store) as streams:
        await publish(streams, 1)
        held = await take_one(store, streams.inbox(SMALL))
        await store.stop()
        entry = make_dead(batch_name(1), b"dead")
        attempts: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: streams.inbox(SMALL).fetch(1, MOMENT_S),
            lambda: streams.depth(SMALL),
            lambda: streams.recorded("clean", batch_name(1)),
            lambda: streams.last_record("clean"),
            lambda: anext(streams.records(), None),
            lambda: streams.attempts("clean", batch_name(1)),
            lambda: anext(streams.dead(), None),
            lambda: streams.dead_rows("clean", batch_name(1)),
            lambda: streams.get("plan"),
            lambda: streams.keys(""),
            lambda: streams.beats(""),
            lambda: publish(streams, 2, edge=LARGE),
            lambda: streams.record(make_record("clean", batch_name(1))),
            lambda: streams.note_attempts("clean", batch_name(1), make_attempts(hang=1)),
            lambda: streams.bury(entry, b"dead"),
            lambda: streams.rebury(entry, b"dead"),
            lambda: streams.put("plan", b"{}"),
            lambda: streams.swap("plan", b"{}", None),
            lambda: streams.forget("plan"),
            lambda: streams.beat("supervisor", b"here"),
            held.ack,
        )
        for attempt in attempts:
            with raising(StreamsUnavailable):
                await attempt()
        await store.start()
        assert (await streams.depth(SMALL)).messages == 1
