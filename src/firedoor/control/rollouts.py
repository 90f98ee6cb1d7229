"""Drive a service's rollouts: orders and evidence in, the route and the registry out.

The controller keeps nothing to itself: state and counts seen are one value in the broker, changed
by compare-and-set, so that a restart goes on where it was and two controllers cannot both decide.
It may die at any moment. Gateways go on with the route that they have, and without its heartbeat
return to the champion.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from firedoor.control import orders
from firedoor.control.rollout_doing import tell_registry, write_down
from firedoor.control.rollout_evidence import (
    Heard,
    counted,
    cutoffs_of,
    follows,
    goes_on,
    hear,
    look_of,
)
from firedoor.control.rollout_kept import (
    Kept,
    KeptRollouts,
    RoutePost,
    arm_of,
)
from firedoor.control.rollout_orders import event_of, forget_handled
from firedoor.control.rollout_time import is_set_back, without_gap
from firedoor.errors import FiredoorError, ModelsUnavailable, StreamsUnavailable
from firedoor.ports.clock import Clock
from firedoor.ports.rollouts import Drills, Replayer, Versions
from firedoor.ports.streams import Streams
from firedoor.rollout.drilled import Drilled, faults_of
from firedoor.rollout.events import (
    Command,
    Event,
    LiveChanged,
    Looked,
    Note,
    Promote,
    Quarantine,
    Replay,
    Replayed,
    Return,
    Tripped,
)
from firedoor.rollout.machine import Judged, step
from firedoor.rollout.requalify import ReplayOutcome
from firedoor.rollout.stages import heading_of
from firedoor.rollout.state import Rollout, ServiceState
from firedoor.rollout.telling import why_waiting
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.evidence import Evidence
from firedoor.wire.flags import decode_flags

TURN_S = 0.2
"""Between two looks for orders and hard faults: a rollback is under way within it."""
LEASE_S = 1.0
REGISTRY_S = 1.0
DUE_MAX = 200
"""Things to be done or written down that could not be yet; of more, the oldest are dropped."""
GATEWAYS_GONE_MAX = 100
"""Silent gateways of which it is kept what they said last."""
ROUNDS_MAX = 20
"""Commands that come of commands in one turn."""


class RolloutController:
    """One service's rollouts."""

    def __init__(
        self, plan: ServicePlan, *, streams: Streams, versions: Versions, replayer: Replayer,
        drills: Drills, clock: Clock, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Take what it reads and writes; ``tell`` says a line to whoever runs the service."""
        self._plan = plan
        self._streams = streams
        self._versions = versions
        self._replayer = replayer
        self._drills = drills
        self._clock = clock
        self._tell = tell
        self._judged = Judged(labels=bool(plan.loss), columns=len(plan.slices))
        self._rollouts = KeptRollouts(streams, plan.name)
        self._post = RoutePost(streams, plan)
        self._heard: dict[str, Heard] = {}
        self._fresh: list[Command] = []
        """What follows from decisions that are not kept yet: of those nothing is done."""
        self._due: deque[Command] = deque(maxlen=DUE_MAX)
        self._arrived: deque[Event] = deque(maxlen=ROUNDS_MAX)
        """Of replays, which run beside."""
        self._replay: asyncio.Task[None] | None = None
        self._lease_s = self._registry_s = float("-inf")
        self._now_s = 0.0
        self._away: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Drive rollouts until ``stop`` is set. A replay that runs then is begun anew by the next.

        Raises:
            StoreRefused: if what is kept was written by another version of firedoor.
        """
        async with asyncio.TaskGroup() as group:
            while not stop.is_set():
                await self.turn(group)
                await self._clock.wait(TURN_S)
            if self._replay is not None:
                self._replay.cancel()

    async def turn(self, group: asyncio.TaskGroup) -> None:
        """Look once for orders, faults and counts, and do what follows."""
        self._tell_time()
        try:
            await self._beat()
            kept, taken = await self._rollouts.load(ServiceState(service=self._plan.name))
            if taken:
                self._due.extend(self._fresh)
            self._fresh.clear()
            await self._post.load()
            kept = await self._follow_registry(kept)
            kept, ordered = await self._obey(kept)
            kept = await self._listen(kept)
            await self._settle(kept, group)
            if ordered:
                await forget_handled(self._streams, self._plan.name, kept.handled)
            self._say("broker", "")
        except StreamsUnavailable as error:
            self._say("broker", f"nothing is decided for now: {error}")

    def _tell_time(self) -> None:
        """Take the time, which goes forward, unless the clock is set back."""
        now_s = self._clock.utc_s()
        if is_set_back(now_s, self._now_s):
            self._lease_s = self._registry_s = float("-inf")
            self._heard, self._now_s = {}, now_s
        self._now_s = max(self._now_s, now_s)

    # ---- what comes in

    async def _beat(self) -> None:
        """Give the sign of life without which gateways return to the champion."""
        if self._now_s - self._lease_s >= LEASE_S:
            await self._streams.beat(f"lease.{self._plan.name}", repr(self._now_s).encode())
            self._lease_s = self._now_s

    async def _follow_registry(self, kept: Kept) -> Kept:
        """Take in at once what a person changed in the registry by hand."""
        if self._now_s - self._registry_s < REGISTRY_S:
            return kept
        self._registry_s = self._now_s
        try:
            standing = await self._versions.standing()
        except ModelsUnavailable as error:
            self._say("registry", f"going by what is known: {error}")
            return kept
        self._say("registry", "")
        if standing.live is None or standing.live == kept.state.live:
            return kept
        event = LiveChanged(live=standing.live, previous=standing.previous, by=standing.by)
        return self._apply(kept, event)

    async def _obey(self, kept: Kept) -> tuple[Kept, bool]:
        """See to orders, the oldest first; return whether there were any."""
        table = await orders.read_orders(self._streams, self._plan.name)
        for order in table.orders:
            if order.number <= kept.handled:
                continue
            event = await event_of(order, self._versions)
            if isinstance(event, Note):
                self._fresh.append(event)
            else:
                kept = self._apply(kept, event)
            kept = replace(kept, handled=order.number)
        return kept, bool(table.orders)

    async def _listen(self, kept: Kept) -> Kept:
        """Take in faults at once, and counts when a look is due."""
        name = self._plan.name
        beats = await self._streams.beats(f"evidence.{name}.")
        self._heard = hear(self._heard, beats.values(), service=name, now_s=self._now_s)
        while self._arrived:
            kept = self._apply(kept, self._arrived.popleft())
        kept = await self._trip(kept)
        kept = without_gap(kept, self._plan.rollout, self._now_s)
        kept = self._begin_counting(kept)
        state, policy = kept.state, self._plan.rollout
        idle = state.current is None and not state.waiting and not state.returning
        if not idle and self._now_s - kept.looked_s >= policy.look_s / policy.time_scale:
            kept = await self._look(kept)
        elif not idle or not kept.seen:
            return kept
        waits = why_waiting(
            kept.state, policy, self._now_s, labels=self._judged.labels,
            columns=self._judged.columns,
        )  # fmt: skip
        return replace(kept, waits=waits, seen={} if kept.state.current is None else kept.seen)

    async def _trip(self, kept: Kept) -> Kept:
        """Go back at once on a hard fault, or when the candidate's kill switch was thrown."""
        rollout = kept.state.current
        if rollout is None or rollout.phase == "rolling_back":
            return kept
        name = kept.state.name_of(rollout)
        for said in self._spoken():
            for kind, detail in said.trips.items() if said.rollout == name else ():
                kept = self._apply(kept, Tripped(rollout=name, kind=kind, detail=detail))
        data = await self._streams.get("flags")
        table = decode_flags(data) if data else None
        switch = f"kill.{self._plan.name}.candidate"
        flag = None if table is None else table.flags.get(switch)
        if flag is not None and flag.value is True and flag.share > 0:
            why = f"{flag.by}: {flag.because}"
            kept = self._apply(kept, Tripped(rollout=name, kind="killed", detail=why))
        return kept

    def _begin_counting(self, kept: Kept) -> Kept:
        """Take what a gateway says first of this route as where counting begins."""
        fresh = {
            said.gateway: counted(said)
            for said in self._following(kept)
            if not goes_on(kept.seen.get(said.gateway), said)
        }
        return replace(kept, seen={**kept.seen, **fresh}) if fresh else kept

    async def _look(self, kept: Kept) -> Kept:
        """Judge what came since the last look."""
        rollout, following = kept.state.current, self._following(kept)
        place = None if rollout is None else rollout.place
        look = look_of(kept.seen, following, shadow=place == "shadow")
        ready = rollout is not None and self._is_ready(rollout)
        drills: tuple[Drilled, ...] = ()
        if rollout is not None and rollout.hold == "drill":
            drills = await self._drills.last(rollout.faults)
        cutoffs = cutoffs_of(self._spoken())
        event = Looked(look=look, ready=ready, cutoffs=cutoffs, drills=drills)
        seen = {said.gateway: counted(said) for said in following}
        old = {name: said for name, said in kept.seen.items() if name not in seen}
        old = dict(list(old.items())[-GATEWAYS_GONE_MAX:])
        kept = replace(kept, seen={**old, **seen}, looked_s=self._now_s)
        return self._apply(kept, event)

    def _spoken(self) -> list[Evidence]:
        """Return what gateways say that are not silent, in the order of their names."""
        return [self._heard[name].said for name in sorted(self._heard)]

    def _following(self, kept: Kept) -> list[Evidence]:
        """Return what those say that follow the route as it is now."""
        if kept.state.current is None:
            return []
        name = kept.state.name_of(kept.state.current)
        generation = self._post.generation
        return [
            said for said in self._spoken() if follows(said, rollout=name, generation=generation)
        ]

    def _is_ready(self, rollout: Rollout) -> bool:
        """Return whether every gateway that speaks has the candidate ready."""
        name = arm_of(self._plan, rollout.candidate).name
        spoken = self._spoken()
        states = [said.variants.get(name, "").partition(":")[0] for said in spoken]
        return bool(states) and all(state == "ready" for state in states)

    # ---- what goes out

    def _apply(self, kept: Kept, event: Event) -> Kept:
        """Have the machine decide."""
        state, commands = step(
            kept.state, event, self._plan.rollout, self._now_s, judged=self._judged
        )
        self._fresh.extend(commands)
        return replace(kept, state=state)

    async def _settle(self, kept: Kept, group: asyncio.TaskGroup) -> None:
        """Keep the state, then the route, then do what is due; each may lead to more."""
        for _ in range(ROUNDS_MAX):
            await self._rollouts.save(kept)
            self._due.extend(self._fresh)
            self._fresh.clear()
            heading = heading_of(kept.state, self._plan.rollout, labels=self._judged.labels)
            followed = max((said.generation for said in self._spoken()), default=0)
            await self._post.send(kept.state, heading, self._now_s, followed=followed)
            before = kept
            while self._due and kept is before:
                kept = await self._do(kept, self._due[0], group)
                self._due.popleft()
            if kept is before:
                return

    async def _do(self, kept: Kept, command: Command, group: asyncio.TaskGroup) -> Kept:
        """Do one thing."""
        match command:
            case Note():
                await write_down(
                    command, self._streams, service=self._plan.name, at_s=self._now_s,
                    tell=self._tell,
                )  # fmt: skip
            case Replay():
                if self._replay is None or self._replay.done():
                    self._replay = group.create_task(self._run_replay(command))
            case Promote() | Quarantine() | Return():
                packs = sum(said.pack for said in self._spoken())
                self._registry_s = float("-inf")
                try:
                    event = await tell_registry(command, self._versions, kept=packs)
                except ModelsUnavailable as error:
                    self._say("registry", f"it will be told later: {error}")
                    return kept
                if event is not None:
                    kept = self._apply(kept, event)
        return kept

    async def _run_replay(self, command: Replay) -> None:
        """Replay what was kept, and have the machine judge it at the next turn."""
        try:
            arm = arm_of(self._plan, command.candidate)
            outcome = await self._replayer.replay(command.pack, arm)
        except FiredoorError as error:
            outcome = ReplayOutcome(missing=str(error))
        drills = await self._drills.last(faults_of(outcome.kinds))
        self._arrived.append(Replayed(rollout=command.rollout, outcome=outcome, drills=drills))

    def _say(self, what: str, line: str) -> None:
        """Say once that something is away; without a line: it is there again."""
        if line and what not in self._away:
            self._tell(f"rollouts of {self._plan.name}: {line}")
        (self._away.add if line else self._away.discard)(what)
