"""Months of a made-up service: outages are found, blips wake nobody. See ``make bench-alerts``."""

from __future__ import annotations

import pytest
from benchmarks.alert_world import Seen, Service, run
from benchmarks.alerts import GROUPS, PRECISION, TENFOLD, in_time

FAULTS = ((1.0, 300.0), (0.2, 600.0), (0.05, 1_200.0), (0.01, 1_200.0))
SEEDS = range(20_000, 20_010)


def months(
    seeds: range, *, target: float, rps: float, days: int = 30, each: int = 4, blips: int = 100
) -> Seen:
    """Return what was told in each month, together."""
    faults = tuple((max(rate, 10 * (1 - target)), seconds) for rate, seconds in FAULTS)
    service = Service(
        rps=rps, target=target, faults=tuple(dict.fromkeys(faults)), days=days, each=each,
        blips=blips,
    )  # fmt: skip
    seen = Seen()
    for seed in seeds:
        seen.add(run(service, seed, GROUPS)["page"])
    return seen


def check(seen: Seen, target: float) -> None:
    """Assert what is promised of ten times the budget and more."""
    for kind, there in seen.faults.items():
        share = float(kind.split()[0]) / 100 / (1 - target)
        assert in_time(seen.found_s[kind], there, edge=share < 2 * TENFOLD), seen.found_s[kind]
    assert seen.found / (seen.found + seen.false) >= PRECISION
    assert not seen.after_blips


def test_in_simulated_months_faults_are_found_and_blips_wake_nobody() -> None:
    check(months(SEEDS[:1], target=0.999, rps=100, days=4, each=1, blips=20), 0.999)


@pytest.mark.soak
@pytest.mark.parametrize(("target", "rps"), [(0.999, 100), (0.99, 100), (0.99, 10), (0.95, 10)])
def test_in_many_simulated_months_faults_are_found_and_blips_wake_nobody(
    target: float, rps: float
) -> None:
    check(months(SEEDS, target=target, rps=rps), target)
