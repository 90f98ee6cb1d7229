"""Publish a batch to every reader, and do what was declared where an inbox is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

import msgspec

from firedoor.data.conduct import Conduct
from firedoor.data.degrading import lesser
from firedoor.data.faults import Leaving
from firedoor.data.insist import Insist
from firedoor.data.routing import decides, routes
from firedoor.data.tries import Tries
from firedoor.errors import StreamFull, StreamsUnavailable
from firedoor.flow import full
from firedoor.flow.full import FullPolicy, Outlet
from firedoor.flow.zone import Emptied, Filled
from firedoor.names import BatchId
from firedoor.ports.clock import Clock
from firedoor.ports.stage import Parcel
from firedoor.ports.streams import Streams
from firedoor.spec.plan import EdgePlan, ShedPlan
from firedoor.wire.envelope import Envelope

Shedder = Callable[[bytes, Envelope, ShedPlan], Parcel]
"""Returns the part of a payload that is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """Where a batch went, in rows by edge. An edge that got nothing is in none of them."""

    published: dict[str, int] = field(default_factory=dict)
    shed: dict[str, int] = field(default_factory=dict)
    missed: tuple[str, ...] = ()
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Its quality sent it to the reader of another edge."""


@dataclass(frozen=True, slots=True)
class _Fate:
    """What became of a batch at one edge."""

    published: int = 0
    shed: int = 0
    missed: bool = False
    left: Exception | None = None


def keep_all(payload: bytes, envelope: Envelope, plan: ShedPlan) -> Parcel:
    """Shed nothing. What a zone uses whose outlets never shed."""
    del plan
    return Parcel(payload, envelope.frame_bytes, envelope.rows, envelope.schema)


class Outlets:
    """A publisher's end of its edges."""

    def __init__(
        self,
        edges: Sequence[EdgePlan],
        streams: Streams,
        clock: Clock,
        *,
        conduct: Conduct,
        insist: Insist,
        shed: Shedder = keep_all,
    ) -> None:
        """Take the edges that one zone publishes to."""
        self._edges = tuple(edges)
        self._streams = streams
        self._clock = clock
        self._conduct = conduct
        self._insist = insist
        self._shed = shed
        self._outlets: dict[str, Outlet] = {}
        self._cut: set[str] = set()

    @property
    def by_quality(self) -> bool:
        """Whether the quality of a batch decides where it goes."""
        return decides(self._edges)

    async def refresh(self) -> None:
        """Learn which edges are cut, and which are attached again.

        Raises:
            StreamsUnavailable: if the broker is away.
        """
        for edge in self._edges:
            if edge.when_full != "detach":
                continue
            cut = await self._streams.get(_key(edge)) not in {None, b"", b"null"}
            if cut and edge.name not in self._cut:
                self._cut.add(edge.name)
            elif not cut and edge.name in self._cut:
                self._cut.discard(edge.name)
                self._outlets.pop(edge.name, None)
                self._conduct.note(
                    f"{edge.name} is attached again", kind="edge", code="attached", about=edge.name
                )

    async def send(
        self, envelope: Envelope, payload: bytes, *, tries: Tries, again: bool = False
    ) -> Sent:
        """Publish a batch to each edge that it may go to; returns when each is settled.

        Args:
            envelope: of the batch as every edge gets it. Without rows it is not published; its
                quality decides between a reader that requires one and the one beside it.
            payload: its rows.
            tries: what is noted of the batch.
            again: whether it was delivered before, so that it may be published already.

        Raises:
            Leaving: if the zone drains and an inbox stays full.
            StreamsUnavailable: if it drains and the broker stays away.
        """
        edges, below = routes(self._edges, envelope) if envelope.rows else ((), ())
        if len(edges) == 1:
            fates = [await self._send(edges[0], envelope, payload, tries, again=again)]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._send(edge, envelope, payload, tries, again=again))
                    for edge in edges
                ]
            fates = [task.result() for task in tasks]
        return replace(_sum(edges, fates), elsewhere={edge.name: envelope.rows for edge in below})

    async def _send(
        self, edge: EdgePlan, envelope: Envelope, payload: bytes, tries: Tries, *, again: bool
    ) -> _Fate:
        """Settle one edge. Errors of leaving are returned, so that other edges are settled too."""
        if edge.by_way:
            batch = BatchId.parse(envelope.batch).by_way_of(edge.publisher)
            envelope = msgspec.structs.replace(envelope, batch=str(batch))
        knock = _Knock(self, edge, envelope, payload, tries)
        try:
            return await knock.until_settled(again=again)
        except (Leaving, StreamsUnavailable) as error:
            return _Fate(left=error)

    # ---- what a knock needs

    def is_cut(self, edge: EdgePlan) -> bool:
        """Return whether nothing is published there."""
        return edge.name in self._cut

    async def publish(self, edge: EdgePlan, envelope: Envelope, payload: bytes) -> bool:
        """Put a batch into an inbox; False if it is full."""
        try:
            await self._insist(lambda: self._streams.publish(edge.name, envelope, payload))
        except StreamFull:
            return False
        known = self._outlets.get(edge.name)
        if known is not None and known.full_since_s is not None:
            self._outlets[edge.name] = full.accepted()
            self._conduct.tell(Emptied(edge.name))
        return True

    async def came(self, edge: EdgePlan, batch: str) -> int | None:
        """Return how many rows of a batch its reader has taken; None: it is not done with it.

        To be asked after an inbox has refused a batch: one that waits there it knows, one that was
        taken it may have forgotten.
        """
        record = await self._insist(lambda: self._streams.recorded(edge.reader, batch))
        return None if record is None else record.rows_in

    def refused(self, edge: EdgePlan, *, tries: int, whole: bool) -> full.Action:
        """Decide what to do after a refusal."""
        outlet, action = full.refused(
            self._outlets.get(edge.name, Outlet()),
            FullPolicy(when_full=edge.when_full),
            self._clock.now_s(),
            tries=tries,
            whole=whole,
            leaving=self._conduct.leaving,
        )
        self._outlets[edge.name] = outlet
        return action

    async def wait(self, edge: EdgePlan, wait_s: float) -> None:
        """Wait for room, and have the zone's state say so."""
        self._conduct.tell(Filled(edge.name))
        await self._clock.wait(wait_s)

    def waits_no_more(self, edge: EdgePlan) -> None:
        """Let the zone go on although the inbox is full."""
        self._conduct.tell(Emptied(edge.name))

    async def cut(self, edge: EdgePlan) -> None:
        """Cut an edge, for every replica and until an operator attaches it again."""
        since_s = self._clock.utc_s()
        because = f"the inbox {edge.name} was full for {FullPolicy().patience_s:.0f} s"
        value = msgspec.json.encode({"since_s": since_s, "because": because})
        await self._insist(lambda: self._streams.put(_key(edge), value))
        if edge.name not in self._cut:
            self._cut.add(edge.name)
            self._conduct.note(
                f"{edge.name} was cut: {because}; `firedoor backfill` brings it what it misses",
                kind="edge",
                code="cut",
                about=edge.name,
            )

    def lessen(self, edge: EdgePlan, envelope: Envelope, payload: bytes) -> tuple[Envelope, bytes]:
        """Return a share of a batch, as the edge declares."""
        plan = edge.shed
        assert plan is not None, f"{edge.name} sheds, and does not say what"
        kept = self._shed(payload, envelope, plan)
        sampled = not plan.priority and plan.keep > 0
        weight = envelope.weight / plan.keep if sampled else envelope.weight
        return lesser(envelope, kept, weight=weight), kept.payload


class _Knock:
    """One batch at one edge."""

    def __init__(
        self, outlets: Outlets, edge: EdgePlan, envelope: Envelope, payload: bytes, tries: Tries
    ) -> None:
        """Begin with the whole batch."""
        self._outlets = outlets
        self._edge = edge
        self._envelope = envelope
        self._payload = payload
        self._tries = tries
        self._whole = envelope.rows
        self._lessened = False

    async def until_settled(self, *, again: bool) -> _Fate:
        """Knock until the batch is in, or is not to go in.

        What was decided in an earlier delivery holds: a part of the batch may be there already.
        """
        outlets, edge = self._outlets, self._edge
        decided = self._tries.noted.shed.get(edge.name)
        if decided == "all":
            return _Fate(shed=self._whole)
        if decided == "share":
            self._lessen()
        if again and outlets.is_cut(edge):
            return self._in() if await self._publish() else await self._misses()
        refusals = 0
        while not outlets.is_cut(edge):
            if not self._envelope.rows:
                return _Fate(shed=self._whole)
            if await self._publish():
                return self._in()
            refusals += 1
            fate = await self._do(outlets.refused(edge, tries=refusals, whole=not self._lessened))
            if fate is not None:
                return fate
        outlets.waits_no_more(edge)  # whoever cut it
        return await self._misses()

    async def _do(self, action: full.Action) -> _Fate | None:
        """Do what was decided about a full inbox; return the batch's fate if that settles it."""
        outlets, edge = self._outlets, self._edge
        loses = isinstance(action, full.Shed | full.Drop | full.Cut)
        if loses and (fate := await self._came()) is not None:
            outlets.waits_no_more(edge)
            return fate
        match action:
            case full.Retry(wait_s):
                await outlets.wait(edge, wait_s)
            case full.Shed():
                await self._tries.shed(edge.name, "share")
                self._lessen()
            case full.Drop():
                await self._tries.shed(edge.name, "all")
                outlets.waits_no_more(edge)
                return _Fate(shed=self._whole)
            case full.Cut():
                await outlets.cut(edge)
            case full.Leave():
                raise Leaving(f"the inbox {edge.name} is full")
            case _:
                assert_never(action)
        return None

    async def _publish(self) -> bool:
        """Try to put in what is to go in."""
        return await self._outlets.publish(self._edge, self._envelope, self._payload)

    async def _misses(self) -> _Fate:
        """Return the fate of a batch that a cut edge does not get any more."""
        return await self._came() or _Fate(missed=True)

    async def _came(self) -> _Fate | None:
        """Return the fate of a batch that the reader got before, from a run that was not recorded.

        A runner may die between publishing and recording, and the broker forgets the ids of what
        was taken. What is shed or missed then was not: the books would be short of these rows.
        """
        rows = await self._outlets.came(self._edge, self._envelope.batch)
        return None if rows is None else _Fate(published=rows, shed=self._whole - rows)

    def _in(self) -> _Fate:
        """Return how many rows went in, and how many did not."""
        return _Fate(published=self._envelope.rows, shed=self._whole - self._envelope.rows)

    def _lessen(self) -> None:
        """Go on with a share."""
        self._lessened = True
        self._envelope, self._payload = self._outlets.lessen(
            self._edge, self._envelope, self._payload
        )


def _key(edge: EdgePlan) -> str:
    """Return the key under which it is kept that an edge is cut."""
    return f"detached.{edge.publisher}.{edge.reader}"


def _sum(edges: Sequence[EdgePlan], fates: Sequence[_Fate]) -> Sent:
    """Put the fates at all edges together; raise if the batch left one unsettled."""
    for fate in fates:
        if fate.left is not None:
            raise fate.left
    pairs = [(edge.name, fate) for edge, fate in zip(edges, fates, strict=True)]
    return Sent(
        published={name: fate.published for name, fate in pairs if fate.published},
        shed={name: fate.shed for name, fate in pairs if fate.shed},
        missed=tuple(name for name, fate in pairs if fate.missed),
    )
