"""How many worlds are drawn for a decision: ``FIREDOOR_SEEDS`` (``make sim``) draws more."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

USUAL = 60
SEEDS = int(os.environ.get("FIREDOOR_SEEDS") or os.environ.get("FIREDOOR_EXAMPLES") or USUAL)
many = settings(
    max_examples=SEEDS,
    stateful_step_count=30,
    deadline=None,
    derandomize=SEEDS == USUAL,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
