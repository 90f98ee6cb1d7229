"""Follow zones second by second through an exercise: who is hurt since when, and is all well again.

Verdicts are made of sums over all seconds (``judging``). What is seen in a single second serves for
times, and for safety: to take a fault back before it does more harm than it has to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from firedoor.drill.cell import Seen, tell
from firedoor.drill.counting import tail
from firedoor.drill.judging import Doubt, counted, judge
from firedoor.drill.measured import NOTHING, Measured
from firedoor.drill.planning import Exercise
from firedoor.drill.spending import Promise
from firedoor.drill.stage import Seat, Stage
from firedoor.drill.worsening import COMPARED, Control, Evidence, counts_of, weigh
from firedoor.drill.worsening import tell as tell_worse
from firedoor.events.objective import INDICATORS, Indicator

RATE_MIN = 0.001
"""Of bad units that is usual, where nothing is promised and nothing was bad before."""
SECOND_CHANCE = 0.001
"""Of as many bad units in a second, were all well, below which the zone counts as hurt in it."""
HARM_MAX = 5.0
"""Evidence of harm, in nats, at which a fault is taken back: three bad seconds at the least."""
GAIN_MAX, GAIN_MIN = 2.0, -1.0
"""Of a second: no single one, however bad, ends a drill."""
TIMES_WORSE = 10.0
SHARE_WORST = 0.5
BUSY_S = 30.0
WELL = frozenset({"running", "throttled", "ready", "done"})
"""States in which a zone works, or has no more to do."""


@dataclass(slots=True)
class _Zone:
    """What is known of one zone in one exercise."""

    during: Measured = NOTHING
    harm: float = 0.0
    hurt_s: float | None = None
    """After the injection."""
    well_s: float | None = None
    uneasy: bool = False
    """Whether it was not well in the last second."""
    states: tuple[str, ...] = ()
    """In which its processes are now."""
    worse: dict[Indicator, Evidence] = field(default_factory=dict)
    """What speaks for it being worse than in the warm-up."""


@dataclass(slots=True)
class Following:
    """All zones in one exercise. Times are seconds after the injection."""

    stage: Stage
    exercise: Exercise
    before: Mapping[str, Measured]
    """What each did while nothing was injected; zones that are not there said nothing."""
    observed: tuple[str, ...]
    control: Control | None = None
    """What each did in each second of the warm-up; None: that is not compared."""
    quiet_since_s: float | None = None
    """Since when all were well; None: they are not."""
    _zones: dict[str, _Zone] = field(default_factory=dict)

    def add(self, made: Mapping[str, Measured], at_s: float) -> None:
        """Take what zones did in the last second."""
        uneasy = False
        jobs = {seat.name for seat in self.stage.jobs}  # what is heard of those is in ``job_runs``
        for name in {*self.observed, self.exercise.fault.zone} - jobs:
            second, before = made.get(name), self.before.get(name)
            if second is None or before is None:
                continue
            zone, seat = self._zones.setdefault(name, _Zone()), self.stage.seat(name)
            zone.during = zone.during.plus(second)
            zone.states = second.states or zone.states
            hurt = [each for each in INDICATORS if self._hurt(seat, second, before, each)]
            zone.harm = self._harm(seat, second, before, zone.harm)
            self._compare(name, zone, second, at_s)
            if hurt:
                zone.hurt_s = at_s if zone.hurt_s is None else zone.hurt_s
                zone.well_s = at_s
            zone.uneasy = bool(hurt) or not _is_well(second, before)
            uneasy |= zone.uneasy
        if uneasy:
            self.quiet_since_s = None
        elif self.quiet_since_s is None:
            self.quiet_since_s = at_s

    def broken(self, doubt: Doubt) -> str:
        """Return which zone outside is hurt so much that the fault must end; empty: none is."""
        for name in self._outside():
            zone = self._zones[name]
            if zone.harm < HARM_MAX:
                continue
            findings = judge(
                self.stage.seat(name), self.before[name], zone.during, doubt,
                partial(self.exercise.excuses, name),
            )  # fmt: skip
            if any(each.judgement == "hurt" for each in findings):
                return name
        return ""

    def worse(self) -> tuple[tuple[str, str], ...]:
        """Return which zones outside are worse than they were in the warm-up, and by how much.

        They may well keep what they promise, see ``worsening``.
        """
        if self.control is None:
            return ()
        return tuple(
            (name, tell_worse(indicator, evidence))
            for name, zone in self._zones.items()
            for indicator, evidence in zone.worse.items()
            if evidence.fires(self.control.chance)
        )

    def bad_s(self) -> dict[Promise, float]:
        """Return what zones outside have spent of each promise: seconds in which all were bad."""
        made: dict[Promise, float] = {}
        for name in self._outside():
            before, excuse = self.before[name], partial(self.exercise.excuses, name)
            for indicator in INDICATORS:
                units = before.of(indicator).units
                if units:
                    bad = counted(indicator, before, self._zones[name].during, excuse)
                    made[name, indicator] = bad * before.seconds / units
        return made

    def unproven(self, doubt: Doubt) -> tuple[str, ...]:
        """Return those of which too little was seen so far, and that may still show enough."""
        return tuple(
            name
            for name in self._outside()
            if _is_busy(self.before[name], doubt)
            and any(
                each.judgement == "too_few" and each.budget is not None
                for each in judge(
                    self.stage.seat(name), self.before[name], self._zones[name].during, doubt,
                    _no_excuse,
                )
            )
        )  # fmt: skip

    def unwell(self) -> tuple[str, ...]:
        """Return who is not well."""
        return tuple(name for name, zone in self._zones.items() if zone.uneasy)

    def condition(self, name: str, doubt: Doubt) -> str:
        """Return how a zone is, in words: what it says of itself, and what was bad."""
        zone = self._zones[name]
        findings = judge(
            self.stage.seat(name), self.before[name], zone.during, doubt,
            partial(self.exercise.excuses, name),
        )  # fmt: skip
        told = [", ".join(zone.states) or "it says nothing"]
        return "; ".join((*told, *(tell(each) for each in findings if each.bad)))

    def halted(self) -> tuple[str, ...]:
        """Return who halted, and had not before."""
        return tuple(
            name
            for name, zone in self._zones.items()
            if "halted" in zone.states and "halted" not in self.before[name].states
        )

    def hurt(self) -> set[str]:
        """Return who was hurt so far."""
        return {name for name, zone in self._zones.items() if zone.hurt_s is not None}

    def contained_s(self) -> float:
        """Return when the last other zone came to be hurt; 0: none did."""
        others = (
            zone.hurt_s for name, zone in self._zones.items() if name != self.exercise.fault.zone
        )
        return max((at_s for at_s in others if at_s is not None), default=0.0)

    def seen(self, name: str) -> Seen | None:
        """Return what was seen of a zone; None: nothing."""
        zone, before = self._zones.get(name), self.before.get(name)
        if zone is None or before is None:
            return None
        return Seen(
            before=before,
            during=zone.during,
            hurt_s=zone.hurt_s,
            well_s=zone.well_s,
            well=self.quiet_since_s is not None or not zone.uneasy,
        )

    def _outside(self) -> list[str]:
        """Return the zones of which something was seen, and that must not be hurt."""
        return [
            name
            for name in self.observed
            if name in self._zones and name not in self.exercise.may_hurt
        ]

    def _compare(self, name: str, zone: _Zone, second: Measured, at_s: float) -> None:
        """Compare a second of a zone outside with the warm-up."""
        control = self.control
        if control is None or name in self.exercise.may_hurt or name not in control.zones:
            return
        passed = min(1.0, at_s / self.exercise.for_s)
        for indicator in COMPARED:
            zone.worse[indicator] = weigh(
                zone.worse.get(indicator, Evidence()), counts_of(second, indicator),
                control.zones[name][indicator], passed=passed, chance=control.chance,
            )  # fmt: skip

    def _bad(self, seat: Seat, second: Measured, indicator: Indicator) -> tuple[int, int]:
        """Return how many were bad and not to be expected, and of how many."""
        kept = second.of(indicator)
        excused = sum(
            count
            for cause, count in kept.inherited.items()
            if self.exercise.excuses(seat.name, indicator, cause)
        )
        units = kept.units - excused
        bad = kept.own + sum(kept.inherited.values()) - excused
        if indicator == "latency" and units:
            tries = min(units, max(1, second.trials))
            return min(tries, -(-bad * tries // units)), tries
        return bad, units

    def _hurt(self, seat: Seat, second: Measured, before: Measured, indicator: Indicator) -> bool:
        """Return whether a zone was hurt in a second."""
        bad, units = self._bad(seat, second, indicator)
        return bad > 0 and tail(bad, units, _usual(seat, before, indicator)) < (
            SECOND_CHANCE if indicator != "freshness" else KEPT_FRESH
        )

    def _harm(self, seat: Seat, second: Measured, before: Measured, harm: float) -> float:
        """Return the evidence of harm after a second: a sum that forgets and is never below 0."""
        gains = [GAIN_MIN]
        for indicator in INDICATORS:
            bad, units = self._bad(seat, second, indicator)
            usual = _usual(seat, before, indicator)
            worse = min(max(SHARE_WORST, usual), TIMES_WORSE * usual)
            gain = bad * math.log(worse / usual) - units * (worse - usual)
            gains.append(min(GAIN_MAX, max(GAIN_MIN, gain)))
        return max(0.0, harm + max(gains))


KEPT_FRESH = 0.05
"""As ``SECOND_CHANCE``: of freshness there is one unit a second and process."""


def _no_excuse(indicator: Indicator, cause: str) -> bool:
    del indicator, cause
    return False


def _is_busy(before: Measured, doubt: Doubt) -> bool:
    """Return whether a zone does so much that half a minute of it is enough to judge by."""
    if not before.seconds:
        return False
    return before.availability.units / before.seconds * BUSY_S >= doubt.units_min


def _usual(seat: Seat, before: Measured, indicator: Indicator) -> float:
    """Return which share may be bad without anything being the matter."""
    kept = before.of(indicator)
    was = (kept.units - kept.good) / kept.units if kept.units else 0.0
    return min(0.99, max(RATE_MIN, was, seat.budget(indicator) or 0.0))


def _is_well(second: Measured, before: Measured) -> bool:
    """Return whether a zone says that it works, or is as it was before, and is fresh."""
    if second.said_s < second.seconds:
        return False
    stale = second.freshness.units - second.freshness.good
    usual = before.freshness.units - before.freshness.good
    return set(second.states) <= WELL | set(before.states) and (not stale or bool(usual))


def summed(looks: Iterable[Mapping[str, Measured]]) -> dict[str, Measured]:
    """Return what zones did in some seconds."""
    made: dict[str, Measured] = {}
    for look in looks:
        for name, second in look.items():
            made[name] = made.get(name, NOTHING).plus(second)
    return made
