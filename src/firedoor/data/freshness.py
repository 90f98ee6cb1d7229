"""Whether a zone keeps up, looked at each second, and what it keeps of its promises, said then.

A second is bad where something has waited for longer than the zone promises, or nothing goes on.
Whose fault that is the zone's state says; where nothing comes, what the publishers say of
themselves. What waits too long after the zone stood still waits by the same fault as that, until
it has caught up.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.data.observing import Observer
from firedoor.errors import StoreRefused, StreamsUnavailable
from firedoor.events.objective import Objectives
from firedoor.flow import blame
from firedoor.flow.blame import BROKER, Heard, Standing
from firedoor.ports.clock import Clock
from firedoor.ports.streams import Streams
from firedoor.ports.telemetry import Telemetry
from firedoor.spec.plan import Plan
from firedoor.wire.records import InboxNote

LOOK_S = 1.0
STOOD_MIN_S = 2.0
"""A process that stands still for less only waits for its turn at a busy machine."""
STOOD_MAX = 600
"""Seconds that are counted of one standstill."""
HEARD_MAX = 200
"""Processes of neighbours that are remembered."""


class Freshness:
    """The clock of one zone's process by which its promises are judged."""

    def __init__(
        self,
        plan: Plan,
        streams: Streams,
        clock: Clock,
        *,
        conduct: Conduct,
        replica: str,
        telemetry: Telemetry | None = None,
    ) -> None:
        """Take what a zone's process has; ``telemetry`` is told of each batch by ``observer``."""
        self.observer = Observer(conduct, clock, replica=replica, telemetry=telemetry)
        self._zone = conduct.plan.name
        self._inboxes = plan.inboxes(self._zone)
        self._promised_s = conduct.plan.slo.get("freshness_s")
        self._streams = streams
        self._clock = clock
        self._conduct = conduct
        self._key = f"objective.{self._zone}.{replica}"
        self._looked_s = clock.now_s()
        self._behind: str | None = None
        """By whose fault it has not caught up; None: it has."""
        self._blamed = ""
        self._heard: dict[tuple[str, str], Heard] = {}
        """What each process of a neighbour said last."""
        self.beats_lost = 0

    async def watch(self) -> None:
        """Look and say, each second, for ever."""
        await self.say()
        while True:
            began_s = self._clock.now_s()
            await self._clock.wait(LOOK_S)
            await self.look(self._clock.now_s() - began_s - LOOK_S)
            await self.say()

    async def look(self, stood_s: float = 0.0) -> None:
        """Judge the time since the last look.

        Args:
            stood_s: for how long of it this process itself stood still: stopped, or starved of
                processors. Nobody else can say that; the broker may take its time to answer.
        """
        found = await self._judge()
        now_s = self._clock.now_s()
        units = round(now_s - self._looked_s)
        if units < 1:
            return
        self._looked_s += units
        self._blamed = (found.cause or self._zone) if found.how == "bad" else ""
        kept = self.observer.counts.freshness
        if found.how == "unjudged":
            return
        stood = min(units, round(stood_s)) if stood_s >= STOOD_MIN_S else 0
        kept.bad(min(stood, STOOD_MAX))
        if found.how == "bad":
            kept.bad(units - stood, found.cause)
        else:
            kept.good += units - stood

    async def say(self) -> None:
        """Say what was kept so far; nobody has to hear it."""
        try:
            await self._streams.beat(self._key, msgspec.json.encode(self.told()))
        except StreamsUnavailable:
            self.beats_lost += 1

    def told(self) -> Objectives:
        """Return what was kept so far."""
        return self.observer.counts.told(
            self._clock.utc_s(),
            state=self._conduct.word,
            blamed=self._blamed,
            waiting=sum(note.batches for note in self.observer.inboxes.values()),
        )

    async def _judge(self) -> Standing:
        """Return how the zone stands."""
        standing = blame.standing(self._conduct.state)
        if standing.how == "unjudged":
            self._behind = None
            return standing
        try:
            oldest_s = await self._depths()
            if standing.how == "bad":
                full = bool(self._conduct.state.full) and standing.cause not in {"", BROKER}
                cause = await self._root(standing.cause) if full else standing.cause
                self._behind = cause
                return Standing("bad", cause)
            if self._promised_s is not None and oldest_s > self._promised_s:
                return Standing("bad", self._behind or "")
            self._behind = None
            starved_by = "" if self._waiting() else await self._starved_by()
        except (StreamsUnavailable, StoreRefused):
            self._behind = BROKER
            return standing if standing.how == "bad" else Standing("bad", BROKER)
        return Standing("bad", starved_by) if starved_by else standing

    async def _depths(self) -> float:
        """Look into the inboxes; return for how long the oldest batch waits, 0 if there is none."""
        found = 0.0
        for edge in self._inboxes:
            depth = await self._streams.depth(edge.name)
            waits_s = 0.0 if depth.oldest_s is None else self._clock.utc_s() - depth.oldest_s
            found = max(found, waits_s)
            self.observer.inboxes[edge.name] = InboxNote(
                batches=depth.messages,
                bytes=depth.bytes,
                bytes_max=depth.bytes_max or edge.bytes_max,
                oldest_s=max(0.0, waits_s),
            )
        return found

    def _waiting(self) -> bool:
        """Return whether there is anything to do."""
        return any(note.batches for note in self.observer.inboxes.values())

    async def _starved_by(self) -> str:
        """Return by whose fault nothing comes; empty: by nobody's."""
        publishers = dict.fromkeys(edge.publisher for edge in self._inboxes)
        words = {publisher: await self._words(publisher) for publisher in publishers}
        return blame.starves_by(words, self._clock.utc_s())

    async def _root(self, reader: str) -> str:
        """Return whom a reader blames whose inbox is full: itself, or somebody behind it."""
        return blame.root(reader, await self._words(reader), self._clock.utc_s()) or reader

    async def _words(self, neighbour: str) -> Sequence[Heard]:
        """Return what the processes of a neighbour said last, those included that have gone.

        Of those that left as they should, and of those before the ones that speak, nothing is kept.
        """
        said = await self._streams.beats(f"objective.{neighbour}.")
        for key, value in said.items():
            try:
                word = msgspec.json.decode(value, type=Objectives)
            except msgspec.DecodeError:
                continue
            if len(self._heard) < HEARD_MAX:
                heard = Heard(at_s=word.at_s, state=word.state, blamed=word.blamed)
                self._heard[neighbour, key] = heard
        mine = {key: heard for (name, key), heard in self._heard.items() if name == neighbour}
        latest_s = max((heard.at_s for heard in mine.values()), default=0.0)
        for key, heard in mine.items():
            if latest_s - heard.at_s > blame.SILENT_S:
                del self._heard[neighbour, key]
        return [heard for key, heard in mine.items() if (neighbour, key) in self._heard]
