"""Orders as events of the machine, and out of the way once they were seen to."""

from __future__ import annotations

from typing import assert_never

import msgspec

from firedoor.control.orders import TRIES_MAX, decode_orders, orders_key
from firedoor.errors import ModelsUnavailable, NotKnown
from firedoor.ports.rollouts import Versions
from firedoor.ports.streams import Streams
from firedoor.rollout.events import (
    Aborted,
    Event,
    Note,
    Paused,
    PromotedByHand,
    Resumed,
    RolledBackByHand,
    Started,
)
from firedoor.wire.rollout_order import RolloutOrder


async def event_of(order: RolloutOrder, versions: Versions) -> Event | Note:
    """Return what an order is to the machine; a note where it cannot be anything.

    A start while the registry is away is refused: orders behind it, an abort perhaps, do not wait.
    """
    by, because = order.by, order.because
    match order.verb:
        case "start":
            return await _start(order, versions)
        case "pause":
            return Paused(by=by, because=because)
        case "resume":
            return Resumed(by=by, because=because)
        case "abort":
            return Aborted(by=by, because=because)
        case "promote":
            return PromotedByHand(by=by, because=because)
        case "rollback":
            return RolledBackByHand(by=by, because=because)
        case _:
            assert_never(order.verb)


async def _start(order: RolloutOrder, versions: Versions) -> Started | Note:
    """Return a start with what the registry says of the version."""
    try:
        found = await versions.find(order.version)
    except (NotKnown, ModelsUnavailable) as error:
        return Note(what="order refused", because=str(error), by=order.by)
    return Started(
        candidate=found.target, by=order.by, because=order.because, supersede=order.supersede,
        override=order.override, second=order.second, barred=found.barred,
        unqualified=found.unqualified,
    )  # fmt: skip


async def forget_handled(streams: Streams, service: str, handled: int) -> None:
    """Take orders away that were seen to; whoever gives one at that moment loses nothing."""
    key = orders_key(service)
    for _ in range(TRIES_MAX):
        seen = await streams.get(key)
        table = decode_orders(seen)
        left = tuple(order for order in table.orders if order.number > handled)
        if len(left) == len(table.orders):
            return
        after = msgspec.json.encode(msgspec.structs.replace(table, orders=left))
        if await streams.swap(key, after, seen):
            return
