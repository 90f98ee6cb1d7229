"""Small values: durable ones under keys, and beats, which fade."""

from __future__ import annotations

import asyncio

from firedoor.testing.conformance.store import SOON_S, Store, client

BEAT_S = 10.0


async def a_value_is_the_one_put_last(store: Store) -> None:
    """For every client."""
    async with client(store) as streams, client(store) as other:
        assert await streams.get("order.clean") is None
        for value in (b"run", b"", bytes(range(256))):
            await streams.put("order.clean", value)
            assert await other.get("order.clean") == value


async def keys_are_found_by_how_they_begin(store: Store) -> None:
    """Whole keys, not parts between dots."""
    kept = ("order.clean", "order.clean-2", "order.store", "orders", "detached.intake.clean_x")
    async with client(store) as streams:
        assert list(await streams.keys("order.")) == []
        for key in kept:
            await streams.put(key, b"x")
        assert sorted(await streams.keys("order.")) == sorted(kept[:3])
        assert sorted(await streams.keys("order.cl")) == sorted(kept[:2])
        assert sorted(await streams.keys("detached.intake.")) == ["detached.intake.clean_x"]
        assert sorted(await streams.keys("")) == sorted(kept)
        assert list(await streams.keys("nothing")) == []


async def the_latest_beat_is_heard(store: Store) -> None:
    """By every client, by how its key begins; beats are no values."""
    async with client(store) as streams, client(store) as other:
        await streams.beat("zone.clean.host-1", b"old")
        await streams.beat("zone.clean.host-1", b"new")
        await other.beat("zone.clean.host-2", b"two")
        await streams.beat("supervisor", b"here")
        assert await other.beats("zone.clean.") == {
            "zone.clean.host-1": b"new",
            "zone.clean.host-2": b"two",
        }
        assert await other.beats("supervisor") == {"supervisor": b"here"}
        assert await streams.get("supervisor") is None


async def a_beat_fades(store: Store) -> None:
    """After 10 s without another; who goes on beating is heard on."""
    async with client(store) as streams:
        await streams.beat("zone.clean.host-1", b"once")
        for _ in range(3):
            await streams.beat("zone.store.host-1", b"again")
            await store.clock.wait(BEAT_S / 3)
            assert "zone.store.host-1" in await streams.beats("zone.")
        until_s = store.clock.now_s() + SOON_S
        while "zone.clean.host-1" in (heard := await streams.beats("zone.")):
            assert store.clock.now_s() < until_s, "a beat is heard for ever"
            await streams.beat("zone.store.host-1", b"again")
            await store.clock.wait(0.5)
        assert heard == {"zone.store.host-1": b"again"}


async def a_claim_is_granted_to_one_who_saw_the_latest(store: Store) -> None:
    """Of several that saw the same, one gets it; who saw something older does not."""
    key = "probe.clean"
    async with client(store) as streams, client(store) as other:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(streams.claim(key, b"one", None))
            two = group.create_task(other.claim(key, b"two", None))
        assert one.result() is not two.result()
        held = b"one" if one.result() else b"two"
        assert await other.beats(key) == {key: held}
        assert not await streams.claim(key, b"three", None)
        assert not await streams.claim(key, b"three", b"something else")
        assert await other.claim(key, b"three", held)
        assert await streams.beats(key) == {key: b"three"}


async def a_claim_fades_as_a_beat_does(store: Store) -> None:
    """Whoever held it may be gone."""
    key = "probe.clean"
    async with client(store) as streams:
        assert await streams.claim(key, b"mine", None)
        until_s = store.clock.now_s() + BEAT_S + SOON_S
        while key in await streams.beats(key):
            assert store.clock.now_s() < until_s, "a claim is heard for ever"
            await store.clock.wait(0.5)
        assert await streams.claim(key, b"mine again", None)
