"""A store that does as a test says, in virtual time, and lookups of weather that ask it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from firedoor.gateway.features import FeatureLookups
from firedoor.ports.fetching import FetcherFacts
from firedoor.spec.referred import StepNote
from firedoor.spec.service_plan import FeaturesPlan
from firedoor.testing.loop import VirtualClock
from firedoor.wire.fetching import Fetch, Fetched, Scalar

STEP = StepNote(name="fetch", pickled=b"", main_path=None, main_module=None, where="here:1")
CLOCK = VirtualClock()
Reply = Callable[[Fetch], Fetched]


def temperatures(ask: Fetch) -> Fetched:
    """Answer with a value that only the key gives."""
    return Fetched(values={"temp": [temp_of(origin) for origin in ask.keys["origin"]]})


def temp_of(origin: Scalar) -> float:
    """Return the temperature at an origin; 1, 1.0, True and "1" have one each."""
    text = f"{type(origin).__name__} {origin}"
    return sum(text.encode()) + len(text) / 8


def fails(ask: Fetch) -> Fetched:
    del ask
    return Fetched(error="ConnectionError: refused (weather.py:7)")


@dataclass
class ScriptedFetcher:
    """Answers after ``seconds``, by ``reply``; None never does."""

    reply: Reply | None = temperatures
    seconds: float = 0.01
    asked: list[list[tuple[Scalar, ...]]] = field(default_factory=list)
    out: int = 0
    out_most: int = 0
    held: list[Callable[[], None]] = field(default_factory=list)
    """Calls that got no answer: each ends one."""
    closed: bool = False

    @property
    def facts(self) -> FetcherFacts:
        return FetcherFacts(state="ready")

    def fetch(self, ask: Fetch, told: Callable[[Fetched], None]) -> None:
        self.asked.append(list(zip(*ask.keys.values(), strict=True)))
        self.out += 1
        self.out_most = max(self.out_most, self.out)
        reply = self.reply

        def end() -> None:
            self.out -= 1
            told((reply or temperatures)(ask))

        if reply is None:
            self.held.append(end)
        else:
            asyncio.get_running_loop().call_later(self.seconds, end)

    async def close(self) -> None:
        self.closed = True


def weather(
    *,
    fresh_s: float = 0.0,
    stale_max_s: float | None = None,
    default: dict[str, Scalar] | None = None,
    **more: object,
) -> FeaturesPlan:
    """Return the plan of a group that gives ``temp`` by ``origin``."""
    return FeaturesPlan(
        name="weather",
        keys=("origin",),
        columns={"temp": "Float64"},
        step=STEP,
        fresh_s=fresh_s,
        stale_max_s=stale_max_s,
        default=default,
        **more,  # type: ignore[arg-type]
    )


def lookups(
    plan: FeaturesPlan, fetcher: ScriptedFetcher, killed: set[str] | None = None
) -> FeatureLookups:
    """Return the lookups of one group."""
    off = set() if killed is None else killed
    return FeatureLookups(
        [plan],
        {plan.name: fetcher},
        clock=CLOCK,
        killed=off.__contains__,
        dice=random.Random(7),
    )
