"""Small values: durable ones under keys, and beats, which fade."""

from __future__ import annotations

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
