"""What a gateway is told, and what it says, beside the requests that it answers.

Nothing of it is on the path of a request. The broker may be away for as long as it likes: it is
asked again and again, and what it said last holds. The registry is looked at besides, in a thread,
since its folder may be on a network.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from firedoor.compose.champions import Champions, followed
from firedoor.compose.evidence_packs import EvidencePacks
from firedoor.compose.files import explain
from firedoor.compose.flags_file import FlagsFile
from firedoor.compose.serving_folder import ServingFolder
from firedoor.errors import FiredoorError, StreamsUnavailable
from firedoor.events.objective import Objectives
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.wire.evidence import Evidence, encode_evidence
from firedoor.wire.flags import Flags, decode_flags, newer
from firedoor.wire.models import Kept
from firedoor.wire.route import Route, decode_route

POLL_S = 0.2
BEAT_S = 1.0
CONNECT_MIN_S = 0.2
CONNECT_MAX_S = 5.0
AWAY_S = 3.0
"""After so long without an answer the broker is looked for anew: it may be elsewhere."""

TOLD_MAX = 100

_log = logging.getLogger(__name__)
Tell = Callable[[str], None]


class Fed(Protocol):
    """A service that is told what holds: ``gateway.path.ServicePath``. Nothing here waits."""

    def set_route(self, route: Route) -> bool:
        """Answer by this route from now on; return whether it is news."""
        ...

    def set_flags(self, flags: Flags) -> None:
        """Let these flags hold from now on."""
        ...

    def heartbeat(self, value: object) -> None:
        """Take the control plane's beat as it is now: only one that changes is a sign of life."""
        ...

    def evidence(self, at_s: float) -> Evidence:
        """Return what was counted so far; ``at_s`` is UTC."""
        ...

    def pack(self, rollout: str) -> bytes:
        """Return what is kept for the successor of a rollout's candidate; empty: nothing is."""
        ...


@dataclass(slots=True, kw_only=True)
class Feed:
    """The background of one gateway."""

    services: Mapping[str, Fed]
    models: Mapping[str, str]
    """What each service answers by."""
    folder: ServingFolder
    champions: Champions
    flags_file: FlagsFile
    packs: EvidencePacks
    replays: Callable[[Streams], Awaitable[None]]
    """Replays evidence packs as they are ordered; ends where the broker goes away."""
    connect: Callable[[], Awaitable[Streams]]
    """Returns streams, or raises ``FiredoorError``: tried again."""
    gateway: str
    """Its name in keys."""
    clock: Clock
    tell: Tell
    away: str = "not reached yet"
    """Why nothing is heard of the control plane's values, in words; empty: all is well."""
    reached: Callable[[Streams | None], None] = lambda _: None
    """Told when there is a broker to write to, and when there is none."""
    promises: Callable[[], Sequence[Objectives]] = tuple
    """Returns what services have kept of their promises, which is said each second."""
    in_thread: Callable[[Callable[[], None]], Awaitable[None]] = asyncio.to_thread
    """Does what a slow disk may hold up."""
    _routes: dict[str, Route] = field(default_factory=dict)
    """What the control plane said last, by service."""
    _kept: dict[str, Kept] = field(default_factory=dict)
    _followed: dict[str, Route] = field(default_factory=dict)
    _flags: Flags | None = None
    """That hold here."""
    _flags_told: Flags | None = None
    """That the broker said last."""
    _flags_kept: Flags | None = None
    """That were on the disk last."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _told: set[str] = field(default_factory=set)

    async def begin(self) -> None:
        """Have each service follow what was kept on the disk, or else the registry."""
        await self.in_thread(self._read_folder)
        self._obey()
        self._settle()

    def _read_folder(self) -> None:
        """Read what was kept on the disk."""
        for service in self.services:
            route = self.folder.route(service)
            if route is not None:
                self._routes[service] = route
        self._read_disk()

    def following(self, service: str) -> Route | None:
        """Return what a service follows now."""
        return self._followed.get(service)

    def missing(self, service: str) -> str:
        """Return why a service has nothing to answer by, and what to do; empty: it has."""
        if service in self._followed:
            return ""
        model = self.models[service]
        if not self._kept.get(model, Kept()).generation:
            return f"there is no model {model!r} yet: train and promote a version"
        return (
            f"model {model!r} has no champion: promote a version "
            f"(`firedoor models promote {model}@NUMBER`)"
        )

    async def run(self) -> None:
        """Go on for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(self._watch_disk))
            group.create_task(self._for_ever(self._watch_broker))

    async def _for_ever(self, watch: Callable[[], Awaitable[None]]) -> None:
        """Do it again whatever it ends with: requests are answered without it."""
        while True:
            try:
                await watch()
            except Exception:  # noqa: BLE001 - see above
                _log.exception("what gateways are told is asked for anew")
            await self.clock.wait(AWAY_S)

    # ---- the disk

    async def _watch_disk(self) -> None:
        """Look at the registry and the flags' file, for ever."""
        while True:
            await self.clock.wait(POLL_S)
            await self.in_thread(self._read_disk)
            self._obey()
            await self._settle_and_keep()

    def _read_disk(self) -> None:
        """See what the registry says of each model, and which flags hold on this machine."""
        for model in set(self.models.values()):
            self._kept[model] = self.champions.of(model)
        self._flags_kept = self.flags_file.read()

    # ---- the broker

    async def _watch_broker(self) -> None:
        """Connect, listen and speak, for ever."""
        wait_s = CONNECT_MIN_S
        while True:
            try:
                streams = await self.connect()
            except FiredoorError as error:
                self._miss(str(error))
                await self.clock.wait(wait_s)
                wait_s = min(2 * wait_s, CONNECT_MAX_S)
                continue
            wait_s = CONNECT_MIN_S
            self.reached(streams)
            try:
                await self._converse(streams)
            finally:
                self.reached(None)
                await streams.close()

    async def _converse(self, streams: Streams) -> None:
        """Listen and speak until nobody has answered for a while."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(streams))
            speaking = group.create_task(self._speak(streams))
            replaying = group.create_task(self._replay(streams))
            await asyncio.wait([listening, speaking], return_when=asyncio.FIRST_COMPLETED)
            for task in (listening, speaking, replaying):
                task.cancel()

    async def _replay(self, streams: Streams) -> None:
        """Replay what is ordered, for ever."""
        while True:
            with contextlib.suppress(StreamsUnavailable):
                await self.replays(streams)
            await self.clock.wait(BEAT_S)

    async def _listen(self, streams: Streams) -> None:
        """Ask what holds; return once nobody has answered for a while."""
        heard_s = self.clock.now_s()
        while True:
            try:
                await self._look(streams)
            except FiredoorError as error:
                self._miss(str(error))
                if self.clock.now_s() - heard_s >= AWAY_S:
                    return
            else:
                heard_s = self.clock.now_s()
                self._find()
            await self.clock.wait(POLL_S)

    async def _look(self, streams: Streams) -> None:
        """Ask once."""
        changed = False
        for service in self.services:
            changed |= self._take_route(service, await streams.get(f"route.{service}"))
        if changed:
            await self._settle_and_keep()
        await self._take_flags(await streams.get("flags"))
        for key, value in (await streams.beats("lease.")).items():
            fed = self.services.get(key.removeprefix("lease."))
            if fed is not None:
                fed.heartbeat(value)

    def _take_route(self, service: str, data: bytes | None) -> bool:
        """Take what the control plane says of a service; return whether that is new."""
        if data is None:
            return False
        try:
            route = decode_route(data)
        except ValueError as error:
            self._tell_once(f"route.{service} is of another version and not followed: {error}")
            return False
        now = self._routes.get(service)
        if now == route:
            return False
        if now is not None and route.generation < now.generation and route.at_s < now.at_s:
            return False  # from a copy of the store that lags
        self._routes[service] = route
        return True

    async def _take_flags(self, data: bytes | None) -> None:
        """Take the flags, if they are new, and keep them on the disk."""
        told = None if data is None else decode_flags(data)
        if told is None:
            if data is not None:
                self._tell_once("the flags are of another version: those from before hold")
            return
        if told == self._flags_told:
            return
        self._flags_told = told
        self._obey()
        await self.in_thread(lambda: self._keep_flags(told))

    def _keep_flags(self, told: Flags) -> None:
        """Keep flags for the next start, and for others on this machine."""
        try:
            self._flags_kept = self.flags_file.keep(told)
        except (OSError, FiredoorError) as error:
            self._tell_once(f"the flags cannot be kept on the disk: {error}")

    def _obey(self) -> None:
        """Let the flags hold that are the newest, where that has changed."""
        flags = newer(self._flags_kept, self._flags_told)
        if flags != self._flags:
            self._flags = flags
            for fed in self.services.values():
                fed.set_flags(flags)

    async def _speak(self, streams: Streams) -> None:
        """Tell what was counted, for ever: each second, and at once when another route holds."""
        while True:
            for service, fed in self.services.items():
                evidence = encode_evidence(fed.evidence(self.clock.utc_s()))
                with contextlib.suppress(StreamsUnavailable):
                    await streams.beat(f"evidence.{service}.{self.gateway}", evidence)
            for told in self.promises():
                with contextlib.suppress(StreamsUnavailable):
                    key = f"objective.{told.zone}.{told.process}"
                    await streams.beat(key, msgspec.json.encode(told))
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._news.wait()

    # ---- what is followed

    async def _settle_and_keep(self) -> None:
        """Have services follow what holds now, and keep that on the disk."""
        before = dict(self._followed)
        new = self._settle()
        if new:
            await self.in_thread(lambda: self.folder.keep_routes(new))
        for service, route in before.items():
            if route.rollout and route.rollout != self._followed[service].rollout:
                pack = self.services[service].pack(route.rollout)
                if pack:
                    await self.in_thread(functools.partial(self._keep_pack, route.rollout, pack))

    def _keep_pack(self, rollout: str, pack: bytes) -> None:
        """Keep what a rollout that is over failed at, for its successor."""
        try:
            self.packs.keep(rollout, self.gateway, pack)
        except OSError as error:
            self._tell_once(f"what {rollout} failed at cannot be kept: {explain(error)}")

    def _settle(self) -> list[Route]:
        """Have services follow what holds now; return the control plane's routes that are new."""
        new = []
        for service, fed in self.services.items():
            model, route = self.models[service], self._routes.get(service)
            follows = followed(service, model, route, self._kept.get(model, Kept()))
            if follows is None or follows == self._followed.get(service):
                continue
            before = self._followed.get(service)
            self._followed[service] = follows
            self._news.set()
            fed.set_route(follows)
            new.append(follows if route is None else route)
            if before is None or before.champion != follows.champion:
                why = f": {follows.because}" if follows.because else ""
                self.tell(f"{service}: {follows.champion.name} is the champion{why}")
        return [route for route in new if route.generation]

    def _miss(self, why: str) -> None:
        """Note that nobody says anything; tell it once."""
        if self.away in {"", "not reached yet"}:
            self.tell(f"{why}; goes on with what was said last")
        self.away = why

    def _find(self) -> None:
        """Note that somebody does."""
        if self.away and self.away != "not reached yet":
            self.tell("the broker answers again")
        self.away = ""

    def _tell_once(self, line: str) -> None:
        """Tell something the first time that it is so."""
        if line not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(line)
            self.tell(line)
