"""The judge: watches objectives by what processes say of themselves, and says who is at risk.

It is told beats and the time, and has no other eyes. What it says is entries of the ledger, kind
``alert``, and a status; what it has to remember over a restart is ``JudgeMemory``.

| Code of an entry | Means |
|---|---|
| ``page``, ``ticket`` | an alert begins; ``page.over``, ``ticket.over``: it ends |
| ``joined``, ``joined.over`` | the same of a zone that was paged for another promise already |
| ``transient`` | it was bad for a moment, and nobody was told |
| ``inherited``, ``inherited.over`` | it suffers from somebody else's fault |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from firedoor.control.alerting import Case, change_alerts, status_of, tell_heir, tell_rise
from firedoor.control.tallies import Counted, Seen, Tallies
from firedoor.events.happened import Happened
from firedoor.events.objective import Indicator
from firedoor.slo import budget as budgets
from firedoor.slo import roots
from firedoor.slo.budget import Budget
from firedoor.slo.heartbeat import Heartbeat, listen
from firedoor.slo.objective import Objective, Tick
from firedoor.slo.policy import PAGES, AlertPolicy, Detector, scaled
from firedoor.slo.roots import Heir, Key
from firedoor.slo.status import Alert, SloStatus
from firedoor.slo.watch import Watch, step

LOOK_MAX_S = 5.0
"""Time between two looks that counts against silence at most: who did not look heard nobody."""
ENDED = frozenset({"done", "stopped", "draining", "drained"})
"""States after which nobody is missed."""
UNREADY = frozenset({"not_ready"})
"""States in which a service is missed; one that a person has switched off is not."""


class Remembered(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of one objective. Burn rates are not: their windows are counted anew."""

    zone: str
    indicator: Indicator
    budget: Budget
    watch: Watch
    alerts: tuple[Alert, ...] = ()


class JudgeMemory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a judge goes on with after a restart."""

    objectives: tuple[Remembered, ...] = ()
    seen: dict[str, Seen] = {}


class Judge:
    """Watches the objectives of a pipeline's zones, or of its services."""

    def __init__(
        self,
        objectives: Sequence[Objective],
        *,
        pipeline: str,
        name: str,
        policy: AlertPolicy | None = None,
        memory: JudgeMemory | None = None,
    ) -> None:
        """Begin to watch.

        Args:
            objectives: what is promised.
            pipeline: whose that is.
            name: ``zones`` or ``services``.
            policy: when somebody is told; its time scale is that of each objective.
            memory: of the judge before.
        """
        policy, memory = policy or AlertPolicy(), memory or JudgeMemory()
        self._cases: dict[Key, Case] = {}
        for objective in objectives:
            own = scaled(replace(policy, time_scale=objective.time_scale))
            case = Case(objective=objective, policy=own)
            self._cases[case.key] = case
        self._first: dict[str, Case] = {}
        """By zone, the objective under which its silence is told."""
        for case in self._cases.values():
            self._first.setdefault(case.objective.zone, case)
        for kept in memory.objectives:
            known = self._cases.get(Key(kept.zone, kept.indicator))
            if known is not None:
                known.watch, known.budget = kept.watch, kept.budget
                known.alerts = {alert.severity: alert for alert in kept.alerts}
        self._tallies = Tallies(memory.seen)
        self._pipeline, self._name = pipeline, name
        self._beats: dict[str, Heartbeat] = {}
        self._excused: set[str] = set()
        """Zones that have ended as they should."""
        self._looked_s: float | None = None
        self._listened_s = 0.0
        """Time in which it could hear."""

    # ---- looking

    def look(self, beats: Mapping[str, bytes], *, at_s: float) -> list[Happened]:
        """Take what processes say now; return what has come of it.

        Args:
            beats: all that begin with ``objective.``.
            at_s: seconds since 1970 on a clock that does not go back.
        """
        if self._looked_s is not None:
            self._listened_s += min(LOOK_MAX_S, max(0.0, at_s - self._looked_s))
        self._looked_s = at_s
        counted = self._tallies.look(beats)
        told: list[Happened] = []
        for case in self._cases.values():
            told += self._count(case, counted.get(case.objective.zone), at_s)
        silent = {zone for zone in self._first if self._is_silent(zone, counted.get(zone))}
        firing = {key: self._firing(case, silent) for key, case in self._cases.items()}
        for key in self._unexplained(firing, at_s):
            firing[key] |= {"inherited"}
        for key, case in self._cases.items():
            told += change_alerts(case, firing[key], at_s, others=self._paged_besides(key))
        return told

    def _paged_besides(self, key: Key) -> list[str]:
        """Return further promises of the same zone for which there is a page."""
        return [
            other.indicator
            for other, case in self._cases.items()
            if other.zone == key.zone and other != key and "page" in case.alerts
        ]

    def _count(self, case: Case, counted: Counted | None, at_s: float) -> list[Happened]:
        """Count what a zone's processes have counted."""
        kept = counted.kept[case.objective.indicator] if counted else None
        tick = Tick(at_s=at_s)
        if kept is not None:
            tick = Tick(at_s=at_s, good=kept.good, own=kept.own, inherited=kept.inherited)
        case.budget = budgets.spend(case.budget, tick, period_days=case.objective.period_days)
        if counted is not None and not counted.known:
            tick = Tick(at_s=at_s)  # of the past: it spends the budget, and is no news
        before, left = case.watch, case.left
        case.watch = step(before, tick, case.objective, case.policy)
        return [*tell_rise(case, before, left, at_s), *tell_heir(case, before, at_s)]

    def _is_silent(self, zone: str, counted: Counted | None) -> bool:
        """Return whether a zone gives no sign of life."""
        policy = self._first[zone].policy
        heard = counted is not None and counted.heard
        states = counted.states if counted else ()
        if states:
            ended = all(state in ENDED for state in states)
            self._excused = self._excused | {zone} if ended else self._excused - {zone}
        ready = any(state not in UNREADY for state in states)
        now_s = self._listened_s
        before = self._beats.get(zone, Heartbeat(heard_s=now_s, ready_s=now_s))
        if zone in self._excused:
            heard = ready = True
        after = listen(before, at_s=now_s, heard=heard, ready=ready, policy=policy)
        self._beats[zone] = after
        return after.firing

    def _firing(self, case: Case, silent: set[str]) -> frozenset[Detector]:
        """Return the detectors that fire by the zone's own fault."""
        first = self._first[case.objective.zone] is case
        own: frozenset[Detector] = frozenset({"silent"})
        return case.watch.firing | (own if first and case.objective.zone in silent else frozenset())

    def _unexplained(
        self, firing: Mapping[Key, frozenset[Detector]], at_s: float
    ) -> frozenset[Key]:
        """Return objectives that page since nobody whose fault it is was paged."""
        heirs = {
            key: Heir(
                root=case.watch.inherited.root,
                since_s=case.watch.inherited.since_s,
                paging="page" in case.alerts and "inherited" in case.alerts["page"].detectors,
            )
            for key, case in self._cases.items()
            if case.watch.inherited.since_s is not None
        }
        paged = frozenset(key.zone for key, own in firing.items() if own & set(PAGES))
        policies = [case.policy for case in self._cases.values()]
        if not policies:
            return frozenset()
        quickest = min(policies, key=lambda policy: policy.unexplained_s)
        return roots.unexplained(heirs, paged, at_s=at_s, policy=quickest)

    # ---- saying

    def status(self, *, at_s: float, blind: str = "") -> SloStatus:
        """Return how all objectives are.

        Args:
            at_s: now.
            blind: why nothing is heard now; empty: it is.
        """
        suffering: dict[str, list[str]] = {}
        for case in self._cases.values():
            seen = case.watch.inherited
            if seen.since_s is not None and case.objective.zone not in suffering.get(seen.root, []):
                suffering.setdefault(seen.root, []).append(case.objective.zone)
        return SloStatus(
            pipeline=self._pipeline,
            at_s=at_s,
            judge=self._name,
            objectives=tuple(
                [status_of(case, suffering, at_s=at_s) for case in self._cases.values()]
            ),
            blind=blind,
        )

    def memory(self) -> JudgeMemory:
        """Return what the judge after this one goes on with."""
        return JudgeMemory(
            objectives=tuple(
                Remembered(
                    zone=key.zone,
                    indicator=key.indicator,
                    budget=case.budget,
                    watch=replace(case.watch, rates=()),
                    alerts=tuple(case.alerts.values()),
                )
                for key, case in self._cases.items()
            ),
            seen=self._tallies.seen,
        )
