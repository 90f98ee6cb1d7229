"""A dependency that fails in six ways, a fleet that calls it, and what becomes of both."""

import asyncio
import heapq
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

OPS_PER_S = 100.0
PATIENCE_S = 0.5
"""An operation is useful if it succeeds within this: half the timeout, 25 times the usual."""
FAULT_S = (10.0, 40.0)
END_S = 90.0
CAPACITY = 3
"""Requests that the dependency serves at once: 150 a second at 20 ms."""
SERVICE_S = 0.02


class DependencyError(ConnectionError):
    """The dependency failed."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to fail."""

    name: str
    until_s: float = FAULT_S[1]
    """End of the fault, which begins at 10 s."""
    down: bool = False
    flap_s: float = 0.0
    """Seconds down and seconds up in turn."""
    errors: float = 0.0
    slow_s: float = 0.0
    rush: float = 1.0
    """Factor on the operations a second while it lasts."""
    finite: bool = False
    """Whether the dependency serves a bounded number at once; what waits is served all the same."""
    cold: bool = False
    """Whether it comes back slow, and warms with the work that it does."""
    layers: int = 1
    """Services between client and dependency, each with guards of its own."""


SCENARIOS = (
    Scenario("flap", until_s=70.0, flap_s=2.0),
    Scenario("30 % errors", until_s=70.0, errors=0.3),
    Scenario("slow", slow_s=0.8),
    Scenario("down 30 s", down=True),
    Scenario("overload", rush=3.0, finite=True),
    Scenario("cold start", down=True, finite=True, cold=True),
    Scenario("3 layers, 30 % errors", until_s=70.0, errors=0.3, layers=3),
    Scenario("3 layers, down 30 s", down=True, layers=3),
)


class Dependency:
    """What is called."""

    def __init__(self, scenario: Scenario, chance: random.Random) -> None:
        """Begin well, and warm."""
        self.scenario, self.chance = scenario, chance
        self.attempts: list[float] = []
        self.busy_until_s = [0.0] * CAPACITY
        self.warm = 1.0

    async def call(self) -> None:
        """Serve a request."""
        now_s = asyncio.get_running_loop().time()
        self.attempts.append(now_s)
        s = self.scenario
        faulty = FAULT_S[0] <= now_s < s.until_s
        if s.cold and faulty:
            self.warm = 0.15
        flapping = bool(s.flap_s) and (now_s - FAULT_S[0]) % (2 * s.flap_s) < s.flap_s
        if faulty and (s.down or flapping or self.chance.random() < s.errors):
            await pause(0.005)
            raise DependencyError
        service_s = s.slow_s if faulty and s.slow_s else SERVICE_S
        service_s *= self.chance.uniform(0.5, 1.5) / self.warm
        if not s.finite:
            await pause(service_s)
            return
        begin_s = max(now_s, heapq.heappop(self.busy_until_s))
        heapq.heappush(self.busy_until_s, begin_s + service_s)
        # A caller that gives up frees nothing: the request is served, for nobody.
        self.warm = min(1.0, self.warm + 0.85 / 1_500)
        await pause(begin_s + service_s - now_s)


async def pause(seconds: float) -> None:
    """Let virtual time pass."""
    await asyncio.sleep(seconds)


Call = Callable[[], Awaitable[None]]
Stack = Callable[[Call, random.Random], Call]
"""Puts guards around a call: one client's, one layer's."""


@dataclass(slots=True)
class Seen:
    """What became of the operations."""

    good_by_s: dict[int, int] = field(default_factory=dict)
    ops_by_s: dict[int, int] = field(default_factory=dict)
    flaps: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in figures."""

    useful: float
    """Share of the operations from 10 to 70 s that succeeded in time."""
    load: float
    """Requests at the dependency for each operation, during the fault."""
    per_useful: float
    """Requests for each useful operation, from 10 to 70 s."""
    flaps: float
    """Changes from reaching the dependency to being refused, a client."""
    recovery_s: float
    """From the end of the fault until 95 % were useful five seconds running; 60: not by the end."""


async def simulate(stack: Stack, scenario: Scenario, *, fleet: int, seed: int) -> Figures:
    """Run a fleet against a dependency, and return what was seen.

    When the fault ends is drawn, the same for all: at a fixed time it would suit whoever happens
    to probe just then.
    """
    chance = random.Random(f"{scenario.name}/{fleet}/{seed}")
    scenario = replace(scenario, until_s=scenario.until_s + chance.uniform(-2.5, 2.5))
    dependency, seen = Dependency(scenario, chance), Seen()
    async with asyncio.TaskGroup() as group:
        for _ in range(fleet):
            client = Client(stack, dependency, scenario, random.Random(chance.random()), seen)
            group.create_task(client.run(group, OPS_PER_S / fleet))
    return figures(dependency, scenario, seen, fleet)


class Client:
    """One process of the fleet."""

    def __init__(
        self,
        stack: Stack,
        dependency: Dependency,
        scenario: Scenario,
        chance: random.Random,
        seen: Seen,
    ) -> None:
        """Put the layers of guards around the dependency."""
        self.dependency, self.scenario, self.chance, self.seen = dependency, scenario, chance, seen
        self.reached = 0
        self.shut = False
        call: Call = self.touch
        for _ in range(scenario.layers):
            call = stack(call, random.Random(chance.random()))
        self.call = call

    async def touch(self) -> None:
        """Call the dependency, and note that this client did."""
        self.reached += 1
        await self.dependency.call()

    async def run(self, group: asyncio.TaskGroup, per_s: float) -> None:
        """Begin operations at random times, whether or not earlier ones have ended."""
        loop = asyncio.get_running_loop()
        while loop.time() < END_S:
            rush = FAULT_S[0] <= loop.time() < self.scenario.until_s
            await pause(self.chance.expovariate(per_s * (self.scenario.rush if rush else 1.0)))
            group.create_task(self.operate())

    async def operate(self) -> None:
        """Do one operation."""
        loop = asyncio.get_running_loop()
        begun_s, before = loop.time(), self.reached
        second = int(begun_s)
        self.seen.ops_by_s[second] = self.seen.ops_by_s.get(second, 0) + 1
        try:
            await self.call()
        except Exception:  # noqa: BLE001 - each library's own refusal, or the failure
            refused = self.reached == before
            self.seen.flaps += refused and not self.shut
            self.shut = refused
            return
        self.shut = False
        if loop.time() - begun_s <= PATIENCE_S:
            self.seen.good_by_s[second] = self.seen.good_by_s.get(second, 0) + 1


def figures(dependency: Dependency, scenario: Scenario, seen: Seen, fleet: int) -> Figures:
    """Reduce what was seen."""

    def between(by_s: dict[int, int], first: float, last: float) -> int:
        return sum(count for second, count in by_s.items() if first <= second < last)

    end_s = scenario.until_s
    good, ops = between(seen.good_by_s, 10, 70), between(seen.ops_by_s, 10, 70)
    during = sum(1 for at in dependency.attempts if FAULT_S[0] <= at < end_s)
    attempts = sum(1 for at in dependency.attempts if FAULT_S[0] <= at < 70.0)  # noqa: PLR2004
    well, recovery_s = 0, 60.0
    for second in range(math.ceil(end_s), int(END_S)):
        share = seen.good_by_s.get(second, 0) / max(1, seen.ops_by_s.get(second, 0))
        well = well + 1 if share >= 0.95 else 0  # noqa: PLR2004
        if well == 5:  # noqa: PLR2004
            recovery_s = second - 4 - math.ceil(end_s)
            break
    return Figures(
        useful=100 * good / max(1, ops),
        load=during / max(1, between(seen.ops_by_s, FAULT_S[0], end_s)),
        per_useful=attempts / max(1, good),
        flaps=seen.flaps / fleet,
        recovery_s=recovery_s,
    )
