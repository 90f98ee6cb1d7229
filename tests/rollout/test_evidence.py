"""The arithmetic of evidence: against figures that were worked out otherwise."""

from __future__ import annotations

import math
import random

import pytest
from benchmarks.rollout_world import poisson

from firedoor.eprocess import (
    Fresh,
    Logs,
    add_gains,
    bad_grid,
    good_grid,
    log_e,
    ratio_gains,
)
from firedoor.rollout.absolute import LOOKS_LEAST, above_gains, clean_gain, detected
from firedoor.rollout.need import (
    MANY,
    requests_below,
    requests_to_accept,
    requests_to_reject,
)
from firedoor.rollout.requalify import ReplayOutcome, judge, mcnemar, residual

NOTHING: Logs = ()
# Median requests of the candidate in 1,000 simulated runs a cell: base rate, requests of the
# baseline for one of the candidate, then promote, and found at 2, 3, 5 and 10 times as many.
SIMULATED = {
    (0.001, 9): (9_200, 22_800, 5_200, 1_600, 600),
    (0.01, 9): (1_100, 2_250, 625, 200, 75),
    (0.01, 1): (2_175, 3_900, 1_112, 375, 150),
    (0.05, 9): (224, 396, 124, 40, 16),
}


def test_grids_are_as_they_were_simulated() -> None:
    grid = bad_grid(1.1)
    assert len(grid) == 25
    assert grid[0] == pytest.approx(1.155)
    assert grid[-1] == pytest.approx(16)
    assert good_grid(2.0) == (0.5, 0.8, 1.0, 1.25, 1.5)
    assert all(ratio < 1.4 for ratio in good_grid(1.5))


def test_one_look_is_worth_the_likelihood_ratio_of_a_binomial() -> None:
    n_c, x_c, n_b, x_b = 100, 3, 900, 9
    (gain,) = ratio_gains((2.0,), 1.0, (n_c, x_c), (n_b, x_b))

    def chance(ratio: float) -> float:
        share = ratio * n_c / (ratio * n_c + n_b)
        return math.comb(x_c + x_b, x_c) * share**x_c * (1 - share) ** x_b

    assert gain == pytest.approx(math.log(chance(2.0) / chance(1.0)))


@pytest.mark.parametrize(
    ("candidate", "baseline"), [((0, 0), (900, 9)), ((100, 3), (0, 0)), ((100, 0), (900, 0))]
)
def test_without_requests_in_both_arms_or_faults_in_one_nothing_moves(
    candidate: tuple[int, int], baseline: tuple[int, int]
) -> None:
    assert not any(ratio_gains(bad_grid(1.1), 1.1, candidate, baseline))


def test_evidence_is_expected_to_stay_one_where_the_ratio_is_the_limit() -> None:
    """Over all ways in which 6 bad requests can fall to two arms, exactly."""
    n_c, n_b, total, grid = 50, 200, 6, bad_grid(1.1)
    null = 1.1 * n_c / (1.1 * n_c + n_b)
    mean = 0.0
    for x_c in range(total + 1):
        chance = math.comb(total, x_c) * null**x_c * (1 - null) ** (total - x_c)
        mean += chance * math.exp(log_e(ratio_gains(grid, 1.1, (n_c, x_c), (n_b, total - x_c))))
    assert mean == pytest.approx(1)


def test_a_fresh_bet_keeps_what_earlier_ones_won_and_finds_a_late_fault_sooner() -> None:
    grid, whole, fresh = bad_grid(1.1), NOTHING, Fresh()
    quiet = ratio_gains(grid, 1.1, (500, 2), (4_500, 45))
    loud = ratio_gains(grid, 1.1, (500, 20), (4_500, 45))
    for look in range(60):
        whole, fresh = add_gains(whole, quiet), fresh.after(quiet)
        fresh = fresh.anew() if look % 30 == 29 else fresh
    assert fresh.number == 3
    assert math.exp(fresh.log_e) < 1
    for _ in range(2):
        whole, fresh = add_gains(whole, loud), fresh.after(loud)
    assert fresh.log_e > math.log(100) > log_e(whole)
    assert fresh.anew().log_e == pytest.approx(fresh.log_e)


def test_a_fresh_bet_begun_anew_each_look_is_still_a_fair_one() -> None:
    """The mean of its wealth over two outcomes of a look is what it was, from any state."""
    fresh = Fresh().after((0.7, -0.4)).anew().after((1.1, 0.2)).anew()
    up, down = math.log(1.5), math.log(0.5)
    mean = (math.exp(fresh.after((up,)).log_e) + math.exp(fresh.after((down,)).log_e)) / 2
    assert mean == pytest.approx(math.exp(fresh.log_e))


def test_without_a_fault_295_requests_or_one_more_are_enough_at_two_percent() -> None:
    exact = math.log(20) / math.log(0.99 / 0.98)
    assert exact == pytest.approx(295.08, abs=0.01)
    assert requests_below(rate=0.0, log_needed=math.log(20), allowance=0.02) == 296
    assert requests_below(rate=0.0, log_needed=math.log(20), allowance=0.01) == 595
    assert requests_below(rate=0.01, log_needed=math.log(20), allowance=0.02) == 961
    assert requests_below(rate=0.02, log_needed=math.log(20), allowance=0.02) == MANY
    mean = 0.02 * math.exp(clean_gain(1, 1, allowance=0.02)) + 0.98 * math.exp(
        clean_gain(1, 0, allowance=0.02)
    )
    assert mean == pytest.approx(1)


def test_alone_no_blip_shorter_than_six_looks_is_enough() -> None:
    needed, logs = math.log(200 * 180), NOTHING
    for _ in range(60):
        logs = detected(logs, above_gains(500, 2, bound=0.02, log_needed=needed), looks=180)
    for _ in range(LOOKS_LEAST):
        assert log_e(logs) < math.log(200)
        logs = detected(logs, above_gains(500, 250, bound=0.02, log_needed=needed), looks=180)
    assert log_e(logs) == pytest.approx(math.log(200), abs=0.25)


def test_what_may_change_at_any_look_is_expected_to_add_one_bet_a_look() -> None:
    """The mean of a sum after a fair look is what it was and one bet more."""
    logs = detected((), (0.3,), looks=180)
    up, down = (detected(logs, (math.log(gain),), looks=180)[0] for gain in (1.5, 0.5))
    mean = (math.exp(up) + math.exp(down)) / 2
    assert mean == pytest.approx(math.exp(logs[0]) + 1 / 180)


@pytest.mark.parametrize("cell", SIMULATED)
def test_expected_needs_are_near_what_simulations_took(cell: tuple[float, int]) -> None:
    rate, times = cell
    accept = requests_to_accept(
        rate=rate, champion_times=times, log_needed=math.log(20), ratio_bad=2.0
    )
    reject = [
        requests_to_reject(
            ratio, rate=rate, champion_times=times, log_needed=math.log(100), ratio_good=1.1
        )
        for ratio in (2, 3, 5, 10)
    ]
    for need, median in zip([accept, *reject], SIMULATED[cell], strict=True):
        assert 0.7 < need / median < 1.3


def test_what_can_never_be_told_needs_more_than_there_is() -> None:
    assert (
        requests_to_reject(
            1.0, rate=0.01, champion_times=9, log_needed=math.log(100), ratio_good=1.1
        )
        == MANY
    )


@pytest.mark.parametrize(("ratio", "within_s"), [(2.0, 450.0), (5.0, 50.0), (10.0, 20.0)])
def test_worse_versions_are_found_about_as_soon_as_in_the_research(
    ratio: float, within_s: float
) -> None:
    """50 requests a second, a tenth of them the candidate's, 1 %, ``alpha`` 0.01."""
    found = sorted(_found_s(seed, ratio) for seed in range(60))
    assert found[len(found) // 2] <= within_s


def test_no_worse_versions_are_not_found() -> None:
    assert sum(_found_s(seed, 1.0) <= 1_800 for seed in range(60)) <= 1


def _found_s(seed: int, ratio: float) -> float:
    """Return when a version is found to be worse; beyond 30 minutes: never."""
    chance, grid, logs = random.Random(seed), bad_grid(1.1), NOTHING
    for look in range(1, 181):
        bad = poisson(chance, 50 * 0.01 * ratio), poisson(chance, 450 * 0.01)
        logs = add_gains(logs, ratio_gains(grid, 1.1, (50, bad[0]), (450, bad[1])))
        if log_e(logs) >= math.log(100):
            return look * 10.0
    return math.inf


def test_the_tests_of_a_replay_are_those_of_the_books() -> None:
    assert mcnemar(10, 1) == pytest.approx(0.0059, abs=5e-5)
    assert mcnemar(5, 0) == pytest.approx(0.031, abs=5e-4)
    assert residual(300) == pytest.approx(0.00994, abs=1e-5)
    assert residual(60) == pytest.approx(0.049, abs=5e-4)
    assert residual(0) == 1


@pytest.mark.parametrize(
    ("outcome", "passed", "said"),
    [
        (ReplayOutcome(failing={"A": (300, 0)}, good=300), True, "at most 1.0% of the rarest"),
        (ReplayOutcome(failing={"A": (300, 0), "B": (60, 1)}), False, "still fails: 1 of 60 B"),
        (ReplayOutcome(failing={"A": (10, 0)}, good=90, broken=1), True, "p = 0.0059"),
        (ReplayOutcome(failing={"A": (5, 0)}, good=90, broken=2), False, "that may be luck"),
        (ReplayOutcome(missing="the gateway is gone"), False, "nothing was replayed"),
        (ReplayOutcome(good=40), True, "no failing request was kept"),
    ],
)
def test_a_replay_passes_with_no_signature_left_and_more_mended_than_broken(
    outcome: ReplayOutcome, *, passed: bool, said: str
) -> None:
    verdict = judge(outcome)
    assert verdict.passed is passed
    assert said in verdict.because
