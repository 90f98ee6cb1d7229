"""Feed new code with copies of batches, and keep what is seen, beside the live zone.

One copy waits at most; batches that come meanwhile are counted and not copied. What is seen is
added to ``shadow.<zone>`` by compare-and-set, so that several processes of a zone, and one that is
killed and started again, add to the same evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_never

import msgspec
from msgspec.structs import replace

from firedoor.data.bell import Bell
from firedoor.data.beside import Beside, BesideDied, BesideHangs, Copy, Failed, Ready, Said, Tried
from firedoor.errors import NotKnown, StreamsUnavailable
from firedoor.flow.code import Evidence, add, join
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults, NoFaults
from firedoor.ports.stage import Handled, Journal, Stage
from firedoor.ports.streams import Streams
from firedoor.wire.envelope import Envelope
from firedoor.wire.records import GuardNote, GuardOrder
from firedoor.wire.shadow import Shadow, read_shadow, shadow_key

LOOK_S = 1.0
"""How often it is looked whether code shall be tried."""
SWAPS_MAX = 10
REST_S = 1.0
"""After the process has died."""

Open = Callable[[Shadow], Awaitable[Beside]]
"""Makes what runs the new code. Raises NotKnown if there is no such code here."""


class Shadowing:
    """What a zone's process does about new code that is tried beside it."""

    def __init__(self, zone: str, version: str, clock: Clock, *, make: Open) -> None:
        """Wait until some code is wanted.

        Args:
            zone: its name.
            version: of the live code: beside another one nothing is compared.
            clock: the time.
            make: makes what runs the new code.
        """
        self._zone = zone
        self._version = version
        self._clock = clock
        self._open = make
        self._bell = Bell()
        self._wanted: Shadow | None = None
        self._beside: Beside | None = None
        self._waiting: Copy | None = None
        self._seen = Evidence()
        """What is not kept yet."""

    def offer(self, copy: Copy) -> None:
        """Take a batch that the live zone has done, if nothing waits already. Never waits."""
        if self._wanted is None:
            return
        if self._waiting is not None:
            self._seen = replace(self._seen, skipped=self._seen.skipped + 1)
            return
        self._waiting = copy
        self._bell.ring()

    @property
    def wanted(self) -> bool:
        """Whether copies are wanted."""
        return self._wanted is not None

    async def run(self, streams: Streams) -> None:
        """Try what is wanted, for ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(streams))
                group.create_task(self._work(streams))
        finally:
            await self._drop()

    async def _follow(self, streams: Streams) -> None:
        """Look what is wanted, for ever; what is wanted no more is ended at once."""
        while True:
            await self._look(streams)
            await self._clock.wait(LOOK_S)

    async def _work(self, streams: Streams) -> None:
        """Try what waits, for ever."""
        while True:
            wanted = self._wanted
            if wanted is None or self._waiting is None:
                await self._bell.wait(LOOK_S)
                continue
            await self._try(wanted)
            if self._wanted is None or not _same(self._wanted, wanted):
                self._seen = Evidence()  # it was ended meanwhile: what came of that is nobody's
            else:
                await self._keep(streams)

    async def _look(self, streams: Streams) -> None:
        """Read what is wanted; what cannot be read now is as it was."""
        try:
            found = read_shadow(await streams.get(shadow_key(self._zone)))
        except StreamsUnavailable:
            return
        await self._want(found)

    async def _want(self, found: Shadow | None) -> None:
        """Follow what is wanted."""
        wanted = found if found is not None and self._is_due(found) else None
        if wanted is None or (self._wanted is not None and not _same(wanted, self._wanted)):
            await self._drop()
        self._wanted = wanted

    def _is_due(self, found: Shadow) -> bool:
        """Return whether there is something to be seen yet."""
        live = found.state == "running" and found.beside == self._version
        return live and not found.verdict.complete

    async def _drop(self) -> None:
        """End what runs the code."""
        self._wanted = None
        self._seen = Evidence()
        await self._close()

    async def _try(self, wanted: Shadow) -> None:
        """Have the copy tried that waits, and take down what came of it."""
        try:
            beside = self._beside
            if beside is None:
                beside = self._beside = await self._open(wanted)
                said = await beside.begin()
                if self._beside is not beside:
                    await beside.close()  # it was ended before it had begun
                    return
                if isinstance(said, Failed):
                    self._fault(said.message)
                    await self._close()
                    return
            copy, self._waiting = self._waiting, None  # what comes now may wait: there is room
            if copy is not None:
                self._take_down(await beside.take(copy), copy)
        except NotKnown as error:  # on a machine that does not see the folder it is tried nowhere
            self._waiting = None
            self._seen = join(self._seen, Evidence(waited=1, last=str(error)))
        except BesideHangs as error:
            self._fault(f"it hangs: {error}")
            await self._close()
        except BesideDied as error:
            self._seen = join(self._seen, Evidence(deaths=1, last=str(error)))
            await self._close()
            await self._clock.wait(REST_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, the live zone goes on
            self._fault(f"it cannot be tried: {error}")
            await self._close()

    def _take_down(self, said: Said, copy: Copy) -> None:
        """Take down what is said of a copy."""
        match said:
            case Tried(compared=compared):
                seen = replace(compared, peak_bytes_old=copy.peak_bytes, lost_old=copy.lost)
                self._seen = add(self._seen, seen)
            case Failed(what="away", message=message):
                waited = self._seen.waited + 1
                self._seen = replace(self._seen, waited=waited, last=message)
            case Failed(message=message):
                self._fault(message)
            case Ready():
                self._fault("it said that it is ready where it was asked for rows")
            case _:
                assert_never(said)

    def _fault(self, message: str) -> None:
        """Take down that the code is at fault."""
        self._waiting = None
        self._seen = join(self._seen, Evidence(faults=(message,)))

    async def _close(self) -> None:
        """End the process; another one is started for the next copy."""
        self._waiting = None
        beside, self._beside = self._beside, None
        if beside is not None:
            await beside.close()

    async def _keep(self, streams: Streams) -> None:
        """Add what was seen to what is kept; while the broker is away it waits here."""
        try:
            for _ in range(SWAPS_MAX):
                value = await streams.get(shadow_key(self._zone))
                found = read_shadow(value)
                if found is None or self._wanted is None or not _same(found, self._wanted):
                    await self._want(found)
                    return
                joined = replace(found, evidence=join(found.evidence, self._seen))
                if await streams.swap(shadow_key(self._zone), msgspec.json.encode(joined), value):
                    self._seen = Evidence()
                    await self._want(joined)
                    return
        except StreamsUnavailable:
            return


class ShadowedStage:
    """The live stage, of whose batches copies are offered. See ``ports.stage.Stage``."""

    def __init__(self, stage: Stage, shadowing: Shadowing, *, faults: Faults | None = None) -> None:
        """Stand before the live one."""
        self._stage = stage
        self._shadowing = shadowing
        self._faults: Faults = NoFaults() if faults is None else faults

    async def warm(self) -> None:
        """Warm the live one, if it can be."""
        warm = getattr(self._stage, "warm", None)
        if warm is not None:
            await warm()

    async def handle(self, envelope: Envelope, payload: bytes, journal: Journal) -> Handled:
        """Take a batch through the live one. See ``ports.stage.Stage.handle``."""
        lost = self._stage.workers_lost()
        handled = await self._stage.handle(envelope, payload, journal)
        # What a drill has changed would look like what new code changes.
        if self._shadowing.wanted and not self._faults.struck(envelope.batch):
            peak = getattr(self._stage, "peak_bytes", None)
            copy = Copy(
                envelope=envelope,
                payload=payload,
                handled=handled,
                peak_bytes=0 if peak is None else peak(),
                lost=self._stage.workers_lost() - lost,
            )
            self._shadowing.offer(copy)
        return handled

    def workers_lost(self) -> int:
        """Return how many workers of the live one died so far."""
        return self._stage.workers_lost()

    def guards(self) -> tuple[GuardNote, ...]:
        """Return how the live one's guards are."""
        return self._stage.guards()

    def order(self, orders: tuple[GuardOrder, ...]) -> None:
        """Have the live one's guards do as a person wants."""
        self._stage.order(orders)

    def report(self) -> str:
        """Return what happened to the live one."""
        return self._stage.report()

    def processes(self) -> dict[str, list[int]]:
        """Return process ids of the live one, where there are any."""
        processes = getattr(self._stage, "processes", None)
        return {} if processes is None else processes()

    def close(self) -> None:
        """End the live one's workers."""
        self._stage.close()


def _same(one: Shadow, other: Shadow) -> bool:
    """Return whether two are of the same order."""
    return (one.version, one.at_s) == (other.version, other.at_s) and one.state == other.state
