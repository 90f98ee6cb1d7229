"""A service of a gateway: what becomes of a request until there is an answer.

One event loop, and nothing in it waits for a broker, a disk or the control plane: route, flags and
heartbeats are told to the path by whoever reads them, and it goes on with the last ones for as long
as it must.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Self

from firedoor.errors import shorten
from firedoor.gateway import telling
from firedoor.gateway.answering import Answering
from firedoor.gateway.exchange import Answer, Request
from firedoor.gateway.features import FeatureLookups
from firedoor.gateway.labels import Forward, take_labels
from firedoor.gateway.parts import Parts
from firedoor.gateway.replay import replay
from firedoor.gateway.services import Answered, Label, Labelled, ServiceFacts, ServiceMetadata
from firedoor.gateway.steady import Steady
from firedoor.gateway.switches import Switches
from firedoor.gateway.trial import Trial
from firedoor.gateway.versions import OpenVariant
from firedoor.ports.clock import Clock
from firedoor.ports.prediction_log import PredictionLog
from firedoor.ports.variants import Variant
from firedoor.spec.service_plan import ServiceLimits, ServicePlan
from firedoor.wire.evidence import Evidence
from firedoor.wire.flags import Flags
from firedoor.wire.pack import Pack, Replayed
from firedoor.wire.route import Route

TEND_S = 1.0
"""Time between two looks at how versions are."""

MakeLookups = Callable[[Callable[[str], bool]], FeatureLookups]
"""Makes look-ups, given what says whether a capability is killed."""


class ServicePath:
    """One service. Entered and left by one task (``async with``)."""

    def __init__(
        self,
        plan: ServicePlan,
        *,
        gateway: str,
        open_variant: OpenVariant,
        clock: Clock,
        seed: int,
        log: PredictionLog | None = None,
        lookups: MakeLookups | None = None,
        function: Variant | None = None,
        forward: Forward | None = None,
    ) -> None:
        """Begin without a route: nothing is answered before there is one.

        Args:
            plan: what the service declares.
            gateway: name of this gateway; ids carry its letters and digits.
            open_variant: begins to make a version ready.
            clock: what deadlines are on, ``CLOCK_MONOTONIC`` where versions are processes.
            seed: of ids, jitter and samples: another one for each process.
            log: takes copies of answers.
            lookups: makes what looks features up; None: there are none.
            function: answers by the declared function; None: there is none.
            forward: takes labels to the gateway that made the prediction; None: nobody does.
        """
        self._parts = parts = Parts(
            plan, gateway=gateway, open_variant=open_variant, clock=clock, seed=seed, log=log,
            function=function, spawn=self._spawn,
        )  # fmt: skip
        self._clock, self._forward = clock, forward
        if lookups is not None:
            parts.lookups = lookups(self._killed)
        self._group: asyncio.TaskGroup | None = None
        self._tending: asyncio.Task[None] | None = None
        self._answering = Answering(parts)
        self._steady = Steady(parts, self._answering)

    # ---- what it is told

    def set_route(self, route: Route) -> bool:
        """Follow a route; return whether it is news: an older one is none."""
        parts = self._parts
        before, trial = parts.versions.route, parts.trial
        if before is not None:
            if route.generation < before.generation or route == before:
                return False
            parts.lease.alive(self._clock.now_s())
            gone = before.champion not in (route.champion, route.candidate, route.previous)
            if gone and parts.cache is not None:
                parts.cache.forget_version(before.champion.digest)
        if (route.rollout, route.candidate) != (trial.rollout, trial.candidate):
            parts.trial = Trial(parts.plan, route.rollout, route.candidate, parts.chance)
            if trial.rollout:
                parts.ended = trial
        parts.versions.follow(route)
        return True

    def set_flags(self, flags: Flags) -> None:
        """Take a table of flags."""
        self._parts.switches = Switches(self.name, flags)

    def heartbeat(self, value: object) -> None:
        """Take the control plane's beat as it is now: only one that changes is a sign of life."""
        self._parts.lease.heartbeat(value, self._clock.now_s())

    def _killed(self, capability: str) -> bool:
        """Return whether a capability is switched off for everybody."""
        return self._parts.killed(capability)

    def absolve(self, digest: str) -> None:
        """Hold nothing against requests and versions that came of a drill, nor keep its answers.

        Args:
            digest: of the version to which it was done.
        """
        parts = self._parts
        parts.attempts.suspicions.clear()
        parts.versions.forgive()
        if parts.cache is not None:
            parts.cache.forget_version(digest)

    # ---- requests

    def answer(self, request: Request) -> Awaitable[Answer]:
        """Have one request answered, always, within its deadline and a little."""
        return self._answering.answer(request)

    def begin(self, request: Request, answered: Answered) -> bool:
        """Begin to answer a request without a task; False: nothing was done, ``answer`` has to."""
        return self._steady.begin(request, answered)

    async def label(self, labels: Sequence[Label]) -> list[Labelled]:
        """Take labels, and say of each what became of it, in their order."""
        return await take_labels(self._parts, labels, self._forward)

    # ---- what it says of itself

    @property
    def name(self) -> str:
        """As it is declared."""
        return self._parts.plan.name

    @property
    def limits(self) -> ServiceLimits:
        """As they are declared."""
        return self._parts.plan.limits

    @property
    def route(self) -> Route | None:
        """The latest route; not yet followed where its champion is not ready."""
        return self._parts.versions.route

    def facts(self) -> ServiceFacts:
        """Return how it is now."""
        return telling.facts(self._parts)

    def metadata(self, version: str = "") -> ServiceMetadata | None:
        """Return what a version takes; None: there is no such version here."""
        return telling.metadata(self._parts, version)

    def evidence(self, at_s: float) -> Evidence:
        """Return what was counted, for the control plane; ``at_s`` is UTC."""
        return telling.evidence(self._parts, at_s)

    def pack(self, rollout: str) -> bytes:
        """Return what is kept for the successor of a rollout's candidate; empty: nothing is.

        Of the rollout under way and of the one before it. See ``wire.pack``.
        """
        for trial in (self._parts.trial, self._parts.ended):
            if rollout and trial.rollout == rollout:
                return trial.pack(self.name, self._parts.gateway)
        return b""

    def holds(self, digest: str) -> bool:
        """Return whether a version is ready here."""
        held = self._parts.versions.held
        return any(one.arm.digest == digest and one.admitted for one in held)

    async def replay(self, pack: Pack, digest: str) -> Replayed:
        """Ask a version every request of an evidence pack; no caller waits, and it is no evidence.

        Args:
            pack: see ``wire.pack``.
            digest: of the version's bundle; it has to be in the route.
        """
        parts = self._parts
        for held in parts.versions.held:
            if held.arm.digest == digest and held.admitted:
                return await replay(
                    held, pack, clock=self._clock, attempt_s=parts.plan.limits.attempt_s
                )
        return Replayed(missing="the version is not ready here: give it a route in shadow first")

    # ---- its life

    async def __aenter__(self) -> Self:
        """Begin to tend versions."""
        self._group = await asyncio.TaskGroup().__aenter__()
        self._tending = self._group.create_task(self._tend())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close, and wait until everything has ended, whatever ended the block."""
        self.close()
        if self._group is not None:
            await self._group.__aexit__(None, None, None)
            self._group = None

    def close(self) -> None:
        """Let versions finish what they hold, and end; leaving the path waits for it."""
        parts = self._parts
        if self._tending is not None:
            self._tending.cancel()
        parts.versions.close(parts.plan.limits.drain_s)
        if parts.function is not None:
            self._spawn(parts.function.close(parts.plan.limits.drain_s))
        if parts.lookups is not None:
            self._spawn(parts.lookups.close())
        parts.function = parts.lookups = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run what nobody waits for."""
        if self._group is None:
            work.close()
        else:
            self._group.create_task(self._beside(work))

    async def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it; what it raises is noted, and is no request's affair."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - see above
            self._note(error)

    def _note(self, error: Exception) -> None:
        """Have facts say what failed beside requests."""
        self._parts.broken = shorten(f"{type(error).__name__}: {error}")

    async def _tend(self) -> None:
        """Look at how versions are; let go, open and trip as that wants."""
        while True:
            try:
                self._parts.versions.reconsider()
                self._parts.look_for_trips()
            except Exception as error:  # noqa: BLE001 - other services share this process
                self._note(error)
            await self._clock.wait(TEND_S)
