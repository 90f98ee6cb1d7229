"""A bettor gets rich when the loss is worse, not when it is not, and gateways add up."""

from __future__ import annotations

import math
import random

import pytest

from firedoor.errors import DeclarationError
from firedoor.rollout.betting import (
    LOG_LOSS_MAX,
    STAKES,
    add,
    difference,
    e_value,
    log_wealth,
    log_wealth_good,
    loss_bound,
    loss_of,
)


def test_a_pair_at_the_margin_moves_nobody_and_the_worst_one_leaves_everybody_something() -> None:
    assert e_value(log_wealth(0.005, margin=0.005)) == pytest.approx(1)
    worst = log_wealth(-LOG_LOSS_MAX, margin=0.005)
    assert worst == tuple(pytest.approx(math.log(1 - stake)) for stake in STAKES)
    best = log_wealth_good(LOG_LOSS_MAX + 3, margin=0.005)
    assert min(best) > math.log(1 - STAKES[-1])
    assert e_value(()) == 1


def test_wealth_is_expected_to_stay_what_it_is_where_the_loss_is_worse_by_the_margin() -> None:
    """Exactly, over a distribution of two points whose mean is the margin."""
    margin, high, low = 0.01, 2.0, -0.5
    chance = (margin - low) / (high - low)
    for up, down in zip(
        log_wealth(high, margin=margin), log_wealth(low, margin=margin), strict=True
    ):
        assert chance * math.exp(up) + (1 - chance) * math.exp(down) == pytest.approx(1)


def test_gateways_add_up_in_any_order() -> None:
    chance = random.Random(3)
    pairs = [log_wealth(chance.gauss(0.1, 1), margin=0.005) for _ in range(60)]
    mine, theirs = add(pairs[:20]), add(pairs[20:])
    assert e_value(add((theirs, (), mine))) == pytest.approx(e_value(add(reversed(pairs))))


def test_losses_are_cut_and_a_prediction_that_is_no_number_loses_all() -> None:
    bound = loss_bound("log_loss")
    assert bound == pytest.approx(6.9078, abs=1e-4)
    assert loss_of(0.0, 1, loss="log_loss", bound=bound) == pytest.approx(bound)
    assert loss_of(0.8, 1, loss="log_loss", bound=bound) == pytest.approx(-math.log(0.8))
    assert loss_of(0.8, 0, loss="log_loss", bound=bound) == pytest.approx(-math.log(0.2))
    assert loss_of(math.nan, 1, loss="log_loss", bound=bound) == bound
    assert difference(7, 4, 3, loss="squared", bound=100) == 15
    assert difference(70, 4, 3, loss="absolute", bound=50) == 49


def test_a_loss_without_a_bound_of_its_own_needs_a_declared_one() -> None:
    with pytest.raises(DeclarationError, match=r"loss_max=.*squared has no bound"):
        loss_bound("squared")
    assert loss_bound("squared", 400.0) == 400


def _labelled(seed: int, worse_share: float, pairs: int) -> tuple[float, float]:
    """Return evidence for worse and for not worse, of ``pairs`` labels."""
    chance = random.Random(seed)
    worse, good = [(0.0,) * len(STAKES)], [(0.0,) * len(STAKES)]
    for _ in range(pairs):
        true = 1 / (1 + math.exp(-chance.gauss(-1, 1.2)))
        label = float(chance.random() < true)
        noisy = min(max(true + chance.gauss(0, 0.03), 0.0), 1.0)
        said = 1 - true if chance.random() < worse_share else noisy
        d = difference(said, true, label, loss="log_loss", bound=LOG_LOSS_MAX)
        worse.append(log_wealth(d, margin=0.005))
        good.append(log_wealth_good(d, margin=0.005))
    return e_value(add(worse)), e_value(add(good))


def test_a_tenth_of_flipped_predictions_is_found_and_noise_is_not() -> None:
    for seed in range(5):
        worse, good = _labelled(seed, 0.1, 1_500)
        assert worse > 100
        assert good < 1
        worse, good = _labelled(seed, 0.0, 1_500)
        assert worse < 1
        assert good > worse
