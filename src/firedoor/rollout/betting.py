"""Whether a version's loss is worse, told from requests that both versions predicted.

A bettor starts with 1 and bets a stake on each pair that the candidate's loss is higher by more
than the margin. If it is not, no strategy makes him rich: the chance that his wealth ever reaches
``1/a`` is at most ``a``, however often one looks (Ville 1939; Waudby-Smith and Ramdas 2024,
"Estimating means of bounded random variables by betting"). Which stake is best depends on what is
not known, so several are bet side by side, and the mean of their wealths counts. Logarithms of
wealth at a fixed stake are sums over pairs: gateways add up, in any order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from firedoor.eprocess import log_mean
from firedoor.errors import DeclarationError

STAKES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.5, 0.75, 0.95)
"""Share of the wealth that is lost at most on one pair."""
CHANCE_MIN = 1e-3
"""Chances are kept this far from 0 and 1, so that one certain error is no infinite loss."""
LOG_LOSS_MAX = -math.log(CHANCE_MIN)
"""6.91 nats: the largest log loss of one prediction."""


def loss_bound(loss: str, loss_max: float | None = None) -> float:
    """Return the largest loss of one prediction, in its units: what differences are bounded by.

    Raises:
        DeclarationError: for a loss without bound of its own, if none is declared.
    """
    if loss_max is not None:
        return loss_max
    if loss in ("log_loss", ""):
        return LOG_LOSS_MAX
    remedy = "write RolloutPolicy(loss_max=...), in the units of the loss: what counts as hopeless"
    raise DeclarationError("loss_max", loss_max, f"is needed, since {loss} has no bound", remedy)


def loss_of(prediction: float, label: float, *, loss: str, bound: float) -> float:
    """Return the loss of one prediction, at most ``bound``.

    A prediction that is not finite loses all there is to lose.
    """
    if not math.isfinite(prediction):
        return bound
    if loss == "log_loss":
        chance = min(max(prediction, CHANCE_MIN), 1 - CHANCE_MIN)
        return min(-math.log(chance if label > 0.5 else 1 - chance), bound)  # noqa: PLR2004 - 0 or 1
    off = abs(prediction - label)
    return min(off * off if loss == "squared" else off, bound)


def difference(
    candidate: float, champion: float, label: float, *, loss: str, bound: float
) -> float:
    """Return by how much the candidate's loss is higher, in units of the loss.

    Between ``-bound`` and ``bound``; ``Pairs.loss_sum`` adds it up divided by ``bound``.
    """
    return loss_of(candidate, label, loss=loss, bound=bound) - loss_of(
        champion, label, loss=loss, bound=bound
    )


def log_wealth(d: float, *, margin: float, bound: float = LOG_LOSS_MAX) -> tuple[float, ...]:
    """Return what one pair adds to the log wealths of bets that the candidate is worse.

    Args:
        d: loss of the candidate minus the champion's; beyond ``bound`` it is cut.
        margin: by how much it may be higher, in the same units.
        bound: of ``|d|``.

    Returns:
        One a stake of ``STAKES``. If the mean of ``d`` is at most ``margin``, the mean of the
        exponential of each is at most 1.
    """
    gain = (min(max(d, -bound), bound) - margin) / (bound + margin)
    return tuple([math.log1p(stake * gain) for stake in STAKES])


def log_wealth_good(d: float, *, margin: float, bound: float = LOG_LOSS_MAX) -> tuple[float, ...]:
    """Return the same for bets that the candidate is *not* worse by ``margin`` or more."""
    gain = (margin - min(max(d, -bound), bound)) / (bound + margin)
    return tuple([math.log1p(stake * gain) for stake in STAKES])


def add(parts: Iterable[Sequence[float]]) -> tuple[float, ...]:
    """Return the sums of log wealths, stake by stake; empty ones count as nothing."""
    total = [0.0] * len(STAKES)
    for part in parts:
        if len(part) == len(STAKES):
            total = [x + y for x, y in zip(total, part, strict=True)]
    return tuple(total)


def e_value(log_wealths: Sequence[float]) -> float:
    """Return the mean wealth: evidence against "no worse than the margin".

    1 where there is none. May be compared with ``1/a`` after every pair.
    """
    return math.exp(min(log_mean(log_wealths), 700.0))
