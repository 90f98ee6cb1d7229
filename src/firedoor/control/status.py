"""The state of a pipeline at one moment: what zones say of themselves, and what waits between them.

The supervisor takes a snapshot each second and keeps it in ``.firedoor/status.json``, so that
``firedoor status`` has something true to say when the broker is away. What only the supervisor
knows it says as zones do, by a beat: that needs no room on a disk that is full. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec.structs import replace

from firedoor.ports.streams import Depth, Streams
from firedoor.spec.plan import EdgePlan, Plan
from firedoor.wire.records import GuardOrder, Order, ZoneStatus
from firedoor.wire.shadow import Shadow, read_shadow, shadow_key


class Detached(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An edge that was cut because its reader did not keep up: the value of ``detached.P.R``."""

    since_s: float = 0.0
    because: str = ""


BEAT_LIVES_S = 10.0
"""For so long what a zone says is taken to hold, if it says nothing else."""
DEPLOY_CHARACTERS = 20_000
KEEPER_KEY = "supervisor"
"""Under which the supervisor beats; zones beat under ``zone.``."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a supervisor knows of a zone's processes."""

    up: bool = False
    """Whether there is one."""
    began_s: float = 0.0
    """When it was started."""
    deaths: int = 0
    """Of all of them in this run."""
    looping: bool = False
    """Whether they die again and again without getting anywhere."""
    last: str = ""
    """How the latest of them died."""


class KeeperWord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a supervisor says of what it keeps alive: the beat ``supervisor``."""

    broker_fault: str = ""
    """Why the broker stores nothing although it answers; empty: it does."""
    zones: dict[str, Kept] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was known at ``at_s``."""

    pipeline: str
    at_s: float
    broker: Literal["up", "down"] = "up"
    """``down``: everything else is as it was when the broker last answered."""
    broker_fault: str = ""
    """Why it stores nothing, with what to do about it: a full disk; empty: it does."""
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
    shadows: dict[str, Shadow] = {}
    """By zone, where new code was tried beside the live one."""
    kept: dict[str, Kept] = {}
    """By zone, where somebody supervises it."""


async def take(streams: Streams, plan: Plan, *, at_s: float, supervisor_pid: int = 0) -> Snapshot:
    """Return a snapshot of a pipeline.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    beats = await streams.beats("")
    said = [read_beat(value) for key, value in beats.items() if key.startswith("zone.")]
    word = read_word(beats.get(KEEPER_KEY))
    there = await _values(streams, plan)
    orders = {zone.name: read_order(there.get(f"order.{zone.name}")) for zone in plan.zones}
    deploys = {zone.name: there.get(f"deploy.{zone.name}") for zone in plan.zones}
    tried = {zone.name: read_shadow(there.get(shadow_key(zone.name))) for zone in plan.zones}
    cuts = {edge.name: read_detached(there.get(_cut_key(edge))) for edge in plan.edges}
    return Snapshot(
        pipeline=plan.pipeline,
        at_s=at_s,
        broker_fault=word.broker_fault,
        supervisor_pid=supervisor_pid,
        zones=in_order(plan, [beat for beat in said if beat is not None]),
        depths={edge.name: await streams.depth(edge.name) for edge in plan.edges},
        orders={zone: order for zone, order in orders.items() if order is not None},
        detached={edge: cut for edge, cut in cuts.items() if cut is not None},
        deploys={
            zone: deploy.decode("utf-8", "replace")[:DEPLOY_CHARACTERS]
            for zone, deploy in deploys.items()
            if deploy
        },
        shadows={zone: shadow for zone, shadow in tried.items() if shadow is not None},
        kept=word.zones,
    )


async def _values(streams: Streams, plan: Plan) -> dict[str, bytes | None]:
    """Return what is kept of zones and edges; what is not there is not asked for one by one."""
    wanted = {
        f"{what}.{zone.name}" for zone in plan.zones for what in ("order", "deploy", "shadow")
    }
    wanted |= {_cut_key(edge) for edge in plan.edges}
    there = wanted.intersection(await streams.keys(""))
    return {key: await streams.get(key) for key in sorted(there)}


def _cut_key(edge: EdgePlan) -> str:
    """Return where it is kept that an edge is cut."""
    return f"detached.{edge.publisher}.{edge.reader}"


def in_order(plan: Plan, beats: Iterable[ZoneStatus]) -> tuple[ZoneStatus, ...]:
    """Return what zones of a plan say, in the plan's order."""
    places = {zone.name: place for place, zone in enumerate(plan.zones)}
    known = [beat for beat in beats if beat.zone in places]
    return tuple(sorted(known, key=lambda beat: (places[beat.zone], beat.replica)))


def remember(
    plan: Plan, snapshot: Snapshot, before: Snapshot | None, *, away_s: float = 0.0
) -> Snapshot:
    """Add what zones said lately and the broker has forgotten: its restart empties its memory.

    Args:
        plan: the pipeline.
        snapshot: of now.
        before: the one before.
        away_s: for which the broker was away lately, so that no zone could say anything.
    """
    if before is None:
        return snapshot
    told = {beat.zone for beat in snapshot.zones}
    lately = [
        beat
        for beat in before.zones
        if beat.zone not in told and snapshot.at_s - beat.at_s < BEAT_LIVES_S + away_s
    ]
    return replace(snapshot, zones=in_order(plan, [*snapshot.zones, *lately]))


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


def read_word(value: bytes | None) -> KeeperWord:
    """Return what a supervisor says; an empty word if it says nothing that can be read."""
    try:
        return msgspec.json.decode(value, type=KeeperWord) if value else KeeperWord()
    except msgspec.DecodeError:
        return KeeperWord()


async def read_past(streams: Streams, zone: str) -> tuple[GuardOrder, ...]:
    """Return what was ordered of a zone's guards, the latest last.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    value = await streams.get(f"ordered.{zone}")
    return msgspec.json.decode(value, type=tuple[GuardOrder, ...]) if value else ()


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
