"""A zone that is worse than in the warm-up is found, and luck is not taken for it."""

from __future__ import annotations

import random

import pytest
from benchmarks.rollout_world import poisson

from drilled import second
from firedoor.drill.worsening import (
    COMPARED,
    LOOKS_LEAST,
    RATIO_WELL,
    Counts,
    Evidence,
    Usual,
    control_of,
    counts_of,
    tell,
    usual_of,
    weigh,
)

CHANCE = 0.01
ROWS = 100
"""A second."""
WARM_UP_S, FOR_S = 20, 15
WELL = Usual(seconds=((ROWS, 0),) * WARM_UP_S)


def drawn(chance: random.Random, share: float) -> Counts:
    """Return a second in which each of 100 rows is bad with a chance."""
    return ROWS, min(ROWS, poisson(chance, ROWS * share))


def found_s(
    seed: int, share: float, *, times: float, chance: float = CHANCE, for_s: int = FOR_S,
    clumsy: bool = False,
) -> int | None:  # fmt: skip
    """Return after how many seconds a zone is found to be worse; None: it is not.

    Args:
        seed: of everything that is drawn.
        share: of bad rows in the warm-up.
        times: as many are bad under the fault.
        chance: of luck.
        for_s: how long the fault lasts.
        clumsy: whether rows are bad by batches of 20, as those of a zone are.
    """
    luck = random.Random(seed)
    rows = 20 if clumsy else 1

    def made(share: float) -> Counts:
        units, bad = drawn(luck, share / rows)
        return units, min(units, bad * rows)

    usual = usual_of([made(share) for _ in range(WARM_UP_S)])
    evidence = Evidence()
    for at in range(1, for_s + 1):
        evidence = weigh(evidence, made(times * share), usual, passed=at / for_s, chance=chance)
        if evidence.fires(chance):
            return at
    return None


@pytest.mark.parametrize("share", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("times", [1.0, RATIO_WELL])
def test_of_a_thousand_healthy_zones_one_in_a_hundred_at_most_is_called_worse(
    share: float, times: float
) -> None:
    found = [found_s(seed, share, times=times) is not None for seed in range(1_000)]
    assert sum(found) <= 10


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_rows_that_fail_together_do_not_make_a_healthy_zone_worse(share: float) -> None:
    found = [found_s(seed, share, times=1.0, clumsy=True) is not None for seed in range(1_000)]
    assert sum(found) <= 10


def test_how_many_fail_together_is_seen_in_the_warm_up() -> None:
    assert usual_of([]).clump == usual_of([(ROWS, 0)] * 20).clump == 1.0
    assert usual_of([(ROWS, 20), *[(ROWS, 0)] * 19]).clump == pytest.approx(20)
    assert usual_of([(ROWS, 1), (ROWS, 1)]).clump == 1.0


def test_ten_times_as_many_bad_ones_are_found_within_1500_units() -> None:
    """Of a zone that loses 1 %, with the doubt that a matrix of 130 cells leaves for each."""
    found = [found_s(seed, 0.01, times=10.0, chance=2.5e-5) for seed in range(300)]
    early = [at for at in found if at is not None and at * ROWS <= 1_500]
    assert len(early) >= 0.95 * len(found)


def test_a_fault_that_lasts_for_longer_than_the_warm_up_is_compared_to_its_end() -> None:
    found = [found_s(seed, 0.01, times=10.0, chance=3e-5, for_s=60) for seed in range(100)]
    assert sum(at is not None for at in found) >= 95
    evidence = Evidence()
    for at in range(1, 61):
        evidence = weigh(evidence, (ROWS, 0), WELL, passed=at / 60, chance=CHANCE)
    assert (evidence.compared, evidence.now, evidence.then) == (20, (6_000, 0), (2_000, 0))


def test_no_single_moment_however_bad_is_enough() -> None:
    evidence = Evidence()
    for at in range(1, FOR_S + 1):
        second_bad = ROWS if at < LOOKS_LEAST else 0
        evidence = weigh(
            evidence, (ROWS, second_bad), WELL, passed=at / FOR_S, chance=CHANCE
        )  # fmt: skip
        assert not evidence.fires(CHANCE)


def test_without_a_warm_up_or_units_nothing_is_said() -> None:
    assert not weigh(Evidence(), (ROWS, ROWS), Usual(), passed=1.0, chance=CHANCE).logs
    idle = weigh(Evidence(), (ROWS, ROWS), Usual(seconds=((0, 0),) * 5), passed=1.0, chance=CHANCE)
    assert (idle.logs, idle.waiting) == ((), (ROWS, ROWS))
    assert not weigh(Evidence(), (0, 0), WELL, passed=1.0, chance=CHANCE).logs


def test_no_second_of_the_warm_up_is_compared_twice() -> None:
    evidence = Evidence()
    for _ in range(3):
        evidence = weigh(
            evidence, (ROWS, 1), Usual(seconds=((ROWS, 1),)), passed=1.0, chance=CHANCE
        )
    assert (evidence.now, evidence.then) == ((ROWS, 1), (ROWS, 1))


def test_late_rows_count_by_the_batches_that_they_came_in() -> None:
    assert counts_of(second(100, late=40, batches=5), "latency") == (5, 2)
    assert counts_of(second(100, lost=3, lost_from={"enrich": 4}), "availability") == (100, 7)


def test_each_second_of_the_warm_up_counts_and_a_zone_that_came_later_has_fewer() -> None:
    control = control_of([{"a": second()}, {"a": second(lost=1), "b": second()}], chance=CHANCE)
    assert control.zones["a"]["availability"].seconds == ((100, 0), (100, 1))
    assert control.zones["b"]["latency"].seconds == ((5, 0),)
    assert "freshness" not in COMPARED


def test_it_says_how_many_were_bad_and_how_many_were_before() -> None:
    evidence = Evidence(now=(900, 41), then=(1_200, 2))
    assert tell("availability", evidence).startswith("41 of 900 lost, 2 of 1,200 in the warm-up")
