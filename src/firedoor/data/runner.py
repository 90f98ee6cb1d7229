"""Run a transform or a sink: pull, take through, acknowledge; say how it goes; take orders.

One task for each of: each inbox, what is dispatched, each batch in flight, orders, beats, and
telling the broker what is still being worked on. Each inbox keeps one batch ready, and the inboxes
take turns, so that the stage is never idle and no inbox starves.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable

import msgspec

from firedoor.data.carry import Carrier, Held
from firedoor.data.conduct import Conduct
from firedoor.data.degrading import Degrading
from firedoor.data.insist import Insist
from firedoor.data.outlets import Outlets, Shedder, keep_all
from firedoor.data.probing import Probing
from firedoor.errors import StreamsUnavailable
from firedoor.flow.zone import BrokerAway, Drained, Ordered, ProbeSent, Prompted, Pull, pause_s
from firedoor.ports.clock import Clock
from firedoor.ports.faults import Faults
from firedoor.ports.stage import Stage
from firedoor.ports.streams import Streams
from firedoor.spec.plan import Plan, ZonePlan
from firedoor.wire.records import GuardOrder, Order, ZoneStatus

FETCH_S = 0.5
"""How long one question for a batch waits at an empty inbox; draining waits for it."""
ORDERS_S = 0.5
BEAT_S = 1.0
WORKING_S = 10.0
LOOK_S = 1.0
"""Longest time between two looks at what may be done."""
LOOK_MIN_S = 0.001
"""Shortest wait for the next batch: a rest of a rounding error may be too short to pass at all."""


class Runner:
    """A zone's trusted process: it runs no user code and decodes no rows."""

    def __init__(
        self,
        zone: ZonePlan,
        plan: Plan,
        streams: Streams,
        stage: Stage,
        clock: Clock,
        *,
        replica: str,
        chance: random.Random,
        concurrency: int = 2,
        shed: Shedder = keep_all,
        memory_bytes: Callable[[], int] = lambda: 0,
        faults: Faults | None = None,
    ) -> None:
        """Take what a zone has.

        Args:
            zone: its plan.
            plan: the pipeline's.
            streams: its end of the broker; the runner does not close it.
            stage: the zone's work; the runner does not close it.
            clock: the time.
            replica: which process this is: small letters, digits and ``-``.
            chance: for waits that are not in step with others.
            concurrency: batches in flight: one more than the stage can work on at once.
            shed: what makes a batch less where an inbox is full and the edge sheds, or the zone
                samples.
            memory_bytes: what the zone's processes use, for its status.
            faults: what a drill injects here.
        """
        assert concurrency >= 1, "nothing would ever be in flight"
        self.conduct = Conduct(
            zone, clock, replica=replica, memory_bytes=memory_bytes, faults=faults
        )
        self.beats_lost = 0
        self._zone = zone.name
        self._beat_key = f"zone.{zone.name}.{replica}"
        self._streams = streams
        self._stage = stage
        self._clock = clock
        self._concurrency = concurrency
        self._insist = Insist(self.conduct, clock, chance)
        self._outlets = Outlets(
            plan.outlets(zone.name),
            streams,
            clock,
            conduct=self.conduct,
            insist=self._insist,
            shed=shed,
        )
        self._degrading = Degrading(zone, plan, streams, clock, conduct=self.conduct, sample=shed)
        self._carrier = Carrier(
            zone,
            streams,
            stage,
            clock,
            conduct=self.conduct,
            insist=self._insist,
            outlets=self._outlets,
            degrading=self._degrading,
        )
        self._edges = [edge.name for edge in plan.inboxes(zone.name)]
        inboxes = [streams.inbox(edge) for edge in self._edges]
        self._probing = Probing(streams, inboxes, clock, conduct=self.conduct, replica=replica)
        self._orders: tuple[GuardOrder, ...] = ()
        """What the guards of the step were told."""
        self._ready: dict[str, Held] = {}
        """The next batch of each inbox, by edge; the inbox whose turn it is comes first."""
        self._flying: dict[Held, None] = {}
        """What is in flight, in the order in which it set off."""
        self._started_s = -math.inf
        """When the latest batch set off."""

    def drain(self, because: str = "asked to leave") -> None:
        """Finish what is in flight, take no more, and have ``run`` return."""
        generation = max(0, self.conduct.state.generation)
        self.conduct.tell(Ordered("drain", generation, because))

    def status(self) -> ZoneStatus:
        """Return what is known of the zone."""
        status = self.conduct.status(
            wall=self._stage.report(),
            workers_lost=self._stage.workers_lost(),
            guards=self._stage.guards(),
        )
        return msgspec.structs.replace(status, degraded=self._degrading.told())

    async def run(self) -> None:
        """Run until the zone has drained, by ``drain`` or by an order."""
        async with asyncio.TaskGroup() as group:
            aside = [
                group.create_task(self._beat()),
                group.create_task(self._say_working()),
                group.create_task(self._degrading.watch()),
            ]
            if await self._begin():
                aside.append(group.create_task(self._follow_orders()))
                aside.append(group.create_task(self._probing.run()))
                await self._work(group)
            self.conduct.tell(Drained())
            for task in aside:
                task.cancel()
        await self._beat_once()

    async def _begin(self) -> bool:
        """Learn what is wanted before anything is pulled; False if the zone is to leave first."""
        try:
            await self._insist(self._read_order)
            await self._insist(self._outlets.refresh)
        except StreamsUnavailable:
            return False
        return True

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Pull and dispatch until the zone drains; then finish what is in flight."""
        pulling = [group.create_task(self._pull(edge)) for edge in self._edges]
        await self._dispatch(group)
        while not all(task.done() for task in pulling):
            await self.conduct.bell.wait(LOOK_S)
        await self._give_back_ready()
        while self._flying:
            await self.conduct.bell.wait(LOOK_S)

    # ---- pulling

    async def _pull(self, edge: str) -> None:
        """Keep the next batch of one inbox ready."""
        inbox = self._streams.inbox(edge)
        failed = 0
        while not self.conduct.leaving:
            if edge in self._ready or self._pull_now() not in {"pull", "probe"}:
                await self._look_again()
                continue
            try:
                deliveries = await inbox.fetch(1, FETCH_S)
            except StreamsUnavailable as error:
                self.conduct.tell(BrokerAway(str(error)))
                await self._insist.back_off(failed)
                failed += 1
                continue
            failed = 0
            self._insist.answered()
            for delivery in deliveries:
                self._arrive(Held(delivery))
        self.conduct.bell.ring()

    def _arrive(self, held: Held) -> None:
        """Keep a batch until its turn comes; one that is in hand already only comes again."""
        for known in (*self._flying, *self._ready.values()):
            if known.key == held.key and not known.over:
                known.delivery = held.delivery
                return
        self._ready[held.delivery.edge] = held
        self.conduct.bell.ring()

    def _pull_now(self) -> Pull:
        """Return whether to take another batch; a probe only where this process makes it."""
        pull = self.conduct.pull()
        return "rest" if pull == "probe" and not self._probing.granted else pull

    async def _look_again(self) -> None:
        """Wait until something changes, a probe is due, or the gate lets the next batch in."""
        times = [LOOK_S]
        probe_in_s = self.conduct.probe_in_s()
        if probe_in_s:
            times.append(probe_in_s)
        throttled_s = self._throttled_s()
        if throttled_s > 0:
            times.append(max(throttled_s, LOOK_MIN_S))
        await self.conduct.bell.wait(min(times))

    # ---- dispatching

    async def _dispatch(self, group: asyncio.TaskGroup) -> None:
        """Send batches on their way as the state allows."""
        while not self.conduct.leaving:
            pull = self._pull_now()
            if pull == "rest" and self._ready:
                await self._give_back_ready()
            elif pull in {"pull", "probe"} and self._has_place() and self._ready:
                edge = next(iter(self._ready))
                self._start(self._ready.pop(edge), group, probe=pull == "probe")
            else:
                await self._look_again()

    def _has_place(self) -> bool:
        """Return whether one more batch may be in flight."""
        return len(self._flying) < self._concurrency and self._throttled_s() <= 0

    def _throttled_s(self) -> float:
        """Return how long the gate or the ladder still keeps the next batch."""
        return self._started_s + pause_s(self.conduct.state) - self._clock.now_s()

    def _start(self, held: Held, group: asyncio.TaskGroup, *, probe: bool) -> None:
        """Send one batch on its way."""
        if probe:
            self.conduct.tell(ProbeSent())
        self._started_s = self._clock.now_s()
        self._flying[held] = None
        group.create_task(self._fly(held, probe=probe))
        self.conduct.bell.ring()

    async def _fly(self, held: Held, *, probe: bool) -> None:
        """Take one batch through, and make place for the next."""
        try:
            await self._carrier.carry(held, probe=probe)
        finally:
            del self._flying[held]
            self.conduct.bell.ring()

    async def _give_back_ready(self) -> None:
        """Let go of what is fetched and not begun."""
        while self._ready:
            edge = next(iter(self._ready))
            held = self._ready.pop(edge)
            await self._carrier.give_back(held)

    # ---- beside the batches

    async def _follow_orders(self) -> None:
        """Look what is wanted, for ever."""
        while True:
            await self._clock.wait(ORDERS_S)
            self.conduct.clear()
            try:
                await self._read_order()
                await self._outlets.refresh()
            except StreamsUnavailable:
                continue  # what was wanted last still is

    async def _read_order(self) -> None:
        """Read the order; what cannot be read is none."""
        value = await self._streams.get(f"order.{self._zone}")
        try:
            order = msgspec.json.decode(value, type=Order) if value else Order()
        except msgspec.DecodeError:
            generation = max(0, self.conduct.state.generation)
            order = Order(generation=generation, guards=self._by_persons())
        self.conduct.order(order)
        guards = (*order.guards, *self.conduct.thrown.guards)
        if guards != self._orders:
            self._order_guards(guards)

    def _by_persons(self) -> tuple[GuardOrder, ...]:
        """Return what the guards were told, but for what kill switches tell them."""
        return tuple(order for order in self._orders if order not in self.conduct.thrown.guards)

    def _order_guards(self, orders: tuple[GuardOrder, ...]) -> None:
        """Hand on what a person wants of guards; what waits for a dependency is tried again."""
        known = {order.guard: order.number for order in self._orders}
        for order in orders:
            if order.number > known.get(order.guard, 0):
                because = f": {order.because}" if order.because else ""
                what = f"{order.by or 'somebody'}: {order.want} guard {order.guard}{because}"
                self.conduct.note(what)
        self._orders = orders
        self._stage.order(orders)
        self.conduct.tell(Prompted())

    async def _beat(self) -> None:
        """Say how it goes each second, for ever."""
        while True:
            await self._beat_once()
            await self._clock.wait(BEAT_S)

    async def _beat_once(self) -> None:
        """Say how it goes; nobody has to hear it."""
        try:
            await self._streams.beat(self._beat_key, msgspec.json.encode(self.status()))
        except StreamsUnavailable:
            self.beats_lost += 1

    async def _say_working(self) -> None:
        """Keep what is in hand from being given to others, for ever."""
        while True:
            await self._clock.wait(WORKING_S)
            async with asyncio.TaskGroup() as group:
                for held in (*self._flying, *self._ready.values()):
                    group.create_task(self._keep(held))

    async def _keep(self, held: Held) -> None:
        """Say that one batch is being worked on."""
        try:
            await held.delivery.working()
        except StreamsUnavailable:
            return  # it may come again, and is recognised then
