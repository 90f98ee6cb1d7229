"""Small values: durable ones under keys, and beats, which fade."""

from __future__ import annotations

import asyncio

from firedoor.ports.streams import Streams
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


async def a_value_is_swapped_by_one_who_saw_the_latest(store: Store) -> None:
    """Of several that saw the same, one gets it; who saw something older does not."""
    key = "flags"
    async with client(store) as streams, client(store) as other:
        async with asyncio.TaskGroup() as group:
            one = group.create_task(streams.swap(key, b"one", None))
            two = group.create_task(other.swap(key, b"two", None))
        assert one.result() is not two.result()
        held = b"one" if one.result() else b"two"
        assert await other.get(key) == held
        assert not await streams.swap(key, b"three", None)
        assert not await streams.swap(key, b"three", b"something else")
        assert await streams.get(key) == held
        assert await other.swap(key, b"three", held)
        assert not await streams.swap(key, b"four", held)
        assert await streams.get(key) == b"three"
        await streams.put(key, b"")
        assert await streams.swap(key, b"five", b"")
        assert await other.get(key) == b"five"


async def no_swap_is_lost_among_racing_callers(store: Store) -> None:
    """Each reads, changes and swaps until it succeeds: everything that was added is there."""
    key, each = "orders.predict", 8

    async def add(streams: Streams, name: str) -> int:
        failed = 0
        for number in range(each):
            while True:
                seen = await streams.get(key)
                if await streams.swap(key, (seen or b"") + f"{name}{number} ".encode(), seen):
                    break
                failed += 1
        return failed

    async with client(store) as streams, client(store) as other, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(add(who, name))
            for who, names in ((streams, "ab"), (other, "cd"))
            for name in names
        ]
        failed = sum([await task for task in tasks])
        words = ((await streams.get(key)) or b"").decode().split()
        assert sorted(words) == sorted(f"{name}{n}" for name in "abcd" for n in range(each))
        assert failed > 0, "nobody was ever faster than anybody else: this has tested nothing"


async def a_value_is_forgotten(store: Store) -> None:
    """By every client; the next one begins anew, and no other goes with it."""
    async with client(store) as streams, client(store) as other:
        await streams.put("change.1-ann", b"x")
        await streams.put("change.2-ann", b"y")
        await streams.forget("change.1-ann")
        await streams.forget("change.3-nobody")
        assert await other.get("change.1-ann") is None
        assert list(await other.keys("change.")) == ["change.2-ann"]
        assert not await other.swap("change.1-ann", b"z", b"x")
        assert await other.swap("change.1-ann", b"z", None)
        assert await streams.get("change.1-ann") == b"z"


async def a_swapped_value_survives_the_broker(store: Store) -> None:
    """However that ended; and so does what one has to have seen."""
    async with client(store) as streams:
        assert await streams.swap("flags", b"one", None)
        for kill, (seen, value) in zip(
            (True, False), ((b"one", b"two"), (b"two", b"three")), strict=True
        ):
            await store.restart(kill=kill)
            assert not await streams.swap("flags", b"never", None)
            assert await streams.swap("flags", value, seen)
        assert await streams.get("flags") == b"three"


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
