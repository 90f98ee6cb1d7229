"""Evidence packs replayed on a successor: ordered by the control process, done by one gateway.

A gateway asks the very version that it holds, with the features as they were used then, so that
neither a store's answers of today nor who else asks now is counted for or against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from firedoor.errors import StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.wire.pack import Pack, Replayed, ReplayOrder, ReplayReport, kind_of
from firedoor.wire.route import Arm

LOOK_S = 0.5
CLAIM_S = 3.0
"""How often a gateway says that it is at it; others take over when it has not for 10 s."""
REPLAY_S = 600.0
"""Longest that all of it may take."""


class BrokerReplayer:
    """Has packs replayed by whichever gateway is first. See ``ports.rollouts.Replayer``."""

    def __init__(self, streams: Streams, service: str, *, clock: Clock) -> None:
        """Prepare."""
        self._streams, self._service, self._clock = streams, service, clock

    async def replay(self, pack: str, candidate: Arm) -> ReplayOutcome:
        """Replay the requests that were kept of a rollout on a candidate."""
        number, until_s = int(self._clock.utc_s() * 1e3), self._clock.now_s() + REPLAY_S
        order = ReplayOrder(number=number, pack=pack, digest=candidate.digest)
        ordered = False
        while self._clock.now_s() < until_s:
            try:
                if not ordered:
                    await self._streams.put(f"replay.{self._service}", msgspec.json.encode(order))
                    ordered = True
                report = await report_of(self._streams, self._service)
            except StreamsUnavailable:
                report = None
            if report is not None and report.number == number:
                told = report.replayed
                return ReplayOutcome(
                    failing=told.failing, good=told.good, broken=told.broken,
                    kinds=told.kinds, missing=told.missing,
                )  # fmt: skip
            await self._clock.wait(LOOK_S)
        return ReplayOutcome(missing=f"no gateway has done it within {REPLAY_S:g} s")


class Replaying(Protocol):
    """A service whose versions can be asked again: ``gateway.path.ServicePath``."""

    def holds(self, digest: str) -> bool:
        """Return whether a version is ready here."""
        ...

    async def replay(self, pack: Pack, digest: str) -> Replayed:
        """Ask a version every request of a pack."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReplays:
    """What a gateway does of it."""

    services: Mapping[str, Replaying]
    packs_of: Callable[[str], Awaitable[Sequence[Pack]]]
    """Reads what gateways kept of a rollout."""
    gateway: str
    clock: Clock

    async def run(self, streams: Streams) -> None:
        """Do what is ordered, for ever; a broker that goes away ends it."""
        while True:
            for service, path in self.services.items():
                await self._look(streams, service, path)
            await self.clock.wait(LOOK_S)

    async def _look(self, streams: Streams, service: str, path: Replaying) -> None:
        """Do what is ordered of one service, unless somebody has, or is at it."""
        order = order_of(await streams.get(f"replay.{service}"))
        if order is None or not path.holds(order.digest):
            return
        report = await report_of(streams, service)
        if report is not None and report.number == order.number:
            return  # a later order may have a lower number, of a clock that was set back
        claim = f"{order.number} {self.gateway}".encode()
        if not await streams.claim(f"replaying.{service}", claim, None):
            return
        async with asyncio.TaskGroup() as group:
            claiming = group.create_task(self._go_on_claiming(streams, service, claim))
            replayed = await self._replay(path, order)
            claiming.cancel()
        report = ReplayReport(number=order.number, gateway=self.gateway, replayed=replayed)
        await streams.put(f"replayed.{service}", msgspec.json.encode(report))

    async def _go_on_claiming(self, streams: Streams, service: str, claim: bytes) -> None:
        """Say that it is being done, for ever."""
        while True:
            await self.clock.wait(CLAIM_S)
            await streams.beat(f"replaying.{service}", claim)

    async def _replay(self, path: Replaying, order: ReplayOrder) -> Replayed:
        """Replay the packs of all gateways."""
        packs = await self.packs_of(order.pack)
        found = [await path.replay(pack, order.digest) for pack in packs]
        if not any(pack.requests for pack in packs):
            return Replayed(missing=f"no request of {order.pack} was kept")
        failing: dict[str, tuple[int, int]] = {}
        for one in found:
            for signature, (count, again) in one.failing.items():
                before = failing.get(signature, (0, 0))
                failing[signature] = (before[0] + count, before[1] + again)
        return Replayed(
            failing=failing,
            good=sum(one.good for one in found),
            broken=sum(one.broken for one in found),
            kinds=_kinds(packs),
            missing="; ".join(one.missing for one in found if one.missing),
        )


def _kinds(packs: Sequence[Pack]) -> tuple[str, ...]:
    """Return in which ways a version failed."""
    kinds = {kind_of(one) for pack in packs for one in pack.requests if one.kind == "failing"}
    return tuple(sorted(kinds - {""}))


def order_of(data: bytes | None) -> ReplayOrder | None:
    """Return what is ordered; None: nothing, or what another version wrote."""
    try:
        return None if data is None else msgspec.json.decode(data, type=ReplayOrder)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


async def report_of(streams: Streams, service: str) -> ReplayReport | None:
    """Return what was found last; None: nothing, or what another version wrote.

    Raises:
        StreamsUnavailable: if the broker is away.
    """
    data = await streams.get(f"replayed.{service}")
    try:
        return None if data is None else msgspec.json.decode(data, type=ReplayReport)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
