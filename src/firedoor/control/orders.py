"""What people and CI ask of a rollout, in the order in which they asked.

An order is kept until whoever drives rollouts has seen to it: it holds across restarts of both.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from firedoor.control.changes import record
from firedoor.errors import StoreRefused, StreamsUnavailable, shorten
from firedoor.ports.streams import Streams
from firedoor.wire.change import Change
from firedoor.wire.rollout_order import RolloutOrder, RolloutOrders

ORDERS_MAX = 100
TRIES_MAX = 100
BECAUSE_MAX = 1_000


def orders_key(service: str) -> str:
    """Return the key under which a service's orders are kept."""
    return f"orders.{service}"


async def give(streams: Streams, service: str, order: RolloutOrder) -> int:
    """Keep an order behind those that nobody has seen to; return the number that it got.

    The change is recorded as well: who, why. ``order.number`` is not looked at.

    Raises:
        StoreRefused: if ``ORDERS_MAX`` wait.
        StreamsUnavailable: if the broker is away. Read the orders again: it may have been kept.
    """
    key = orders_key(service)
    for _ in range(TRIES_MAX):
        seen = await streams.get(key)
        table = decode_orders(seen)
        if len(table.orders) >= ORDERS_MAX:
            message = (
                f"{service} has {ORDERS_MAX} orders that nobody has seen to: is its control "
                "process at work? `firedoor serve` starts it"
            )
            raise StoreRefused(message)
        number = table.next_number
        kept = replace(order, number=number, because=shorten(order.because, BECAUSE_MAX))
        after = RolloutOrders(next_number=number + 1, orders=(*table.orders, kept))
        if await streams.swap(key, msgspec.json.encode(after), seen):
            await record(streams, _told(service, kept))
            return number
    message = f"orders for {service} are changed by others all the time: try again"
    raise StreamsUnavailable(message)


async def read_orders(streams: Streams, service: str) -> RolloutOrders:
    """Return the orders of a service that nobody has seen to.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    return decode_orders(await streams.get(orders_key(service)))


def decode_orders(value: bytes | None) -> RolloutOrders:
    """Return the orders in a value; none if there is none.

    Raises:
        StoreRefused: if it was written by another version: nothing is thrown away for an order.
    """
    try:
        return msgspec.json.decode(value, type=RolloutOrders) if value else RolloutOrders()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        message = f"the orders that are kept were written by another version of firedoor: {error}"
        raise StoreRefused(message) from error


def _told(service: str, order: RolloutOrder) -> Change:
    """Return an order as a change."""
    version = "" if order.version is None else f"version {order.version}"
    override = "override" if order.override else ""
    second = f"agreed by {order.second}" if order.second else ""
    return Change(
        at_s=order.at_s,
        by=order.by,
        because=order.because,
        what=f"rollout {order.verb} ordered",
        about=service,
        after=" ".join(filter(None, (version, override, second))),
    )
