"""Whether a count of bad units is more than chance explains. Exact, from counts alone."""

from __future__ import annotations

import math

_NEGLIGIBLE = 1e-15
_HALVINGS = 50


def tail(bad: int, units: int, share: float) -> float:
    """Return the chance of ``bad`` or more of ``units``, where each is bad with ``share``.

    >>> round(tail(1, 200, 0.001), 3)
    0.181
    >>> tail(0, 10, 0.0), tail(1, 10, 0.0)
    (1.0, 0.0)
    """
    assert 0 <= bad <= units
    if bad == 0:
        return 1.0
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    if bad <= units * share:  # the other side is the smaller sum
        return max(0.0, 1.0 - _sum(bad - 1, units, share, step=-1))
    return min(1.0, _sum(bad, units, share, step=1))


def worse(bad: int, units: int, bad_before: int, units_before: int) -> float:
    """Return the chance of so many bad ones now, if they are as frequent as they were before.

    Given how many were bad in both together, how many of them are of now is binomial, whatever the
    rate itself is. Nothing now, or nothing before, says nothing: 1.

    >>> round(worse(12, 400, 0, 400), 5)
    0.00024
    """
    if units <= 0 or units_before <= 0:
        return 1.0
    return tail(bad, bad + bad_before, units / (units + units_before))


def at_most(bad: int, units: int, doubt: float = 0.01) -> float:
    """Return the share of bad units that is not exceeded, but for so much doubt.

    >>> round(at_most(0, 200), 4)
    0.0228
    """
    if units <= 0:
        return 1.0
    low, high = bad / units, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fewer = 1.0 - tail(bad + 1, units, middle) if bad < units else 1.0
        low, high = (middle, high) if fewer > doubt else (low, middle)
    return high


def _sum(first: int, units: int, share: float, *, step: int) -> float:
    """Return the chances of ``first`` and all beyond it, away from the mean."""
    log = (
        math.lgamma(units + 1) - math.lgamma(first + 1) - math.lgamma(units - first + 1)
        + first * math.log(share) + (units - first) * math.log1p(-share)
    )  # fmt: skip
    term = total = math.exp(log)
    odds = share / (1 - share)
    number = first
    while 0 <= number + step <= units:
        if step > 0:
            term *= (units - number) / (number + 1) * odds
        else:
            term *= number / ((units - number + 1) * odds)
        number += step
        total += term
        if term <= total * _NEGLIGIBLE:
            break
    return total
