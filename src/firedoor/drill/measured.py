"""What zones did in a stretch of time: differences of the totals that they say each second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from firedoor.events.objective import BUCKET_BASE_S, BUCKET_GROWTH, Kept, Objectives

K = TypeVar("K")
PROCESSES_MAX = 1_000
"""Whose totals are remembered."""
SILENT_S = 3.0
"""After which a zone of which nothing new is heard is silent: it says something each second."""


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one zone did in a second, or in many of them."""

    seconds: float = 0.0
    """That were looked at."""
    said_s: float = 0.0
    """Of them, those in which a process of it said something."""
    availability: Kept = Kept()
    latency: Kept = Kept()
    freshness: Kept = Kept()
    degraded: int = 0
    dead: int = 0
    latency_s: dict[int, int] = {}
    """Durations by bucket, see ``events.objective``."""
    waiting_max: int = 0
    states: tuple[str, ...] = ()
    """Each that it was in, once."""
    silent: int = 0
    """Seconds in which units were bad and none had a duration."""

    @property
    def trials(self) -> int:
        """Return how many batches or requests there were: what befalls one befalls all its rows."""
        return sum(self.latency_s.values()) + self.silent

    def of(self, indicator: str) -> Kept:
        """Return one indicator."""
        return {"availability": self.availability, "latency": self.latency}.get(
            indicator, self.freshness
        )

    def plus(self, other: Measured) -> Measured:
        """Return both together."""
        return Measured(
            seconds=self.seconds + other.seconds,
            said_s=self.said_s + other.said_s,
            availability=_sum(self.availability, other.availability),
            latency=_sum(self.latency, other.latency),
            freshness=_sum(self.freshness, other.freshness),
            degraded=self.degraded + other.degraded,
            dead=self.dead + other.dead,
            latency_s=_added(self.latency_s, other.latency_s),
            waiting_max=max(self.waiting_max, other.waiting_max),
            states=tuple(dict.fromkeys((*self.states, *other.states))),
            silent=self.silent + other.silent,
        )

    def slower_than_s(self, share: float) -> float | None:
        """Return what so large a share of the durations does not exceed; None without any.

        Up to 5 % too large: the end of a bucket.
        """
        left = sum(self.latency_s.values()) * (1.0 - share)
        for bucket in sorted(self.latency_s, reverse=True):
            left -= self.latency_s[bucket]
            if left < 0:
                return float(BUCKET_BASE_S * BUCKET_GROWTH**bucket)
        return None


NOTHING = Measured()


class Meter:
    """Takes what is said, and gives what came since the look before."""

    def __init__(self) -> None:
        """Know nobody."""
        self._last: dict[tuple[str, str], Objectives] = {}
        self._heard_s: dict[str, float] = {}

    def begin(self, told: Iterable[Objectives], now_s: float) -> None:
        """Take totals to count from: what was before is not looked at."""
        for total in told:
            self._keep(total)
            self._heard_s[total.zone] = now_s

    def take(self, told: Iterable[Objectives], now_s: float, seconds: float) -> dict[str, Measured]:
        """Return what each zone did since, of all that ever said something.

        A process that began anew counts from nothing. What it did after it last said something, and
        before it died, is not known to anybody.

        Args:
            told: what is being said now.
            now_s: when, by a clock that never jumps.
            seconds: since the look before.
        """
        made: dict[str, Measured] = {}
        for total in told:
            before = self._last.get((total.zone, total.process))
            if before is not None and (before.boot, before.at_s) == (total.boot, total.at_s):
                continue  # an old word
            self._keep(total)
            self._heard_s[total.zone] = now_s
            fresh = before is None or before.boot != total.boot
            since = _difference(total, None if fresh else before)
            made[total.zone] = made.get(total.zone, NOTHING).plus(since)
        return {
            zone: replace(
                made.get(zone, NOTHING),
                seconds=seconds,
                said_s=seconds if now_s - heard_s <= SILENT_S else 0.0,
            )
            for zone, heard_s in self._heard_s.items()
        }

    def _keep(self, total: Objectives) -> None:
        self._last.pop((total.zone, total.process), None)
        self._last[total.zone, total.process] = total
        if len(self._last) > PROCESSES_MAX:
            del self._last[next(iter(self._last))]


def _difference(now: Objectives, before: Objectives | None) -> Measured:
    """Return what came between two totals of one process."""
    latency_s = now.latency_s if before is None else _less(now.latency_s, before.latency_s)
    availability = _since(now.availability, None if before is None else before.availability)
    bad = availability.own + sum(availability.inherited.values())
    return Measured(
        availability=availability,
        latency=_since(now.latency, None if before is None else before.latency),
        freshness=_since(now.freshness, None if before is None else before.freshness),
        degraded=max(0, now.degraded - (before.degraded if before else 0)),
        dead=max(0, now.dead - (before.dead if before else 0)),
        latency_s=latency_s,
        waiting_max=now.waiting,
        states=(now.state,) if now.state else (),
        silent=int(bad > 0 and not latency_s),
    )


def _since(now: Kept, before: Kept | None) -> Kept:
    """Return what came between two totals of one indicator; totals never fall."""
    if before is None:
        return now
    return Kept(
        good=max(0, now.good - before.good),
        own=max(0, now.own - before.own),
        inherited=_less(now.inherited, before.inherited),
    )


def _sum(one: Kept, other: Kept) -> Kept:
    """Return both together."""
    return Kept(
        good=one.good + other.good,
        own=one.own + other.own,
        inherited=_added(one.inherited, other.inherited),
    )


def _less(now: Mapping[K, int], before: Mapping[K, int]) -> dict[K, int]:
    return {key: n - before.get(key, 0) for key, n in now.items() if n > before.get(key, 0)}


def _added(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    """Return two counts together."""
    made = dict(one)
    for key, count in other.items():
        made[key] = made.get(key, 0) + count
    return made
