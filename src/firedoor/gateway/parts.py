"""What a path is made of: one object that its functions share. Used from one event loop."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from firedoor.gateway.attempt import Attempts
from firedoor.gateway.caching import AnswerCache
from firedoor.gateway.circuit import POLICY
from firedoor.gateway.features import FeatureLookups
from firedoor.gateway.identity import Identities
from firedoor.gateway.ladder import Ladder
from firedoor.gateway.latency import Latency
from firedoor.gateway.lease import Lease
from firedoor.gateway.mirror import Mirror
from firedoor.gateway.switches import Switches
from firedoor.gateway.trial import Trial
from firedoor.gateway.versions import OpenVariant, Versions
from firedoor.guarding.slots import Slots
from firedoor.guards.budget import BudgetPolicy
from firedoor.guards.limit import LimitPolicy
from firedoor.guards.shedding import SheddingPolicy
from firedoor.ports.clock import Clock
from firedoor.ports.prediction_log import PredictionLog
from firedoor.ports.variants import Variant
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.flags import Flags

SLOW_SHARE = 0.8
"""Of the time of one attempt: what takes longer is slow, and cuts the limit."""
LIMIT_INITIAL = 256
"""Requests under way at once to begin with; the limit finds its own way from here."""
LIMIT_MIN = 4
WAITING_MAX = 100


class Parts:
    """The state of one service."""

    def __init__(
        self,
        plan: ServicePlan,
        *,
        gateway: str,
        open_variant: OpenVariant,
        clock: Clock,
        seed: int,
        log: PredictionLog | None,
        function: Variant | None,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        """Begin with nothing known."""
        chance = random.Random(seed)  # noqa: S311 - not a secret
        fallback = plan.fallback
        attempt_s = min(plan.limits.attempt_s, plan.limits.timeout_s)
        self.plan, self.gateway, self.chance = plan, gateway, chance
        self.clock, self.spawn = clock, spawn
        self.slow_s = SLOW_SHARE * attempt_s
        self.ids = Identities(gateway, chance)
        self.boot = self.ids.make(clock.utc_s())
        self.switches, self.lease = Switches(plan.name, Flags()), Lease(clock.now_s())
        self.slots = _slots(plan, clock)
        self.attempts = Attempts(clock, attempt_s=attempt_s)
        self.cache: AnswerCache | None = None
        if fallback.cached_max_s is not None:
            self.cache = AnswerCache(bytes_max=fallback.cached_bytes, max_s=fallback.cached_max_s)
        self.ladder = Ladder(
            fallback, self.attempts, clock=clock, cache=self.cache, function=function,
            budget_policy=BudgetPolicy(),
        )  # fmt: skip
        self.versions = Versions(
            open_variant, clock=clock, breaker=POLICY,
            probe_s=attempt_s, grace_s=plan.limits.timeout_s + 1.0, chance=chance, spawn=spawn,
        )  # fmt: skip
        self.mirror = Mirror(clock, attempt_s=attempt_s, chance=chance)
        self.trial, self.ended = Trial(plan, "", None, chance), Trial(plan, "", None, chance)
        self.latency = Latency()
        self.lookups: FeatureLookups | None = None
        self.function = function
        self.log = log if plan.log else None
        self.broken = ""
        """What failed beside requests, the latest of it."""

    def killed(self, capability: str, key: bytes | None = None) -> bool:
        """Return whether a capability is switched off, for this subject; None: for everybody."""
        return bool(self.switches) and self.switches.killed(capability, key)

    def look_for_trips(self) -> None:
        """See whether workers of the candidate die, or it cannot be loaded at all.

        Where the champion was never loaded either, it is what both need, the service's code for
        one, and no version is barred for that.
        """
        arm, live = self.trial.candidate, self.versions.live
        if arm is None:
            return
        alone = live is not None and live.champion.admitted
        because = self.versions.failure(arm)
        if because and alone:
            self.trial.trips.unloadable(because)
        for held in self.versions.held:
            if held.arm == arm and (alone or held.state != "failed"):
                self.trial.trips.look(held.variant.facts)


def _slots(plan: ServicePlan, clock: Clock) -> Slots:
    """Return the places of a service: an adaptive limit, given out by class."""
    most = plan.limits.concurrency
    limit = LimitPolicy(
        initial=min(LIMIT_INITIAL, most), limit_min=min(LIMIT_MIN, most), limit_max=most
    )
    shedding = SheddingPolicy(queue_max=min(WAITING_MAX, most))
    return Slots(plan.name, limit, shedding, clock.now_s, lambda _: None)
