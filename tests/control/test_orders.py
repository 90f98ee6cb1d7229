"""Orders for rollouts are kept in the order in which they are given, none lost, none twice."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from firedoor.adapters.memory import MemoryStore, MemoryStreams
from firedoor.control.changes import changes
from firedoor.control.orders import ORDERS_MAX, give, orders_key, read_orders
from firedoor.errors import StoreRefused
from firedoor.testing.loop import VirtualClock, run
from firedoor.wire.rollout_order import RolloutOrder, RolloutOrders


def order(by: str = "ann", because: str = "it is better") -> RolloutOrder:
    return RolloutOrder(number=0, verb="start", by=by, because=because, at_s=5.0, version=3)


def test_orders_are_numbered_from_one_and_kept_in_their_order() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        assert [await give(streams, "predict", order(by)) for by in ("ann", "bob")] == [1, 2]
        assert await give(streams, "other", order()) == 1
        found = await read_orders(streams, "predict")
        assert [(each.number, each.by) for each in found.orders] == [(1, "ann"), (2, "bob")]
        assert found.next_number == 3

    run(work())


def test_numbers_go_on_after_orders_were_seen_to() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        await give(streams, "predict", order())
        done = RolloutOrders(next_number=2)
        await streams.put(orders_key("predict"), msgspec.json.encode(done))
        assert await give(streams, "predict", order()) == 2

    run(work())


def test_no_order_is_lost_where_many_give_them_at_once() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        async with asyncio.TaskGroup() as group:
            given = [
                group.create_task(give(streams, "predict", order(f"p{number}")))
                for number in range(20)
            ]
        assert sorted(task.result() for task in given) == list(range(1, 21))
        kept = {each.number: each.by for each in (await read_orders(streams, "predict")).orders}
        assert kept == {task.result(): f"p{number}" for number, task in enumerate(given)}

    run(work(), seed=3)


def test_an_order_is_recorded_with_who_and_why() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        await give(streams, "predict", order())
        (change,) = await changes(streams)
        assert (change.what, change.about, change.by) == ("rollout start ordered", "predict", "ann")
        assert (change.because, change.after) == ("it is better", "version 3")

    run(work())


def test_whoever_agrees_to_an_order_is_recorded_as_well() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        agreed = msgspec.structs.replace(order(), override=True, second="bob")
        await give(streams, "predict", agreed)
        (change,) = await changes(streams)
        assert (change.by, change.after) == ("ann", "version 3 override agreed by bob")

    run(work())


def test_orders_that_nobody_sees_to_are_bounded() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        for _ in range(ORDERS_MAX):
            await give(streams, "predict", order())
        with pytest.raises(StoreRefused, match="firedoor serve"):
            await give(streams, "predict", order())
        assert len((await read_orders(streams, "predict")).orders) == ORDERS_MAX

    run(work())


def test_orders_of_another_version_are_not_thrown_away() -> None:
    async def work() -> None:
        streams = MemoryStreams(MemoryStore(), VirtualClock())
        await streams.put(orders_key("predict"), b"{]")
        with pytest.raises(StoreRefused, match="another version"):
            await give(streams, "predict", order())
        assert await streams.get(orders_key("predict")) == b"{]"

    run(work())
