"""How many requests a verdict takes: what "312 of about 2,250" is made of.

A wealth that grows by ``g`` nats a request, if things are as supposed, reaches ``1/a`` after about
``(ln(1/a) + c) / g`` requests; ``c`` is what averaging over a grid of ratios costs. Checked against
a simulation of 1,000 runs a cell (``docs/guide/rollouts.md``): within 40 % everywhere.
"""

from __future__ import annotations

import math

from firedoor.eprocess import bad_grid, good_grid, ratio_gains
from firedoor.rollout.absolute import clean_gain

GRID_COST_BAD = 1.3
GRID_COST_GOOD = 0.0
MANY = 10**9
RATE_MIN = 1e-6


def requests_to_reject(
    ratio: float, *, rate: float, champion_times: float, log_needed: float, ratio_good: float
) -> int:
    """Return the candidate's requests after which a rate so many times as high is found.

    Args:
        ratio: of the candidate's rate to the champion's.
        rate: the champion's.
        champion_times: how many requests of the baseline there are for one of the candidate.
        log_needed: log of the evidence that is needed.
        ratio_good: up to which the candidate counts as good.
    """
    grid = bad_grid(ratio_good)
    growth = _growth(grid, ratio_good, ratio=ratio, rate=rate, champion_times=champion_times)
    return _requests(log_needed + GRID_COST_BAD, growth)


def requests_to_accept(
    *, rate: float, champion_times: float, log_needed: float, ratio_bad: float, ratio: float = 1.0
) -> int:
    """Return its requests after which it is clear that its rate is not ``ratio_bad`` times as high.

    If it is in fact ``ratio`` times the champion's.
    """
    grid = good_grid(ratio_bad)
    growth = _growth(grid, ratio_bad, ratio=ratio, rate=rate, champion_times=champion_times)
    return _requests(log_needed + GRID_COST_GOOD, growth)


def requests_below(*, rate: float, log_needed: float, allowance: float) -> int:
    """Return its requests after which it is clear that its rate is below the allowance.

    If it is in fact ``rate``: 296 without a fault make 20 at 2 %.
    """
    growth = clean_gain(1, 0, allowance=allowance)
    fault = clean_gain(1, 1, allowance=allowance)
    return _requests(log_needed, (1 - rate) * growth + rate * fault)


def _growth(
    grid: tuple[float, ...], against: float, *, ratio: float, rate: float, champion_times: float
) -> float:
    """Return the nats that the best point of the grid gains a request of the candidate."""
    rate = max(rate, RATE_MIN)
    own = ratio_gains(grid, against, (1_000, 1_000), (round(1_000 * champion_times), 0))
    other = ratio_gains(grid, against, (1_000, 0), (round(1_000 * champion_times), 1_000))
    return max(
        ratio * rate * mine / 1_000 + champion_times * rate * theirs / 1_000
        for mine, theirs in zip(own, other, strict=True)
    )


def _requests(log_needed: float, growth: float) -> int:
    """Return how many requests make so much evidence."""
    if growth * MANY <= log_needed:
        return MANY
    return max(1, math.ceil(log_needed / growth))
