"""Whole rollouts, drawn from seeds: few false alarms, few bad versions promoted, with blips."""

from __future__ import annotations

import pytest
from benchmarks.rollout_world import Outcome, Truth, simulate

from firedoor.rollout.policy import RolloutPolicy

POLICY = RolloutPolicy()


def outcomes(truth: Truth, runs: int, *, most_s: float = 7_200) -> list[Outcome]:
    """Return how so many rollouts ended."""
    return [simulate(truth, POLICY, seed, most_s=most_s) for seed in range(runs)]


def share(found: list[Outcome], *phases: str) -> float:
    """Return which share ended so."""
    return sum(one.phase in phases for one in found) / len(found)


@pytest.mark.parametrize("rps", [50, 500])
def test_versions_that_are_as_good_go_live_through_noise_and_blips(rps: int) -> None:
    found = outcomes(Truth(rps=rps, shared=True), 15)
    assert share(found, "quarantined", "rolled_back") == 0
    assert share(found, "live") == 1


@pytest.mark.parametrize("rps", [50, 500])
def test_versions_that_are_twice_as_bad_do_not_go_live_through_noise_and_blips(rps: int) -> None:
    found = outcomes(Truth(rps=rps, errors=2.0, shared=True), 20)
    assert share(found, "live") <= 0.05
    assert share(found, "quarantined") >= 0.85


def test_much_worse_versions_get_no_request_at_all() -> None:
    found = outcomes(Truth(errors=10.0, shared=True), 30)
    assert share(found, "quarantined") == 1
    assert max(one.requests for one in found) == 0


def test_a_fault_that_begins_with_real_requests_costs_few() -> None:
    found = outcomes(Truth(rps=500, errors=10.0, fails_from="canary"), 20)
    assert share(found, "quarantined") == 1
    assert max(one.requests for one in found) < 1_000


def test_slow_versions_go_back() -> None:
    assert share(outcomes(Truth(slow=3.0), 10), "quarantined") == 1


def test_little_traffic_waits_and_decides_nothing_wrong() -> None:
    good = outcomes(Truth(rps=5, shared=True), 8, most_s=3_600)
    assert share(good, "quarantined", "rolled_back") == 0
    bad = outcomes(Truth(rps=5, errors=5.0, shared=True), 8, most_s=3_600)
    assert share(bad, "quarantined") == 1


@pytest.mark.soak
@pytest.mark.parametrize("rps", [50, 500])
def test_of_a_thousand_rollouts_one_percent_at_most_is_wrong(rps: int) -> None:
    good = outcomes(Truth(rps=rps, shared=True), 1_000)
    assert share(good, "quarantined", "rolled_back") <= 0.01
    bad = outcomes(Truth(rps=rps, errors=2.0, shared=True), 1_000)
    assert share(bad, "live") <= 0.05
