"""The state of a pipeline at one moment: what zones say of themselves, and what waits between them.

The supervisor takes a snapshot each second and keeps it in ``.firedoor/status.json``, so that
``firedoor status`` has something true to say when the broker is away. Times are UTC.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from firedoor.ports.streams import Depth, Streams
from firedoor.spec.plan import Plan
from firedoor.wire.records import Order, ZoneStatus


class Detached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An edge that was cut because its reader did not keep up: the value of ``detached.P.R``."""

    since_s: float = 0.0
    because: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was known at ``at_s``."""

    pipeline: str
    at_s: float
    broker: Literal["up", "down"] = "up"
    """``down``: everything else is as it was when the broker last answered."""
    supervisor_pid: int = 0
    """0: nobody supervises the zones here."""
    zones: tuple[ZoneStatus, ...] = ()
    """The last beat of each process, in the plan's order."""
    depths: dict[str, Depth] = {}
    """By edge, ``publisher:reader``."""
    orders: dict[str, Order] = {}
    """By zone, where a person wants something of it."""
    detached: dict[str, Detached] = {}
    """By edge."""
    deploys: dict[str, str] = {}
    """By zone: the value of ``deploy.<zone>``, where its code was replaced."""


async def take(streams: Streams, plan: Plan, *, at_s: float, supervisor_pid: int = 0) -> Snapshot:
    """Return a snapshot of a pipeline.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    places = {zone.name: place for place, zone in enumerate(plan.zones)}
    beats = [read_beat(value) for value in (await streams.beats("zone.")).values()]
    zones = [beat for beat in beats if beat is not None and beat.zone in places]
    orders = {}
    deploys = {}
    for zone in plan.zones:
        order = read_order(await streams.get(f"order.{zone.name}"))
        if order is not None:
            orders[zone.name] = order
        deploy = await streams.get(f"deploy.{zone.name}")
        if deploy:
            deploys[zone.name] = deploy.decode("utf-8", "replace")[:1000]
    detached = {}
    for edge in plan.edges:
        cut = read_detached(await streams.get(f"detached.{edge.publisher}.{edge.reader}"))
        if cut is not None:
            detached[edge.name] = cut
    return Snapshot(
        pipeline=plan.pipeline,
        at_s=at_s,
        supervisor_pid=supervisor_pid,
        zones=tuple(sorted(zones, key=lambda beat: (places[beat.zone], beat.replica))),
        depths={edge.name: await streams.depth(edge.name) for edge in plan.edges},
        orders=orders,
        detached=detached,
        deploys=deploys,
    )


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return a snapshot as JSON, for ``.firedoor/status.json``."""
    return msgspec.json.encode(snapshot)


def decode_snapshot(data: bytes) -> Snapshot:
    """Return the snapshot in JSON.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return msgspec.json.decode(data, type=Snapshot)


def read_beat(value: bytes) -> ZoneStatus | None:
    """Return what a zone says of itself; None for what another version says."""
    try:
        return msgspec.json.decode(value, type=ZoneStatus)
    except msgspec.DecodeError:
        return None


def read_order(value: bytes | None) -> Order | None:
    """Return an order; None if there is none that can be read."""
    try:
        return msgspec.json.decode(value, type=Order) if value else None
    except msgspec.DecodeError:
        return None


def read_detached(value: bytes | None) -> Detached | None:
    """Return why an edge is cut; None if it is not: no value, an empty one, or ``null``."""
    try:
        return msgspec.json.decode(value, type=Detached | None) if value else None
    except msgspec.DecodeError:
        return None
