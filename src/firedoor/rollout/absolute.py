"""Whether one rate is below what is allowed, or above it, from the candidate's requests alone.

With no bad request in either arm a comparison never moves: then it is the allowance that counts.
And with no champion to compare with, when the candidate serves everybody, it is all there is.
"""

from __future__ import annotations

import math

from firedoor.eprocess import LOG_MAX, Logs

HALF = 0.5
WORSE = (1.5, 2.0, 3.0, 5.0, 8.0, 16.0)
"""Multiples of the bound at which the candidate may be, where it serves everybody."""
RATE_MAX = 0.98
LOG_NONE = -700.0
LOOKS_LEAST = 6
"""Looks that it takes at least to reject a version that serves everybody: a blip of 30 s that
everybody shares touches 4 looks of 10 s."""


def clean_gain(n: int, x: int, *, allowance: float) -> float:
    """Return what a look adds to the log likelihood ratio of half the allowance against it.

    Where the rate is the allowance or more, the wealth ever reaches ``1/b`` with a chance of at
    most ``b``. At 2 %, 296 requests without a bad one make 20 of it.
    """
    return x * math.log(HALF) + (n - x) * math.log((1 - HALF * allowance) / (1 - allowance))


def above_gains(n: int, x: int, *, bound: float, log_needed: float) -> Logs:
    """Return what a look adds to the log likelihood ratios of rates above a bound, against it.

    Nothing tells here a fault of the version from one that everybody shares but its length. So no
    look adds more than a sixth of what is needed: what is cut from above stays valid.
    """
    cap = log_needed / LOOKS_LEAST
    null = min(bound, RATE_MAX / 2)
    gains = []
    for multiple in WORSE:
        rate = min(multiple * null, RATE_MAX)
        gain = x * math.log(rate / null) + (n - x) * math.log((1 - rate) / (1 - null))
        gains.append(min(gain, cap))
    return tuple(gains)


def detected(logs: Logs, gains: Logs, *, looks: int) -> Logs:
    """Return the evidence of a change that may begin at any look, after one more.

    A bet of ``1/looks`` begins at each look and runs on; logs are those of their sums (Shiryaev
    and Roberts; Shin, Ramdas and Rinaldo 2023, "E-detectors"). So a long good record hides no late
    fault, and within so many looks the chance of ``1/a`` is at most ``a``.
    """
    begun = -math.log(looks)
    before = logs or (LOG_NONE,) * len(gains)
    return tuple(
        [
            min(max(log, begun) + math.log1p(math.exp(-abs(log - begun))) + gain, LOG_MAX)
            for log, gain in zip(before, gains, strict=True)
        ]
    )
