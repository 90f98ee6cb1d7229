"""``python -m benchmarks.guards.behaviour``: fleets in simulated outages, in virtual time.

One process for each scenario, because time is made virtual for the whole of it.
"""

from benchmarks.guards import virtual

virtual.install()

import json  # noqa: E402 - after time is virtual
import random  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
from dataclasses import asdict  # noqa: E402

from benchmarks.guards.stacks import RETRY_ALONE, STACKS  # noqa: E402
from benchmarks.guards.world import SCENARIOS, simulate  # noqa: E402
from firedoor.testing.loop import run  # noqa: E402


def measure(name: str, fleet: int, seeds: int, only: str) -> dict[str, dict[str, float]]:
    """Return the mean figures in one scenario of each stack whose name contains ``only``."""
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    told = {}
    for stack_name, stack in STACKS.items():
        if only not in stack_name:
            continue
        found = []
        for seed in range(1 if stack_name in RETRY_ALONE else seeds):
            random.seed(seed)  # the peers draw from here
            found.append(asdict(run(simulate(stack, scenario, fleet=fleet, seed=seed))))
        told[stack_name] = {
            key: statistics.fmean(figures[key] for figures in found) for key in found[0]
        }
    return told


if __name__ == "__main__":
    told = measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    json.dump(told, sys.stdout)
