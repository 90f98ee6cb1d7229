"""A drill may spend a twentieth of what is left of an error budget, and no more."""

from __future__ import annotations

import pytest

from drilled import STAGE
from firedoor.drill.matrix import Asked, Matrix
from firedoor.drill.planning import Exercise, plan_exercises
from firedoor.drill.spending import (
    NOTICE_S,
    SPEND_MAX,
    Remaining,
    Spending,
    could_last_s,
    too_dear,
    unknown,
)
from firedoor.events.objective import INDICATORS

MONTH_S = 30 * 86_400.0
BUDGET = 0.01
"""Of each promise on this stage."""
WHOLE = tuple(
    Remaining(zone=name, indicator=each, left=1.0) for name in STAGE.names for each in INDICATORS
)


def exercises(*rows: Asked, for_s: float = 15.0, seeds: int = 1) -> tuple[Exercise, ...]:
    return plan_exercises(Matrix(rows=rows, for_s=for_s, seeds=seeds), STAGE, drill="d")


def of(zone: str, left: float, **more: float) -> tuple[Remaining, ...]:
    return (Remaining(zone=zone, indicator="availability", left=left, **more),)


KILL = Asked(fault="kill", zone="enrich")


def test_the_faulted_zone_may_be_bad_for_as_long_as_faults_last_and_others_until_it_is_seen() -> (
    None
):
    rows = (KILL, Asked(fault="poison_raise", zone="enrich", share=0.1))
    lasts = could_last_s(exercises(*rows, seeds=2), STAGE)
    assert lasts["enrich"] == pytest.approx(2 * 15.0 + 2 * 15.0 * 0.1)
    assert lasts["store"] == lasts["flights"] == lasts["predict"] == NOTICE_S


def test_those_that_may_be_hurt_may_be_bad_for_as_long() -> None:
    row = Asked(fault="kill", zone="enrich", may_hurt=("downstream",))
    lasts = could_last_s(exercises(row), STAGE)
    assert lasts["store"] == 15.0
    assert lasts["predict"] == NOTICE_S


def test_a_short_drill_of_whole_budgets_is_cheap_enough() -> None:
    assert too_dear(exercises(KILL), STAGE, WHOLE) == ()


def test_a_drill_that_could_spend_more_than_a_twentieth_of_what_is_left_is_too_dear() -> None:
    share = 15.0 / (BUDGET * MONTH_S)  # of a whole budget
    just = share / SPEND_MAX
    assert too_dear(exercises(KILL), STAGE, of("enrich", just * 1.01)) == ()
    (told,) = too_dear(exercises(KILL), STAGE, of("enrich", just * 0.99))
    assert "of the error budget of enrich for availability" in told
    assert "may spend 5 %" in told


def test_a_zone_outside_needs_enough_for_the_time_until_its_harm_is_seen() -> None:
    just = NOTICE_S / (BUDGET * MONTH_S) / SPEND_MAX
    assert too_dear(exercises(KILL), STAGE, of("predict", just * 1.01)) == ()
    assert "predict" in too_dear(exercises(KILL), STAGE, of("predict", just * 0.99))[0]


def test_a_budget_of_a_shorter_period_is_smaller() -> None:
    long = exercises(KILL, for_s=120.0)
    assert too_dear(long, STAGE, of("enrich", 0.5)) == ()
    assert too_dear(long, STAGE, of("enrich", 0.5, period_days=1.0))


def test_a_promise_of_everything_allows_next_to_nothing() -> None:
    whole = Remaining(zone="predict", indicator="availability", left=1.0)
    assert 1 < whole.share(5.0, 0.0) < 10


@pytest.mark.parametrize("left", [0.0, -3.0])
def test_a_budget_that_is_spent_allows_nothing(left: float) -> None:
    assert "is spent" in too_dear(exercises(KILL), STAGE, of("predict", left))[0]


def test_the_worst_is_told_first_and_what_is_of_no_zone_here_is_left_out() -> None:
    left = (*of("enrich", 1e-4), *of("predict", -1.0), *of("train", -1.0))
    first, second = too_dear(exercises(KILL), STAGE, left)
    assert "predict" in first
    assert "enrich" in second


def test_a_promise_of_which_nobody_says_what_is_left_is_named() -> None:
    assert unknown(STAGE, WHOLE) == ()
    assert unknown(STAGE, WHOLE[1:]) == (("flights", "availability"),)


def spending(left: float) -> Spending:
    return Spending(stage=STAGE, remaining=of("predict", left))


def test_what_a_drill_has_spent_outside_is_added_up_over_its_exercises() -> None:
    allowed_s = SPEND_MAX * 0.5 * BUDGET * MONTH_S
    spent = spending(0.5)
    key = ("predict", "availability")
    assert spent.overspent({key: allowed_s * 0.6}) == ()  # type: ignore[dict-item]
    spent.close({key: allowed_s * 0.6})  # type: ignore[dict-item]
    ((zone, told),) = spent.overspent({key: allowed_s * 0.6})  # type: ignore[dict-item]
    assert zone == "predict"
    assert "it has spent 6 % of what was left" in told


def test_nothing_that_was_bad_spends_nothing_of_a_budget_that_is_spent() -> None:
    spent = spending(-1.0)
    assert spent.overspent({("predict", "availability"): 0.0}) == ()
    assert spent.overspent({("predict", "availability"): 0.1})
    assert spent.overspent({("store", "availability"): 5.0}) == ()
