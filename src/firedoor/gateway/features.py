"""Features that are looked up for a request: the ladder, a value at a time.

Live from the store, or fetched not longer ago than counts as live; else as it was fetched before,
within its bound; else the declared default; else missing. A value that the model does not take in
such a quality makes the request one that no version answers: ``abstain`` says which and why.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from firedoor.gateway.feature_cache import Kept
from firedoor.gateway.feature_group import Batch, FeatureGroup, Values, key_of, wait_for
from firedoor.guards import breaker as breakers
from firedoor.ports.clock import Clock
from firedoor.ports.fetching import Fetcher, FetcherFacts
from firedoor.spec.service_plan import FeaturesPlan
from firedoor.wire.fetching import Columns, Scalar, encode_columns
from firedoor.wire.prediction import Feature

CODES = ("live", "cached", "default", "missing")
"""From the best to the worst."""
LIVE, CACHED, DEFAULT, MISSING = range(4)
LETTERS = "lcdm"
KEY_CHARACTERS_MAX = 1_000
NOTED_ROWS_MAX = 1_000
"""Rows whose codes and ages go to the prediction log."""
_INTEGERS = range(-(2**63), 2**63)


class LookedUp(NamedTuple):
    """What was found for one request."""

    extra: bytes = b""
    """Looked-up columns, for ``wire.serving.Ask.extra``."""
    features: tuple[Feature, ...] = ()
    """By group, for the prediction log."""
    degraded: bool = False
    """Whether a value is worse than live."""
    said: str = ""
    """``weather=cached:42s``, of groups that are worse than live, for ``Answer.features``."""
    abstain: str = ""
    """Why no version may answer; empty: they may."""
    abstain_told: str = ""
    """The same without what the store's own code said, for callers."""
    refused: str = ""
    """Why it cannot be looked up at all, which is the caller's doing; empty: it was."""


class Found(NamedTuple):
    """One value."""

    value: Scalar
    code: int
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFacts:
    """How the look-ups of one group are."""

    breaker: breakers.Word
    because: str
    """Why the store brought nothing the last time, or not all; empty: it did."""
    calls: int
    failed: int
    """Calls that raised, or whose worker died."""
    late: int
    wrong: int
    """Values that could not be used."""
    values: Mapping[str, int]
    """Values that requests were given, by code."""
    entries: int
    entries_bytes: int
    fetcher: FetcherFacts


class FeatureLookups:
    """Looks up all groups of a service. Used from one event loop."""

    def __init__(
        self,
        plans: Sequence[FeaturesPlan],
        fetchers: Mapping[str, Fetcher],
        *,
        clock: Clock,
        killed: Callable[[str], bool],
        dice: random.Random,
    ) -> None:
        """Begin with nothing known.

        Args:
            plans: what the service declares.
            fetchers: by name of the group.
            clock: what deadlines are on.
            killed: whether a capability is switched off: ``features.weather``.
            dice: the chance in the waits of breakers.
        """
        self._clock = clock
        self._fetchers = dict(fetchers)
        self._groups = [
            FeatureGroup(
                plan,
                fetchers[plan.name],
                clock=clock,
                killed=lambda capability=f"features.{plan.name}": killed(capability),  # type: ignore[misc]
                dice=dice,
            )
            for plan in plans
        ]
        self._counts = {plan.name: [0, 0, 0, 0] for plan in plans}
        self.ageing: Callable[[str], float] | None = None
        """Says by how much what is known for a request counts as older than it is, given a text of
        its keys. None: by nothing."""
        self.keys = tuple(dict.fromkeys(column for plan in plans for column in plan.keys))
        """Columns of a request that ``look_up`` is to be given."""

    async def look_up(self, columns: Columns, rows: int, deadline_s: float) -> LookedUp:
        """Return features of each row, in time, whatever the stores do.

        Args:
            columns: of the request, at least those of ``keys`` that it has.
            rows: how many it has.
            deadline_s: on the clock.
        """
        read = [keys_of(columns, rows, group.plan) for group in self._groups]
        for keys in read:
            if isinstance(keys, str):
                return LookedUp(refused=keys)
        now_s = self._clock.now_s()
        aged_s = 0.0 if self.ageing is None else self.ageing(repr(read))
        looked = [
            _Looked(group, keys, self._begin(group, keys, now_s + aged_s))
            for group, keys in zip(self._groups, read, strict=True)
            if not isinstance(keys, str)
        ]
        for look in looked:  # all are under way: together they take as long as the slowest
            until_s = min(now_s + look.group.plan.timeout_s, deadline_s)
            await wait_for(look.batches, until_s - self._clock.now_s())
        return self._tell(looked, aged_s)

    def facts(self) -> dict[str, GroupFacts]:
        """Return how each group is, by name."""
        return {
            group.plan.name: GroupFacts(
                breaker=group.breaker,
                because=group.down_because,
                calls=group.calls,
                failed=group.failed,
                late=group.late,
                wrong=group.wrong,
                values=dict(zip(CODES, self._counts[group.plan.name], strict=True)),
                entries=len(group.cache),
                entries_bytes=group.cache.bytes,
                fetcher=self._fetchers[group.plan.name].facts,
            )
            for group in self._groups
        }

    def absolve(self) -> None:
        """Suspect no key any more: what failed was a drill."""
        for group in self._groups:
            group.absolve()

    async def close(self) -> None:
        """End the workers."""
        for group in self._groups:
            await group.close()

    def _begin(self, group: FeatureGroup, keys: Keys, now_s: float) -> list[Batch]:
        """Ask the store for keys of which nothing is known that counts as live."""
        plan = group.plan
        wanted: dict[bytes, Values] = {}
        for key, values in keys.distinct.items():
            kept = group.cache.get(key) if plan.fresh_s else None
            if kept is None or not all(
                at_s is not None and now_s - at_s <= plan.fresh_s for at_s in kept.at_s
            ):
                wanted[key] = values
        return group.ask(wanted) if wanted else []

    def _tell(self, looked: Sequence[_Looked], aged_s: float) -> LookedUp:
        """Return what requests are given, of all groups."""
        now_s = self._clock.now_s() + aged_s
        extra: dict[str, list[Scalar]] = {}
        features: list[Feature] = []
        said: list[str] = []
        abstain = abstain_told = ""
        for look in looked:
            table = look.values(now_s, aged_s)
            rows = [table[key] for key in look.keys.rows]
            plan = look.group.plan
            for at, column in enumerate(plan.columns):
                extra[column] = [row[at].value for row in rows]
            self._count(plan.name, rows)
            feature = summed_up(plan, rows)
            features.append(feature)
            if feature.code != CODES[LIVE]:
                said.append(_said(feature))
                if not abstain_told:
                    abstain_told = beyond(plan, rows)
                    abstain = abstain_told + _why(look.group.down_because) if abstain_told else ""
        return LookedUp(
            extra=encode_columns(extra) if extra else b"",
            features=tuple(features),
            degraded=bool(said),
            said=",".join(said),
            abstain=abstain,
            abstain_told=abstain_told,
        )

    def _count(self, group: str, rows: Sequence[Sequence[Found]]) -> None:
        """Count values by code."""
        counts = self._counts[group]
        for row in rows:
            for found in row:
                counts[found.code] += 1


class Keys(NamedTuple):
    """By what one group is looked up for a request."""

    rows: list[bytes]
    """One a row."""
    distinct: dict[bytes, Values]


class _Looked(NamedTuple):
    """One group on its way."""

    group: FeatureGroup
    keys: Keys
    batches: list[Batch]

    def values(self, now_s: float, aged_s: float) -> dict[bytes, list[Found]]:
        """Return a value a column, by key; all counts as older by ``aged_s``, now included."""
        fetched: dict[bytes, tuple[Kept, float]] = {}
        for batch in self.batches:
            for key, kept in batch.found.items():
                fetched[key] = kept, batch.begun_s
        plan, table = self.group.plan, {}
        for key in self.keys.distinct:
            if key in fetched:
                kept, begun_s = fetched[key]
                table[key] = climb(plan, kept, now_s, begun_s + aged_s)
            else:
                table[key] = climb(plan, self.group.cache.get(key), now_s)
        return table


def keys_of(columns: Columns, rows: int, plan: FeaturesPlan) -> Keys | str:
    """Return the keys of a request's rows, or why it has none and what to do."""
    for name in plan.keys:
        if name not in columns:
            return f"there is no column {name!r}, by which {plan.name} is looked up: send it"
        given = columns[name]
        if len(given) != rows:
            return f"{name!r} has {len(given)} values for {rows} rows: send one a row"
        for row, value in enumerate(given):
            if not _is_key(value):
                why = "none" if value is None else "one that is no text, number or switch"
                return (
                    f"row {row} has {why} in {name!r}, by which {plan.name} is looked up: send a "
                    f"text of at most {KEY_CHARACTERS_MAX:,} characters, a finite number of 64 "
                    "bits, or true or false"
                )
    listed = list(zip(*(columns[name] for name in plan.keys), strict=True))
    keys = [key_of(values) for values in listed]
    return Keys(keys, dict(zip(keys, listed, strict=True)))


def climb(
    plan: FeaturesPlan, kept: Kept | None, now_s: float, fetched_s: float | None = None
) -> list[Found]:
    """Return a value a column: the best that is there.

    Args:
        plan: of the group.
        kept: what is known of the key.
        now_s: on the clock that ``kept`` is on.
        fetched_s: when the store was asked for this request; None: it was not, or said nothing.
    """
    found: list[Found] = []
    for at, column in enumerate(plan.columns):
        best = None if kept is None else _of_store(plan, kept, at, now_s, fetched_s)
        if best is None:
            default = plan.default or {}
            code = DEFAULT if column in default else MISSING
            best = Found(default.get(column), code, 0.0)
        found.append(best)
    return found


def _of_store(
    plan: FeaturesPlan, kept: Kept, at: int, now_s: float, fetched_s: float | None
) -> Found | None:
    """Return the value that the store gave, now or before; None: there is none to be used.

    A null is one where null is what is declared for want of a value: it makes no difference then.
    """
    value, at_s = kept.values[at], kept.at_s[at]
    if at_s is None or (value is None and not passes_null(plan, tuple(plan.columns)[at])):
        return None
    if fetched_s is not None and at_s >= fetched_s:
        return Found(value, LIVE, 0.0)
    age_s = now_s - at_s
    if plan.fresh_s and age_s <= plan.fresh_s:
        return Found(value, LIVE, age_s)
    if plan.stale_max_s is not None and age_s <= plan.stale_max_s:
        return Found(value, CACHED, age_s)
    return None


def passes_null(plan: FeaturesPlan, column: str) -> bool:
    """Return whether a null of the store is passed on as it is: it is declared as the default."""
    return plan.default is not None and plan.default.get(column, 0) is None


def beyond(plan: FeaturesPlan, rows: Sequence[Sequence[Found]]) -> str:
    """Return which column is worse than the model takes; empty: none is."""
    for at, column in enumerate(plan.columns):
        takes = plan.tolerates.get(column, "default")
        bad = [row[at].code for row in rows if row[at].code > CODES.index(takes)]
        if bad:
            return (
                f"{plan.name}.{column} is {CODES[max(bad)]} in {len(bad)} of {len(rows)} rows, and "
                f"the model takes {takes} at worst"
            )
    return ""


def _why(because: str) -> str:
    """Return why a store brought nothing, as the end of a sentence."""
    return f": {because or 'the store has none, or none that can be used'}"


def summed_up(plan: FeaturesPlan, rows: Sequence[Sequence[Found]]) -> Feature:
    """Return what is noted of a group: its worst, and the exceptions a column and row."""
    worst, age_s = LIVE, 0.0
    codes: dict[str, str] = {}
    ages_s: dict[str, tuple[float, ...]] = {}
    for at, column in enumerate(plan.columns):
        worst_here = max((row[at].code for row in rows), default=LIVE)
        age_here_s = max((row[at].age_s for row in rows), default=0.0)
        worst, age_s = max(worst, worst_here), max(age_s, age_here_s)
        noted = rows[:NOTED_ROWS_MAX]
        if worst_here:
            codes[column] = "".join(LETTERS[row[at].code] for row in noted)
        if age_here_s:
            ages_s[column] = tuple(round(row[at].age_s, 3) for row in noted)
    return Feature(plan.name, CODES[worst], round(age_s, 3), codes, ages_s)


def _said(feature: Feature) -> str:
    """Return a group's quality for a header: ``weather=cached:42s``."""
    age = f":{feature.age_s:.0f}s" if feature.code == CODES[CACHED] else ""
    return f"{feature.group}={feature.code}{age}"


def _is_key(value: object) -> bool:
    """Return whether something can be looked up by."""
    match value:
        case bool():
            return True
        case int():
            return value in _INTEGERS
        case float():
            return math.isfinite(value)
        case str():
            return len(value) <= KEY_CHARACTERS_MAX
        case _:
            return False
