"""What a zone does under pressure or without a dependency, and what it requires of those before it.

``degrade=`` is a ladder: older features, then a sample, then a slower pull. ``requires_quality=``
says which batches a zone takes, and what becomes of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from firedoor.errors import DeclarationError
from firedoor.quality.grades import CODES, Below, Code, Demand
from firedoor.spec.checking import check_choice, check_columns, check_number
from firedoor.spec.edge import Published
from firedoor.spec.plan import LadderPlan, ShedPlan

if TYPE_CHECKING:
    from firedoor.spec.lookup import Lookup
    from firedoor.spec.zone import Inbox, Zone

AGE_MAX_S = 30 * 86_400
WAIT_MIN_S, WAIT_MAX_S = 0.05, 60
WEIGHT_MAX = 1e9


@dataclass(frozen=True, slots=True)
class Older:
    """First rung: go on with the last good version of a lookup, up to an age.

    Beyond it the zone pauses until the lookup can be read again: no features are better than wrong
    ones. Entered by age alone, never by pressure.

    >>> Older(max_age_s=3600)
    Older(max_age_s=3600)
    """

    max_age_s: float
    """Greatest age of a lookup when a batch is cut. 1 s to 30 days."""

    def __post_init__(self) -> None:
        """Refuse an age that cannot be."""
        check_number("max_age_s", self.max_age_s, 1, AGE_MAX_S, "seconds")


@dataclass(frozen=True, slots=True)
class Sample:
    """Second rung: under pressure, take the rows of a share of the keys.

    A key is kept in every batch or in none while the rung holds. The others are counted as dropped,
    and the rows that are kept stand for ``1 / keep`` each.

    >>> Sample(keep=0.1, key=["carrier"]).key
    ('carrier',)
    """

    keep: float
    """Share of the keys that is kept. 0.001 to 0.999."""
    key: Sequence[str]
    """Columns whose hash decides."""

    def __post_init__(self) -> None:
        """Refuse what does not say which rows to keep."""
        check_number("keep", self.keep, 0.001, 0.999, "as a share of the keys")
        object.__setattr__(self, "key", check_columns("key", self.key))
        if not self.key:
            remedy = 'write fd.Sample(keep=0.1, key=["tailnum"])'
            raise DeclarationError("key", self.key, "names no column to sample by", remedy)


@dataclass(frozen=True, slots=True)
class Slower:
    """Third rung: under pressure that lasts, wait between two batches."""

    wait_s: float
    """Seconds from the start of a batch to that of the next, at least. 0.05 to 60."""

    def __post_init__(self) -> None:
        """Refuse a wait that cannot be."""
        check_number("wait_s", self.wait_s, WAIT_MIN_S, WAIT_MAX_S, "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a zone requires of the batches that it takes, and what becomes of the others.

    >>> Quality(at_least="older", max_age_s=600).below
    'dead'
    """

    at_least: Code = "live"
    """Worst code that is taken: ``live``, ``older``, ``default`` or ``missing``."""
    max_age_s: float | None = None
    """Greatest age of any of it. 1 s to 30 days; None: any."""
    weight_max: float | None = None
    """How many rows each may stand for. 1 to 1e9; None: any."""
    of: Sequence[str] = ()
    """Lookups and guards of zones upstream that are meant; none: all of them."""
    below: Published = "dead"
    """``dead``: rows of others become dead letters with the code ``quality``. ``drop``: they are
    counted as dropped. A zone that reads the same: they go there instead."""

    def __post_init__(self) -> None:
        """Refuse what requires nothing, or cannot be kept."""
        check_choice("at_least", self.at_least, CODES)
        if self.max_age_s is not None:
            check_number("max_age_s", self.max_age_s, 1, AGE_MAX_S, "seconds")
        if self.weight_max is not None:
            check_number("weight_max", self.weight_max, 1, WEIGHT_MAX, "rows that a row stands for")
        object.__setattr__(self, "of", check_columns("of", self.of))
        if self.at_least == "missing" and self.max_age_s is None and self.weight_max is None:
            why = "takes every batch, so that nothing is required"
            raise DeclarationError("at_least", self.at_least, why, 'write at_least="live"')


class Requiring(TypedDict, total=False):
    """Keyword arguments of every zone that reads."""

    requires_quality: Quality
    """Which batches it takes, by the quality of what they were made of."""


class Degrading(Requiring, total=False):
    """Keyword arguments of a transform."""

    degrade: Sequence[Older | Sample | Slower]
    """What it does under pressure, or while a lookup cannot be read: in this order."""


_LADDER = (Older, Sample, Slower)
_FATES: dict[str, Below] = {"dead": "dead", "drop": "drop"}


def check_ladder(degrade: object, lookups: Mapping[str, Lookup]) -> LadderPlan | None:
    """Return a ladder as plain values, None if there is none.

    Raises:
        DeclarationError: for other rungs or another order, or a rung that would never hold.
    """
    example = 'write degrade=[fd.Older(max_age_s=3600), fd.Sample(keep=0.1, key=["tailnum"])]'
    if isinstance(degrade, str) or not isinstance(degrade, Sequence):
        raise DeclarationError("degrade", degrade, "is no list of rungs", example)
    kinds = [type(rung) for rung in degrade]
    if any(kind not in _LADDER for kind in kinds):
        raise DeclarationError("degrade", degrade, "holds what is no rung", example)
    if kinds != [kind for kind in _LADDER if kind in kinds]:
        why = "is not in order, or names a rung twice"
        remedy = "write fd.Older, fd.Sample, fd.Slower in this order, each at most once"
        raise DeclarationError("degrade", degrade, why, remedy)
    ladder = LadderPlan()
    for rung in degrade:
        ladder = _with_rung(ladder, rung, lookups)
    return ladder if degrade else None


def _with_rung(
    ladder: LadderPlan, rung: Older | Sample | Slower, lookups: Mapping[str, Lookup]
) -> LadderPlan:
    """Return a ladder with one more rung."""
    match rung:
        case Older(max_age_s):
            _check_older(max_age_s, lookups)
            return LadderPlan(older_s=float(max_age_s))
        case Sample(keep, key):
            sample = ShedPlan(keep=float(keep), key=tuple(key))
            return LadderPlan(older_s=ladder.older_s, sample=sample)
        case Slower(wait_s):
            return LadderPlan(older_s=ladder.older_s, sample=ladder.sample, slower_s=float(wait_s))


def _check_older(max_age_s: float, lookups: Mapping[str, Lookup]) -> None:
    """Refuse an age where no lookup is read again, or that every lookup has now and then."""
    fresh = {lookup.name: lookup.live_s for lookup in lookups.values() if lookup.live_s is not None}
    if not fresh:
        why = "is of no use: no lookup of this zone is read again"
        remedy = 'write lookups={"weather": fd.lookup("weather", make_weather, refresh_s=300)}'
        raise DeclarationError("degrade", f"fd.Older(max_age_s={max_age_s:g})", why, remedy)
    for name, live_s in fresh.items():
        if max_age_s <= live_s:
            why = f"is no more than {live_s:g} s, to which age lookup {name!r} counts as live"
            remedy = f"give more than {live_s:g}, or make refresh_s= or fresh_s= of it shorter"
            raise DeclarationError("max_age_s", max_age_s, why, remedy)


def check_demand(
    quality: object,
    inboxes: Sequence[Inbox],
    zones: Mapping[str, Zone],
    find: Callable[[object], Zone],
) -> Demand | None:
    """Return what is required as plain values, None if nothing is.

    Args:
        quality: as the user wrote it.
        inboxes: what the zone reads.
        zones: those that are declared so far.
        find: returns the zone that a handle, function or name stands for.

    Raises:
        DeclarationError: for what nothing upstream could keep or miss.
    """
    if quality is None:
        return None
    if not isinstance(quality, Quality):
        remedy = 'write requires_quality=fd.Quality(at_least="live")'
        raise DeclarationError("requires_quality", quality, "is no fd.Quality", remedy)
    read = [inbox.publisher for inbox in inboxes]
    before = _before(zones, read)
    _check_names(quality, before, inboxes)
    below = _FATES.get(quality.below, "zone") if isinstance(quality.below, str) else "zone"
    otherwise = find(quality.below) if below == "zone" else None
    if otherwise is not None:
        _check_otherwise(otherwise, read)
    return Demand(
        at_least=quality.at_least,
        max_age_s=None if quality.max_age_s is None else float(quality.max_age_s),
        weight_max=None if quality.weight_max is None else float(quality.weight_max),
        of=tuple(quality.of),
        below=below,
        otherwise="" if otherwise is None else otherwise.name,
    )


def _check_names(quality: Quality, before: Sequence[Zone], inboxes: Sequence[Inbox]) -> None:
    """Refuse to require what no zone upstream could ever lack."""
    known = {name: may for zone in before for name, may in _graded(zone).items()}
    for name in quality.of:
        if name not in known:
            listed = f"name one of: {', '.join(sorted(known))}" if known else "there is none"
            raise DeclarationError("of", name, "is no lookup or guard of a zone upstream", listed)
    judged = quality.at_least != "missing" or quality.max_age_s is not None
    if judged and not any(known[name] for name in quality.of or known):
        what = f"{', '.join(quality.of)} is" if quality.of else "what zones upstream join to is"
        why = f"would always hold: {what} never older, and has no fallback"
        remedy = "give the lookup refresh_s=, or the guard a fallback; or leave it out"
        raise DeclarationError("requires_quality", quality.at_least, why, remedy)
    shed = any(inbox.shed is not None and inbox.shed.key for inbox in inboxes)
    if quality.weight_max is not None and not shed and not any(samples(zone) for zone in before):
        why = "would always hold: no zone upstream samples"
        raise DeclarationError("weight_max", quality.weight_max, why, "leave it out")


def _check_otherwise(zone: Zone, read: Sequence[str]) -> None:
    """Refuse a zone that cannot take what is below."""
    missing = sorted(set(read) - {inbox.publisher for inbox in zone.inboxes})
    if missing:
        why = f"does not read {', '.join(missing)}, as this zone does"
        raise DeclarationError("below", zone.name, why, f"write reads={missing[0]} there as well")
    if zone.demand is not None and zone.demand.below == "zone":
        why = "sends what is below on to a zone of its own"
        raise DeclarationError("below", zone.name, why, "name a zone that takes every batch")


def samples(zone: Zone) -> bool:
    """Return whether a zone, or an edge that it reads, may keep a share of the rows."""
    ladder = zone.ladder is not None and zone.ladder.sample is not None
    return ladder or any(inbox.shed is not None and inbox.shed.key for inbox in zone.inboxes)


def _before(zones: Mapping[str, Zone], read: Sequence[str]) -> list[Zone]:
    """Return the zones upstream."""
    found: dict[str, Zone] = {}
    due = list(read)
    while due:
        zone = zones[due.pop()]
        found[zone.name] = zone
        due += [inbox.publisher for inbox in zone.inboxes if inbox.publisher not in found]
    return list(found.values())


def _graded(zone: Zone) -> dict[str, bool]:
    """Return the names of what a zone's rows are made of, and whether each may fall short."""
    named = {lookup.name: lookup.live_s is not None for lookup in zone.lookups.values()}
    guards = {depends.guard.name: bool(depends.guard.fallback) for depends in zone.upkeep.depends}
    return named | guards
