"""Months of a made-up service with outages and blips, and what detectors make of them."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmarks.rollout_world import poisson
from firedoor.slo.objective import Objective, Tick
from firedoor.slo.policy import AlertPolicy, Detector
from firedoor.slo.watch import Watch, step

DAY_S = 86_400.0
DAYS = 30
BLIPS = 100
EACH = 4
"""Faults of each kind, some hours apart."""
ECHO_S = 6 * 3_600.0
"""An alert that begins so soon after a fault is its echo."""
AFTER_BLIP_S = 600.0
BASE = 0.2
"""Of the budget, spent on a usual day."""
QUIET_TICK_S, CLOSE_TICK_S, CLOSE_S = 30.0, 1.0, 240.0
NORMAL_FROM = 20.0


class Fault(NamedTuple):
    """A time in which more units are bad."""

    kind: str
    began_s: float
    seconds: float
    rate: float

    @property
    def ended_s(self) -> float:
        """When it was over."""
        return self.began_s + self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How much traffic there is, and what is promised."""

    rps: float = 100.0
    target: float = 0.999
    base: float = BASE
    """Of the budget."""
    faults: tuple[tuple[float, float], ...] = ()
    """Rates and seconds of each kind."""
    each: int = EACH
    blips: int = BLIPS
    days: int = DAYS


@dataclass(slots=True)
class Seen:
    """What one detector, or several together, have told."""

    found_s: dict[str, list[float]] = field(default_factory=dict)
    """By kind of fault: after how long, of those that were found."""
    faults: dict[str, int] = field(default_factory=dict)
    false: int = 0
    after_blips: int = 0
    """Of the false ones, those within ten minutes of a blip."""
    echoes: int = 0

    @property
    def found(self) -> int:
        """Faults that were found."""
        return sum(len(each) for each in self.found_s.values())

    def add(self, other: "Seen") -> None:
        """Count another world as well."""
        for kind, each in other.found_s.items():
            self.found_s.setdefault(kind, []).extend(each)
        for kind, count in other.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count
        self.false += other.false
        self.after_blips += other.after_blips
        self.echoes += other.echoes


def draw(service: Service, chance: random.Random) -> tuple[list[Fault], list[Fault]]:
    """Return the faults and the blips of a world, each in order."""
    kinds = [kind for kind in service.faults for _ in range(service.each)]
    chance.shuffle(kinds)
    whole_s = service.days * DAY_S
    share_s = whole_s / max(1, len(kinds))
    faults = []
    for place, (rate, seconds) in enumerate(kinds):
        room_s = share_s - seconds - 10 * 3_600
        began_s = place * share_s + 5 * 3_600 + chance.random() * room_s
        faults.append(Fault(f"{rate * 100:g} %, {seconds / 60:g} min", began_s, seconds, rate))
    blips: list[Fault] = []
    while len(blips) < service.blips:
        began_s, seconds = chance.random() * whole_s, 5 + 25 * chance.random()
        near = any(one.began_s - 3_600 < began_s < one.ended_s + 3_600 for one in faults)
        if not near:
            blips.append(Fault("blip", began_s, seconds, 0.2 + 0.8 * chance.random()))
    return faults, sorted(blips, key=lambda one: one.began_s)


def ticks(
    service: Service, faults: list[Fault], blips: list[Fault], chance: random.Random
) -> Iterator[Tick]:
    """Yield what is counted: each second at the beginning and the end of whatever is wrong."""
    budget = 1 - service.target
    wrong = sorted([*faults, *blips], key=lambda one: one.began_s)
    now_s, place, whole_s = 0.0, 0, service.days * DAY_S
    while now_s < whole_s:
        while place < len(wrong) and wrong[place].ended_s + CLOSE_S <= now_s:
            place += 1
        here = wrong[place] if place < len(wrong) else None
        rate, tick_s = service.base * budget, QUIET_TICK_S
        if here is not None:
            if here.began_s <= now_s < here.ended_s:
                rate = max(rate, here.rate)
                tick_s = CLOSE_TICK_S if now_s - here.began_s < CLOSE_S else QUIET_TICK_S
                tick_s = min(tick_s, here.ended_s - now_s)
            elif now_s < here.began_s:
                tick_s = min(tick_s, here.began_s - now_s)
        day = 1 + 0.5 * math.sin(2 * math.pi * now_s / DAY_S)
        units = poisson(chance, service.rps * day * tick_s)
        bad = binomial(chance, units, rate)
        now_s += max(tick_s, 1e-3)
        yield Tick(at_s=now_s, good=units - bad, own=bad)


def binomial(chance: random.Random, n: int, p: float) -> int:
    """Return how many of ``n`` are bad; near enough where there are many."""
    if n * min(p, 1 - p) > NORMAL_FROM:
        return min(n, max(0, round(chance.gauss(n * p, math.sqrt(n * p * (1 - p))))))
    if p < 0.05:  # noqa: PLR2004 - few of many: by the law of rare events
        return min(n, poisson(chance, n * p))
    return sum(chance.random() < p for _ in range(n))


def run(service: Service, seed: int, groups: dict[str, frozenset[Detector]]) -> dict[str, Seen]:
    """Return what each group of detectors has told in one world."""
    chance = random.Random(seed)
    faults, blips = draw(service, chance)
    objective = Objective(
        zone="service", kind="service", indicator="availability", target=service.target
    )
    watch, policy = Watch(), AlertPolicy()
    begun: dict[str, list[float]] = {name: [] for name in groups}
    firing: frozenset[Detector] = frozenset()
    for tick in ticks(service, faults, blips, chance):
        watch = step(watch, tick, objective, policy)
        now = watch.firing
        if now != firing:
            for name, group in groups.items():
                if now & group and not firing & group:
                    begun[name].append(tick.at_s)
            firing = now
    return {name: score(faults, blips, begun_s) for name, begun_s in begun.items()}


def score(faults: list[Fault], blips: list[Fault], begun_s: list[float]) -> Seen:
    """Return which faults alerts have found, and which alerts were about nothing."""
    seen = Seen()
    found: set[int] = set()
    for fault in faults:
        seen.faults[fault.kind] = seen.faults.get(fault.kind, 0) + 1
    for at_s in begun_s:
        about = next(
            (place for place, one in enumerate(faults)
             if one.began_s <= at_s <= one.ended_s + ECHO_S), None,
        )  # fmt: skip
        if about is None:
            seen.false += 1
            seen.after_blips += any(
                one.began_s <= at_s <= one.ended_s + AFTER_BLIP_S for one in blips
            )
        elif about in found or at_s > faults[about].ended_s + CLOSE_S:
            seen.echoes += 1
        else:
            found.add(about)
            fault = faults[about]
            seen.found_s.setdefault(fault.kind, []).append(at_s - fault.began_s)
    return seen
