"""Requests of a made-up service, look by look, drawn from a seed: what gateways would count."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from firedoor.rollout.counts import Look, Part, Tally
from firedoor.rollout.events import Command, Done, Looked, Promote, Quarantine, Started
from firedoor.rollout.machine import Judged, step
from firedoor.rollout.policy import RolloutPolicy
from firedoor.rollout.stages import heading_of
from firedoor.rollout.state import Heading, Phase, ServiceState, Target

BLIP_S = 30.0
BLIP_RATE = 0.2
STALL_S = 1.0
"""All that comes meanwhile is slow."""
NOISE_SD = 0.5
NOISE_KEEP = 0.9
"""Of the noise from look to look."""
THIN = 30.0
LIVE, NEW = Target(version=1, digest="1" * 64), Target(version=2, digest="2" * 64)
CUTOFFS = (0.05, 0.1)


def poisson(chance: random.Random, mean: float) -> int:
    """Return a count; from 30 on by the normal distribution, which is near enough."""
    if mean >= THIN:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), chance.random(), 0
    while product > limit:
        product *= chance.random()
        count += 1
    return count


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """How the candidate is, and how the world."""

    rps: float = 50.0
    base: float = 0.01
    """Rate of errors of the champion."""
    errors: float = 1.0
    """Times as many of the candidate."""
    slow: float = 1.0
    """Times as many slow answers of the candidate."""
    stalls: float = 0.0
    """Chance, for each look, that the process of a version stands still: each of the two by
    itself, as often, for ``STALL_S``."""
    fails_from: Phase = "draft"
    """Where its errors begin: ``bake``, say; ``draft``: it always has them."""
    shared: bool = False
    """Noise and two blips of 30 s on both."""
    slices: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By value of a column: share of requests, and times as many errors of the candidate."""


@dataclass(slots=True)
class World:
    """A service for as long as a rollout takes."""

    truth: Truth
    chance: random.Random
    look_s: float = 10.0
    horizon_s: float = 1_800.0
    """In which the two blips fall."""
    now_s: float = 0.0
    _noise: float = 0.0
    _blips: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Draw when the blips are."""
        if self.truth.shared:
            self._blips = tuple(self.chance.uniform(0, self.horizon_s) for _ in range(2))

    def look(self, heading: Heading, place: Phase = "canary") -> Look:
        """Return what is counted until the next look."""
        truth, shared = self.truth, self._shared()
        self.now_s += self.look_s
        requests = truth.rps * self.look_s
        copies = heading.mirror if heading.mode == "shadow" else 0.0
        share = heading.weight or copies
        champion = requests * (1 - heading.weight)
        bad = truth.errors if truth.fails_from in ("draft", place) else 1.0
        pieces = truth.slices or {"": (1.0, 1.0)}
        mine, theirs_too = self._stood(), self._stood()
        candidate = baseline = sentinel = Tally()
        parts = {}
        for name, (piece, times) in pieces.items():
            held = name in heading.held_slices
            own = self._tally(
                0 if held else requests * share * piece, shared, bad * times, truth.slow, mine
            )
            rest = requests * piece if held else champion * piece
            theirs = self._tally(rest * 2 / 3, shared, stood=theirs_too)
            candidate, baseline = candidate.plus(own), baseline.plus(theirs)
            sentinel = sentinel.plus(self._tally(rest / 3, shared, stood=theirs_too))
            if truth.slices:
                parts[name] = Part(candidate=own, baseline=theirs)
        return Look(
            candidate=candidate, baseline=baseline, sentinel=sentinel, parts=parts, gateways=1
        )

    def _stood(self) -> float:
        """Return the share of this look for which one process stood still."""
        stalls = self.truth.stalls
        return STALL_S / self.look_s if stalls and self.chance.random() < stalls else 0.0

    def _shared(self) -> tuple[float, float]:
        """Return what ails both: a factor on all rates, and a rate of errors besides."""
        if not self.truth.shared:
            return 1.0, 0.0
        fresh = NOISE_SD * math.sqrt(1 - NOISE_KEEP**2)
        self._noise = NOISE_KEEP * self._noise + self.chance.gauss(0, fresh)
        end_s = self.now_s + self.look_s
        in_blip = sum(
            max(0.0, min(end_s, from_s + BLIP_S) - max(self.now_s, from_s))
            for from_s in self._blips
        )
        return math.exp(self._noise - NOISE_SD**2 / 2), BLIP_RATE * in_blip / self.look_s

    def _tally(
        self, mean: float, shared: tuple[float, float], times: float = 1.0, slower: float = 1.0,
        stood: float = 0.0,
    ) -> Tally:  # fmt: skip
        """Return what one arm counts; failures count as slow."""
        n = poisson(self.chance, mean) if mean else 0
        factor, blip = shared
        error = min(n, poisson(self.chance, n * (self.truth.base * factor * times + blip)))
        fine = n - error
        late = poisson(self.chance, fine * 0.04 * factor * slower)
        later = poisson(self.chance, fine * 0.01 * factor * slower)
        held_up = poisson(self.chance, fine * stood) if stood else 0
        slow99 = min(n, error + later + held_up)
        return Tally(n, error, 0, min(n, slow99 + late), slow99, 0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rollout ended."""

    phase: Phase
    after_s: float
    """Since real requests, or copies, began."""
    in_phase: Phase
    requests: int
    """That the candidate answered, copies aside."""
    verdict: str
    held_slices: tuple[str, ...]


def simulate(
    truth: Truth, policy: RolloutPolicy, seed: int, *, most_s: float, columns: int = 0
) -> Outcome:
    """Run a rollout through the machine until it ends, or ``most_s`` have passed."""
    chance = random.Random(seed)
    look_s = policy.look_s / policy.time_scale
    world = World(truth=truth, chance=chance, look_s=look_s, horizon_s=most_s)
    state = ServiceState(service="predict", live=LIVE)
    state, _ = step(state, Started(candidate=NEW, by="a simulation"), policy, 0.0)
    judged = Judged(columns=columns)
    began_s, requests = 0.0, 0
    held: tuple[str, ...] = ()
    while world.now_s < most_s and state.current is not None:
        heading, place = heading_of(state, policy, labels=False), state.current.place
        if place == "qualifying":
            began_s = world.now_s
        look = world.look(heading, place)
        requests += look.candidate.n if heading.weight else 0
        held = state.current.held_slices
        looked = Looked(look=look, ready=True, cutoffs=CUTOFFS)
        state, commands = step(state, looked, policy, world.now_s, judged=judged)
        for done in _obeyed(commands):
            state, _ = step(state, done, policy, world.now_s)
        if state.current is None:
            last = state.ended[-1]
            return Outcome(last.phase, world.now_s - began_s, place, requests, last.verdict, held)
    current = state.current
    place = current.place if current else "draft"
    held = current.held_slices if current else held
    return Outcome(place, world.now_s - began_s, place, requests, "", held)


def _obeyed(commands: tuple[Command, ...]) -> Iterator[Done]:
    """Do at once what is wanted of the registry."""
    for command in commands:
        match command:
            case Promote():
                yield Done(what="promote", version=command.version)
            case Quarantine():
                yield Done(what="quarantine", version=command.version)
            case _:
                pass
