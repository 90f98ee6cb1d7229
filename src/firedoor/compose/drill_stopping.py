"""Stop drills: take back whatever is injected, also where the drill that wanted it is dead."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from firedoor.compose.drill_watch import INJECTED, STOP, StopWord, decoded
from firedoor.drill.fault import LEASE_S, Fault, Injected
from firedoor.drill.lease import PREFIX, taken_back
from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams

LOOK_S = 0.5
WAIT_S = LEASE_S + 15.0
"""In which everything is over, whoever is alive: a lease, and beats that live 10 s."""
RENEWALS = 1_000_000
"""Ahead of whatever a drill still says of its fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What became of it."""

    faults: tuple[Fault, ...]
    """That somebody wanted injected."""
    left: tuple[Injected, ...]
    """That are injected all the same, at the end."""


async def stop_drills(streams: Streams, clock: Clock, *, by: str, because: str) -> Stopped:
    """Have every drill of a pipeline end, and take back every fault; wait until that is so.

    Raises:
        StreamsUnavailable: if the broker is away: faults end by their leases then.
    """
    word = msgspec.json.encode(StopWord(by=by, because=because, at_s=clock.utc_s()))
    faults: dict[str, Fault] = {}
    until_s = clock.now_s() + WAIT_S
    await streams.beat(STOP, word)
    while True:
        with contextlib.suppress(StreamsUnavailable):
            await streams.beat(STOP, word)
            beats = await streams.beats("")
            faults |= {fault.id: fault for fault in await take_back(streams, beats)}
            left = _left(beats)
            if not left or clock.now_s() >= until_s:
                return Stopped(faults=tuple(faults.values()), left=left)
        if clock.now_s() >= until_s:
            message = "the broker went away: what is injected ends by its lease, 15 s at the latest"
            raise StreamsUnavailable(message)
        await clock.wait(LOOK_S)


async def take_back(streams: Streams, beats: Mapping[str, bytes]) -> tuple[Fault, ...]:
    """Take back every fault that somebody wants injected, whoever it is; return them.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    found: list[Fault] = []
    for key, value in beats.items():
        fault = decoded(value, Fault) if key.startswith(PREFIX) else None
        if fault is not None and fault.lease_s > 0:
            found.append(fault)
            ended = taken_back(replace(fault, renewal=fault.renewal + RENEWALS))
            await streams.beat(key, msgspec.json.encode(ended))
    return tuple(found)


def _left(beats: Mapping[str, bytes]) -> tuple[Injected, ...]:
    """Return what processes say that they inject."""
    said = [decoded(value, Injected) for key, value in beats.items() if key.startswith(INJECTED)]
    return tuple(one for one in said if one is not None and not one.over and not one.refused)
