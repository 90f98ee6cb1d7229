"""Whether one promise of one zone was kept while a fault was injected somewhere. Counts decide.

Kept is what the counts allow to be called kept, hurt what chance does not explain. In between is no
evidence, and so is a count that is too small: neither is ever taken for kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from firedoor.drill.counting import at_most, tail, worse
from firedoor.drill.measured import Measured
from firedoor.drill.stage import Seat
from firedoor.events.objective import INDICATORS, Indicator, Kept

Judgement = Literal["kept", "hurt", "excused", "doubtful", "too_few", "sick_before"]
Unit = Literal["rows", "requests", "seconds"]
TRIALS_MIN = 20
"""Batches or requests without which latency is not judged: what befalls one befalls its rows."""
SECONDS_MIN = 5
"""The same for freshness, which is counted in seconds."""
KEPT_CHANCE = 0.05
"""What chance explains no better than this is not called kept."""
SLACK_S = 3.0
SLACK_SHARE = 0.05
"""Seconds and share of a stretch in which a zone may say nothing: its words come each second."""
Excuse = Callable[[Indicator, str], bool]


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """How sure is sure."""

    chance: float
    """Of one promise to be called hurt that is kept: the matrix's doubt, divided by all cells."""
    units_min: int = 200


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of one zone."""

    indicator: Indicator
    judgement: Judgement
    units: int
    unit: Unit = "rows"
    own: int = 0
    """Bad by the zone's own fault."""
    inherited: dict[str, int] = {}
    """Bad by somebody else's: from whom."""
    excused: int = 0
    """Of the inherited ones, those that the hypothesis expects."""
    silent: int = 0
    """Of its own, seconds in which it said nothing at all."""
    budget: float | None = None
    """Share that may be bad; None: nothing is promised, and it is compared with before."""
    before: float | None = None
    """Share that was bad before the fault; None: nothing was counted then."""
    chance: float = 1.0
    """Of so many bad ones, were all well."""
    at_most: float = 1.0
    """Share of bad ones that is not exceeded, with 99 % certainty."""

    @property
    def bad(self) -> int:
        """Return all that were bad."""
        return self.own + sum(self.inherited.values())

    @property
    def counted(self) -> int:
        """Return what counts: bad, and not to be expected."""
        return self.bad - self.excused


def judge(
    seat: Seat, before: Measured, during: Measured, doubt: Doubt, excuse: Excuse
) -> tuple[Finding, ...]:
    """Return what became of each promise of a zone, and of what is counted without one.

    Args:
        seat: the zone.
        before: what it did while nothing was injected.
        during: what it did from the injection until all had recovered.
        doubt: how sure is sure.
        excuse: whether it is expected that it inherits so from somebody.
    """
    return tuple(
        _judge_one(indicator, seat, before, during, doubt, excuse) for indicator in INDICATORS
    )


def _judge_one(
    indicator: Indicator,
    seat: Seat,
    before: Measured,
    during: Measured,
    doubt: Doubt,
    excuse: Excuse,
) -> Finding:
    """Return one of them."""
    now, then, budget = during.of(indicator), before.of(indicator), seat.budget(indicator)
    silent = _silent(before, during) if indicator == "freshness" else 0
    units = now.units + silent
    bad = counted(indicator, before, during, excuse)
    excused = now.own + silent + sum(now.inherited.values()) - bad
    bad_before = then.own + sum(then.inherited.values())
    tries = tries_of(indicator, units - excused, during)
    tries_before = tries_of(indicator, then.units, before)
    hits = scaled(bad, units - excused, tries)
    hits_before = scaled(bad_before, then.units, tries_before)
    by_before = worse(hits, tries, hits_before, tries_before)
    chance = by_before if budget is None else tail(hits, tries, budget)
    alone = 1.0 if budget is None else tail(hits_before, tries_before, budget)
    # What was perhaps missed in the warm-up as well is hurt only if much more is bad now.
    alike = alone < KEPT_CHANCE and by_before >= doubt.chance
    sick = alone < doubt.chance or (alike and chance < doubt.chance)
    enough = _enough(indicator, units - excused, tries, doubt)
    if budget is None:
        enough = enough and _enough(indicator, then.units, tries_before, doubt)
    return Finding(
        indicator=indicator,
        judgement=_weigh(chance, doubt, excused=excused, bad=bad, enough=enough, sick=sick),
        units=units,
        unit=_unit(seat, indicator),
        own=now.own + silent,
        inherited=dict(now.inherited),
        excused=excused,
        silent=silent,
        budget=budget,
        before=bad_before / then.units if then.units else None,
        chance=chance,
        at_most=at_most(hits, tries),
    )


def counted(indicator: Indicator, before: Measured, during: Measured, excuse: Excuse) -> int:
    """Return how many units were bad that should not have been, seconds of silence among them."""
    kept = during.of(indicator)
    silent = _silent(before, during) if indicator == "freshness" else 0
    inherited = sum(n for cause, n in kept.inherited.items() if not excuse(indicator, cause))
    return kept.own + silent + inherited


def _unit(seat: Seat, indicator: Indicator) -> Unit:
    """Return what is counted."""
    if indicator == "freshness":
        return "seconds"
    return "requests" if seat.kind == "service" else "rows"


def _weigh(
    chance: float, doubt: Doubt, *, excused: int, bad: int, enough: bool, sick: bool
) -> Judgement:
    """Return what is to be said of one promise."""
    if sick:
        return "sick_before"
    if bad and chance < doubt.chance:
        return "hurt"  # few units prove harm as well as many do
    if excused:
        return "excused" if chance >= KEPT_CHANCE else "doubtful"
    if not enough:
        return "too_few"
    return "kept" if chance >= KEPT_CHANCE else "doubtful"


def _enough(indicator: Indicator, units: int, tries: int, doubt: Doubt) -> bool:
    """Return whether there is enough to call a promise kept."""
    if indicator == "freshness":
        return units >= SECONDS_MIN
    return units >= doubt.units_min and (indicator != "latency" or tries >= TRIALS_MIN)


def tries_of(indicator: Indicator, units: int, measured: Measured) -> int:
    """Return how many times chance had a say: rows of a batch are late together."""
    return min(units, measured.trials) if indicator == "latency" else units


def scaled(bad: int, units: int, tries: int) -> int:
    """Return how many of the tries were bad: one that was in part is."""
    return 0 if units <= 0 or bad <= 0 else min(tries, -(-bad * tries // units))


def _silent(before: Measured, during: Measured) -> int:
    """Return in how many seconds a zone counted nothing, though it should have.

    What counts itself each second shows by what is missing that it was dead. One that counts no
    seconds is silent while nothing is heard of it.
    """
    slack_s = max(SLACK_S, SLACK_SHARE * during.seconds)
    if before.freshness.units and before.seconds:
        a_second = before.freshness.units / before.seconds
        missing = a_second * (during.seconds - slack_s) - during.freshness.units
        return max(0, int(missing))
    return max(0, int(during.seconds - during.said_s - slack_s))


def share_bad(kept: Kept) -> float | None:
    """Return the share of bad units; None without any."""
    bad = kept.own + sum(kept.inherited.values())
    return bad / kept.units if kept.units else None
