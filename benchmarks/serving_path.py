"""What the way of a request costs: ``ServicePath.answer`` with a version that answers at once.

    python -m benchmarks.serving_path [REQUESTS]

One task, no HTTP, no worker: only split, guards, evidence, cache and record. Prints microseconds of
CPU a request, five rounds each, the kinds one after the other in each round.
"""

import asyncio
import json
import statistics
import struct
import sys
import time
from collections.abc import Callable

from firedoor.adapters.clock import SystemClock
from firedoor.gateway.exchange import Request
from firedoor.gateway.path import ServicePath
from firedoor.ports.variants import VariantFacts
from firedoor.spec.referred import ModelPlan, StepNote
from firedoor.spec.service_plan import ServicePlan
from firedoor.wire.bundle import Manifest
from firedoor.wire.prediction import PredictionRecord
from firedoor.wire.route import Arm, Route
from firedoor.wire.serving import Ask, Form, Outcome, Told

ROUNDS = 5
DISTINCT = 20_000
YIELD_EVERY = 50
CHAMPION = Arm(model="delays", version=2, digest="d2")
CANDIDATE = Arm(model="delays", version=3, digest="d3")


class Instant:
    """A version that has always just answered."""

    facts = VariantFacts(state="ready", replicas=1)
    manifest: Manifest | None = None
    told = Told(Outcome.OK, 1, struct.pack("<d", 0.5), b'[{"chance": 0.5}]')

    async def ask(self, _ask: Ask) -> Told:
        """Answer."""
        return self.told

    def post(self, _ask: Ask, told: Callable[[Told], None]) -> None:
        """Answer."""
        told(self.told)

    async def ready(self, _wait_s: float) -> bool:
        """It is."""
        return True

    async def close(self, grace_s: float = 5.0) -> None:
        """Nothing to end."""


class Nowhere:
    """A prediction log that keeps nothing."""

    dropped = written = 0

    def put(self, record: PredictionRecord) -> None:
        """Let it go."""


def plan(*, key: str = "", slices: tuple[str, ...] = ()) -> ServicePlan:
    """Return a service."""
    step = StepNote(name="predict", pickled=b"", main_path=None, main_module=None, where="s.py:1")
    return ServicePlan(
        name="predict", owner="a@example.com", version="1", step=step, key=key, slices=slices,
        model=ModelPlan(name="delays"),
    )  # fmt: skip


STEADY = Route(service="predict", generation=1, champion=CHAMPION, salt="s")
CANARY = Route(
    service="predict", generation=1, champion=CHAMPION, candidate=CANDIDATE, mode="canary",
    rollout="r", weight=0.5, mirror=0.0, salt="s",
)  # fmt: skip
SHADOW = Route(
    service="predict", generation=1, champion=CHAMPION, candidate=CANDIDATE, mode="shadow",
    rollout="r", salt="s",
)  # fmt: skip
KINDS: dict[str, tuple[Route, ServicePlan]] = {
    "steady": (STEADY, plan()),
    "canary": (CANARY, plan()),
    "canary, key and slices": (CANARY, plan(key="tailnum", slices=("carrier",))),
    "shadow, every request copied": (SHADOW, plan()),
}


async def measure(route: Route, served: ServicePlan, requests: int) -> float:
    """Return microseconds of CPU a request."""
    path = ServicePath(
        served, gateway="g", open_variant=lambda _arm, *, nice: Instant(),  # noqa: ARG005 - a port
        clock=SystemClock(), seed=1, log=Nowhere(),
    )  # fmt: skip
    row = {"carrier": "UA", "tailnum": "N1", "distance": 500, "hour": 7, "temp": 11.5}
    bodies = [json.dumps([{"flight": n, **row}]).encode() for n in range(min(requests, DISTINCT))]
    asked = [Request(Form.ROWS, body) for body in bodies]
    async with path:
        path.set_route(route)
        await asyncio.sleep(0.01)
        began_s = time.process_time()
        for number in range(requests):
            answer = await path.answer(asked[number % len(asked)])
            assert answer.status == 200  # noqa: PLR2004 - the status that it is about
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
        return (time.process_time() - began_s) / requests * 1e6


def main() -> None:
    """Print the table."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    figures: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(ROUNDS):
        for kind, (route, served) in KINDS.items():
            figures[kind].append(asyncio.run(measure(route, served, requests)))
    for kind, told in figures.items():
        low, high = min(told), max(told)
        print(f"{kind:30} {statistics.median(told):5.1f} us ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
