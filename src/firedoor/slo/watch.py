"""All detectors of one objective, fed with what was counted since they were fed last.

Own faults are judged: what is inherited is somebody else's page. It is judged as well, by the same
evidence, so that nobody's fault does not stay unseen; see ``slo.roots``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from firedoor.slo import burn_rate, cusum, low_traffic
from firedoor.slo.burn_rate import BurnRate
from firedoor.slo.cusum import Cusum
from firedoor.slo.low_traffic import LowTraffic
from firedoor.slo.objective import Objective, Tick
from firedoor.slo.policy import AlertPolicy, Detector

RISE_FROM = 2.0
"""Evidence from which it is a rise: one bad slice. It has ended when there is none left."""
CAUSES_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rises:
    """How often evidence rose and went away again: blips, as opposed to outages."""

    begun_s: tuple[float, ...] = ()
    """When the last ones began, at most as many as a ticket takes."""
    open: bool = False
    """Whether one is going on."""
    bad: int = 0
    """Bad units since there was no evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """What comes from others."""

    cusum: Cusum = field(default_factory=Cusum)
    causes: Mapping[str, int] = field(default_factory=dict)
    """Bad units by cause, since there was no evidence."""
    since_s: float | None = None
    """Since when it fires; None: it does not."""

    @property
    def root(self) -> str:
        """Whose fault most of it is; empty: there is none."""
        return max(self.causes, key=lambda cause: self.causes[cause], default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What the detectors of one objective know. ``rates`` are in the policy's order."""

    fast: Cusum = field(default_factory=Cusum)
    slow: Cusum = field(default_factory=Cusum)
    rates: tuple[BurnRate, ...] = ()
    low: LowTraffic = field(default_factory=LowTraffic)
    rises: Rises = field(default_factory=Rises)
    inherited: Inherited = field(default_factory=Inherited)
    good_row: int = 0
    """Good units since the last bad one."""
    bad_s: float = 0.0
    """When a unit was bad last."""
    flapping: bool = False

    @property
    def firing(self) -> frozenset[Detector]:
        """Detectors that fire."""
        found: dict[Detector, bool] = {
            "fast_burn": self.fast.firing,
            "burn_rate": any(rate.firing for rate in self.rates),
            "low_traffic": self.low.firing,
            "slow_burn": self.slow.firing,
            "flapping": self.flapping,
        }
        return frozenset(name for name, fires in found.items() if fires)


def step(watch: Watch, tick: Tick, objective: Objective, policy: AlertPolicy) -> Watch:
    """Return the state after so many units.

    Args:
        watch: before.
        tick: what was counted since.
        objective: that is watched.
        policy: scaled: see ``slo.policy.scaled``.
    """
    if not objective.watched:
        return watch
    bad, units, budget, at_s = tick.own, tick.good + tick.own, objective.budget, tick.at_s
    before = watch.fast
    fast = cusum.count(before, bad, units, at_s=at_s, budget=budget, policy=policy.fast_burn)
    slow = cusum.count(watch.slow, bad, units, at_s=at_s, budget=budget, policy=policy.slow_burn)
    low = low_traffic.count(watch.low, bad, tick.good, at_s=at_s, budget=budget, policy=policy)
    good_row = tick.good if bad else watch.good_row + tick.good
    bad_s = at_s if bad else watch.bad_s
    clean = good_row >= policy.clean_units and at_s - bad_s >= policy.clean_s
    if fast.firing and clean:
        fast = cusum.calm(fast)
    rises = _rise(watch.rises, fast, bad, at_s, policy)
    if fast.firing and not before.firing:  # an outage, and no blip
        rises = replace(rises, begun_s=rises.begun_s[:-1])
    return Watch(
        fast=fast,
        slow=slow,
        rates=_rates(watch.rates, tick, budget, policy, evidence=fast.evidence),
        low=low,
        rises=rises,
        inherited=_inherit(watch.inherited, tick, budget, policy),
        good_row=good_row,
        bad_s=bad_s,
        flapping=len([one for one in rises.begun_s if at_s - one < policy.flap_s]) >= policy.flaps,
    )


def _rates(
    rates: tuple[BurnRate, ...], tick: Tick, budget: float, policy: AlertPolicy, *, evidence: float
) -> tuple[BurnRate, ...]:
    """Return burn rates after so many units."""
    rates = rates or tuple(BurnRate() for _ in policy.burn_rates)
    least = (policy.bad_long_min, policy.bad_short_min)
    bad, units = tick.own, tick.good + tick.own
    after = []
    for rate, windows in zip(rates, policy.burn_rates, strict=True):
        counted = burn_rate.count(rate, bad, units, at_s=tick.at_s, policy=windows)
        judged = burn_rate.judge(
            counted,
            budget=budget,
            policy=windows,
            bad_min=least,
            over_s=policy.over_s,
            may_begin=evidence >= policy.burn_evidence_min,
        )
        after.append(judged)
    return tuple(after)


def _rise(rises: Rises, fast: Cusum, bad: int, at_s: float, policy: AlertPolicy) -> Rises:
    """Return how often evidence rose."""
    if not fast.evidence:
        return replace(rises, open=False, bad=fast.bad)
    counted = rises.bad + bad
    if rises.open or fast.evidence < RISE_FROM or counted < policy.flap_bad_min:
        return replace(rises, bad=counted)
    begun = (*rises.begun_s, at_s)[-policy.flaps :]
    return Rises(begun_s=begun, open=True, bad=counted)


def _inherit(seen: Inherited, tick: Tick, budget: float, policy: AlertPolicy) -> Inherited:
    """Return what comes from others, after so many units."""
    bad = sum(tick.inherited.values())
    after = cusum.count(
        seen.cusum, bad, tick.units, at_s=tick.at_s, budget=budget, policy=policy.fast_burn
    )
    causes = dict(seen.causes) if after.began_s is not None else {}
    for cause, count in tick.inherited.items():
        if cause in causes or len(causes) < CAUSES_MAX:
            causes[cause] = causes.get(cause, 0) + count
    since_s = (seen.since_s or tick.at_s) if after.firing else None
    return Inherited(cusum=after, causes=causes, since_s=since_s)
