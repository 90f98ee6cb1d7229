"""What a model does when its inputs change in a way whose effect is known.

A model is *invariant* where a change must not matter (the spelling of a name), and *directional*
where it may matter one way only (more rain makes no flight earlier). A row where that is not so is
a violation. They are counted, and the share is given with bounds, since no violation in 60 rows
still leaves 1 in 20 possible.

The bounds are those of Chernoff: exact where there is no violation, a little wide elsewhere, true
at any number of rows. They hold for rows drawn one by one.

Source: Ribeiro et al., *Beyond Accuracy: Behavioral Testing of NLP Models with CheckList*, 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from firedoor.bounds import one_of, share_between, within
from firedoor.evaluation.intervals import Estimate
from firedoor.evaluation.metrics import Unknown, numbers

if TYPE_CHECKING:
    from firedoor.evaluation.metrics import Values

May = Literal["stay", "rise", "fall"]
_HALVINGS = 60
_EXAMPLES_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourPolicy:
    """What a prediction may do, and how much is not counted."""

    may: May = "stay"
    """Stay where it is; or rise or stay; or fall or stay."""
    tolerance: float = 0.0
    """Movement the wrong way that is no violation, in the unit of predictions. 0 to 1e9."""
    confidence: float = 0.95
    """Share of samples whose bounds hold the truth. 0.5 to 0.999, both excluded."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming field, value, range and remedy."""
        one_of("may", self.may, ("stay", "rise", "fall"))
        within("tolerance", self.tolerance, 0, 10**9, "in the unit of predictions")
        share_between("confidence", self.confidence, 0.5, 0.999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How often, and by how much, predictions moved the wrong way."""

    violations: int
    share: Estimate
    """Of rows that are violations."""
    mean_size: float
    """Movement the wrong way, over the violations; 0 where there are none."""
    max_size: float
    examples: tuple[int, ...]
    """Rows of the largest violations, the largest first, at most 5."""


def behaviour(
    before: Values, after: Values, policy: BehaviourPolicy | None = None
) -> Behaviour | Unknown:
    """Return how predictions moved when inputs were changed, or why nothing can be said.

    Args:
        before: shape (rows,); predictions of the inputs as they are.
        after: shape (rows,); predictions of the same rows, changed.
        policy: what they may do.

    >>> more_rain = behaviour([0.2, 0.4, 0.3], [0.3, 0.5, 0.1], BehaviourPolicy(may="rise"))
    >>> more_rain.violations, more_rain.examples, f"{more_rain.max_size:.1f}"
    (1, (2,), '0.2')
    """
    policy = policy or BehaviourPolicy()
    old, new = numbers("predictions before", before), numbers("predictions after", after)
    if isinstance(old, Unknown) or isinstance(new, Unknown):
        return old if isinstance(old, Unknown) else new  # type: ignore[return-value]
    if old.size != new.size:
        return Unknown(f"there are {old.size:,} rows before and {new.size:,} after")
    moved = new - old
    wrong = {"stay": np.abs(moved), "rise": -moved, "fall": moved}[policy.may]
    # A tolerance of 0.1 means 0.1 as people write it, and 0.4 - 0.3 is a little more.
    rows = np.flatnonzero(wrong > policy.tolerance * (1 + 1e-9))
    worst = rows[np.argsort(-wrong[rows], kind="stable")][:_EXAMPLES_MAX]
    return Behaviour(
        violations=rows.size,
        share=share_of(rows.size, old.size, policy.confidence),
        mean_size=float(wrong[rows].mean()) if rows.size else 0.0,
        max_size=float(wrong[rows].max()) if rows.size else 0.0,
        examples=tuple(int(row) for row in worst),
    )


def share_of(hits: int, rows: int, confidence: float) -> Estimate:
    """Return a share with its bounds. There is at least one row.

    >>> share_of(0, 60, 0.9).high < 0.05 < share_of(0, 58, 0.9).high
    True
    """
    share, tail = hits / rows, (1 - confidence) / 2
    most = -math.log(tail) / rows
    return Estimate(
        value=share,
        low=_farthest(share, 0.0, most),
        high=_farthest(share, 1.0, most),
        rows=rows,
        confidence=confidence,
    )


def _farthest(share: float, end: float, most: float) -> float:
    """Return the share nearest to ``end`` whose divergence is no more than ``most``."""
    if share == end:
        return end
    near, far = share, end
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        near, far = (middle, far) if _divergence(share, middle) <= most else (near, middle)
    return near


def _divergence(seen: float, true: float) -> float:
    """Return nats a row between a share that was seen and one that might be true."""
    found = 0.0
    if seen > 0:
        found += seen * math.log(seen / true) if true > 0 else math.inf
    if seen < 1:
        found += (1 - seen) * math.log((1 - seen) / (1 - true)) if true < 1 else math.inf
    return found
