"""Objectives that are fed with made up traffic, second by second."""

from __future__ import annotations

from collections.abc import Iterator

from firedoor.slo.objective import Objective, Tick
from firedoor.slo.policy import AlertPolicy
from firedoor.slo.watch import Watch, step

BEGAN_S = 1_800_000_000.0
POLICY = AlertPolicy()


def objective(target: float = 0.999) -> Objective:
    return Objective(zone="enrich", kind="transform", indicator="availability", target=target)


def feed(
    watch: Watch,
    seconds: float,
    *,
    rps: float = 100,
    bad: float = 0.0,
    inherited: float = 0.0,
    at_s: float = BEGAN_S,
    promise: Objective | None = None,
    policy: AlertPolicy = POLICY,
) -> Iterator[tuple[float, Watch]]:
    """Yield time and state each second of even traffic, of which these shares are bad.

    Fractions of units are carried on, so that 0.1 a second is one in ten seconds.
    """
    promise = promise or objective()
    sums = {"good": 0.0, "own": 0.0, "inherited": 0.0}
    shares = {"good": 1 - bad - inherited, "own": bad, "inherited": inherited}
    for second in range(1, round(seconds) + 1):
        counts: dict[str, int] = {}
        for name, share in shares.items():
            sums[name] += rps * share
            counts[name] = int(sums[name] + 1e-9)
            sums[name] -= counts[name]
        tick = Tick(
            at_s=at_s + second, good=counts["good"], own=counts["own"],
            inherited={"flights": counts["inherited"]} if counts["inherited"] else {},
        )  # fmt: skip
        watch = step(watch, tick, promise, policy)
        yield at_s + second, watch
