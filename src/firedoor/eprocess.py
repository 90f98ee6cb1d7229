"""Whether one rate is higher than another, from counts, however often one looks.

A version of a model against the one before it, or a zone under a fault against what it did before:
the first is the candidate here, the other the baseline, and units are requests or rows. Given how
many bad ones both arms had together, how many of them were the candidate's is
binomial with ``q(r) = r n_c / (r n_c + n_b)``, whatever the rate itself is and however it moves:
only the ratio ``r`` counts. The likelihood ratio of some ``r`` against ``r0``, multiplied over
looks and averaged over a grid of ``r``, is a wealth that no luck makes large where the ratio is
``r0``: it ever reaches ``1/a`` with a chance of at most ``a`` (Ville 1939). Shares of requests may
change between looks. Exact for Poisson counts, conservative for Bernoulli.

Sources: Lindon and Malek 2020, "Anytime-valid inference for multinomial count data"; Ramdas et al.
2023, "Game-theoretic statistics and safe anytime-valid inference".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

GRID_POINTS = 25
RATIO_MAX = 16.0
GOOD_SHARES = (0.25, 0.4, 0.5, 0.625, 0.75)
"""Of the ratio that counts as bad: 0.5, 0.8, 1, 1.25 and 1.5 of 2."""
LOG_MAX = 600.0
Grid = tuple[float, ...]
Logs = tuple[float, ...]


def bad_grid(ratio_good: float) -> Grid:
    """Return the ratios by which the candidate may be worse: 25, from just above ``ratio_good``."""
    low, high = math.log(1.05 * ratio_good), math.log(max(RATIO_MAX, 4 * ratio_good))
    step = (high - low) / (GRID_POINTS - 1)
    return tuple(math.exp(low + step * point) for point in range(GRID_POINTS))


def good_grid(ratio_bad: float) -> Grid:
    """Return the ratios at which the candidate is good, against one at which it is bad."""
    return tuple(share * ratio_bad for share in GOOD_SHARES)


def ratio_gains(
    grid: Grid, against: float, candidate: tuple[int, int], baseline: tuple[int, int]
) -> Logs:
    """Return what one look adds to the log likelihood ratios of a grid against one ratio.

    Args:
        grid: ratios of the candidate's rate to the baseline's.
        against: the ratio of the hypothesis that is to be rejected.
        candidate: its requests, and how many of them were bad.
        baseline: the same. Without requests in both arms nothing is said.
    """
    n_c, x_c = candidate
    n_b, x_b = baseline
    if n_c <= 0 or n_b <= 0 or x_c + x_b <= 0:
        return (0.0,) * len(grid)
    null = against * n_c / (against * n_c + n_b)
    gains = []
    for ratio in grid:
        share = ratio * n_c / (ratio * n_c + n_b)
        gains.append(x_c * math.log(share / null) + x_b * math.log((1 - share) / (1 - null)))
    return tuple(gains)


def add_gains(logs: Logs, gains: Logs) -> Logs:
    """Return logs after a look; none before it are zeros."""
    if not logs:
        return gains
    return tuple([min(x + y, LOG_MAX) for x, y in zip(logs, gains, strict=True)])


def log_mean(logs: Sequence[float]) -> float:
    """Return the logarithm of the mean of the exponentials, without overflow; 0 of nothing."""
    if not logs:
        return 0.0
    top = max(logs)
    return top + math.log(math.fsum(math.exp(x - top) for x in logs) / len(logs))


def log_e(logs: Logs) -> float:
    """Return the log of the mean of the likelihood ratios; 0 of none."""
    return log_mean(logs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The same bet begun anew at each step, so that an early good record hides no late fault.

    A bettor splits 1 into ``1/2 + 1/6 + 1/12 + ...``. Each new bet takes the next share; what an
    earlier one has won is put aside; what is not yet bet counts as it is. All of it together is a
    wealth as any other, however many bets there will be.
    """

    number: int = 1
    """Of the bet that runs."""
    banked: float = 0.0
    """Wealth that earlier bets ended with."""
    logs: Logs = ()

    def after(self, gains: Logs) -> Fresh:
        """Return it after a look."""
        return replace(self, logs=add_gains(self.logs, gains))

    def anew(self) -> Fresh:
        """Return it with the next bet begun; one that has not moved is that bet."""
        if not any(self.logs):
            return replace(self, logs=())
        banked = self.banked + math.exp(log_e(self.logs)) * _share(self.number)
        return Fresh(number=self.number + 1, banked=banked)

    @property
    def log_e(self) -> float:
        """Return the log of the wealth."""
        bet = math.exp(log_e(self.logs)) * _share(self.number)
        return math.log(self.banked + bet + 1 / (self.number + 1))


def _share(number: int) -> float:
    """Return the share of the wealth that one bet begins with; all of them add up to 1."""
    return 1 / (number * (number + 1))
