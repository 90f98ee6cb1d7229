"""What a person may want of one zone while the pipeline runs.

Orders are kept in the streams and read by the zone itself: they hold whoever supervises it, and
across restarts. Nothing that is in flight is lost by any of them.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from firedoor.control.changes import record
from firedoor.control.status import KEEPER_KEY, read_order, read_past, read_word
from firedoor.errors import NotKnown, StreamsUnavailable
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.change import Change
from firedoor.wire.records import GuardOrder, Order

Verb = Literal["pause", "resume", "drain", "restart"]
GuardVerb = Literal["open", "close", "reset"]
PAST_MAX = 50


async def give_order(
    streams: Streams, plan: Plan, zone: str, verb: Verb, *, because: str, by: str, at_s: float
) -> Order:
    """Keep an order for a zone, which follows it within a second, and who gave it; return it.

    Raises:
        NotKnown: if there is no such zone.
        StreamsUnavailable: if the broker is away.
    """
    known_zone(plan, zone)
    before = read_order(await streams.get(f"order.{zone}")) or Order()
    again = verb in {"resume", "restart"}
    order = Order(
        want="pause" if verb == "pause" else "drain" if verb == "drain" else "run",
        generation=before.generation + again,
        restarts=before.restarts + (verb == "restart"),
        because=because,
        by=by,
        at_s=at_s,
        guards=before.guards,
    )
    await _keep(streams, zone, order)
    await record(
        streams,
        Change(
            at_s=at_s, by=by, because=because or "no reason was given", what=f"zone {verb}",
            about=zone, before=before.want, after=order.want,
        ),
    )  # fmt: skip
    return order


async def order_guard(
    streams: Streams,
    plan: Plan,
    zone: str,
    guard: str,
    verb: GuardVerb,
    *,
    because: str,
    by: str,
    at_s: float,
) -> GuardOrder:
    """Keep an order for a guard of a zone's step, and note it among the past ones; return it.

    The zone's processes follow it with their next batch, those too that are started later.

    Raises:
        NotKnown: if there is no such zone, or its step depends on no such guard.
        StreamsUnavailable: if the broker is away.
    """
    known = [dependency.guard.name for dependency in known_zone(plan, zone).depends]
    if guard not in known:
        listed = f"it depends on {', '.join(known)}" if known else "it names none in depends="
        message = f"zone {zone} of {plan.pipeline} has no guard {guard!r}: {listed}"
        raise NotKnown(message)
    before = read_order(await streams.get(f"order.{zone}")) or Order()
    number = 1 + max((order.number for order in before.guards), default=0)
    order = GuardOrder(guard=guard, want=verb, number=number, because=because, by=by, at_s=at_s)
    others = tuple(other for other in before.guards if other.guard != guard)
    past = (*await read_past(streams, zone), order)[-PAST_MAX:]
    await streams.put(f"ordered.{zone}", msgspec.json.encode(past))
    await _keep(streams, zone, replace(before, guards=(*others, order)))
    await record(
        streams,
        Change(
            at_s=at_s, by=by, because=because or "no reason was given", what=f"guard {verb}",
            about=zone, after=guard,
        ),
    )  # fmt: skip
    return order


async def _keep(streams: Streams, zone: str, order: Order) -> None:
    """Keep an order.

    Raises:
        StreamsUnavailable: if the broker is away, or cannot store.
    """
    try:
        await streams.put(f"order.{zone}", msgspec.json.encode(order))
    except StreamsUnavailable as error:
        fault = read_word((await streams.beats(KEEPER_KEY)).get(KEEPER_KEY)).broker_fault
        if not fault:
            raise
        message = f"the order for {zone} could not be kept, since the broker cannot store: {fault}"
        raise StreamsUnavailable(message) from error


def known_zone(plan: Plan, zone: str) -> ZonePlan:
    """Return a zone's plan.

    Raises:
        NotKnown: if there is none of that name.
    """
    try:
        return plan.zone(zone)
    except KeyError:
        known = ", ".join(each.name for each in plan.zones)
        message = f"{plan.pipeline} has no zone {zone!r}: it has {known}"
        raise NotKnown(message) from None
